use std::borrow::Borrow;
use std::fmt;

use http::StatusCode;
use http::response::Parts;

use super::exchange::{Deadline, Exchange, Next};
use super::{Event, ExchangeError, Now, Slot, Step};
use crate::error::InvalidRequest;
use crate::operation::Operation;
use crate::options::CallOptions;

/// One [`Operation`] within a flow: an exchange with its attempts, up to the typed result.
///
/// It takes place in [`Slot::Exchange`]. A flow holds it in the state that waits for it, and hands it what comes there.
pub(crate) struct Call<O: Operation, P: Borrow<O> = O> {
    operation: P,
    exchange: Exchange,
    output: Option<O::Output>,
}

impl<O: Operation, P: Borrow<O>> fmt::Debug for Call<O, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exchange.fmt(f)
    }
}

/// What is under way in a slot, of whatever operation, as far as it takes what comes there.
pub(crate) trait UnderWay {
    fn handle(&mut self, event: Event);
}

impl<O: Operation, P: Borrow<O>> Call<O, P> {
    /// Prepares the exchange. `seed` spreads the delays between its attempts.
    ///
    /// # Errors
    /// Everything that can be checked is checked here, before the first request.
    pub(crate) fn new(
        operation: P,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        Ok(Self {
            exchange: Exchange::new(operation.borrow(), Slot::Exchange, options, seed)?,
            operation,
            output: None,
        })
    }

    /// Returns the result, or as an error what to ask of the driver. Past `deadline` nothing is begun.
    pub(crate) fn poll<I, T>(
        &mut self,
        now: Now,
        deadline: Deadline,
    ) -> Result<Result<O::Output, ExchangeError>, Step<I, T>> {
        if let Some(output) = self.output.take() {
            return Ok(Ok(output));
        }
        Ok(match self.exchange.poll(now, deadline) {
            Next::Send(send) => return Err(Step::Send(send)),
            Next::Read { until } => return Err(Step::Wait { until }),
            Next::Failed(error) => Err(error),
            Next::Gone => {
                let result = self.operation.borrow().decode(&no_content(), b"");
                result.map_err(|error| self.exchange.error(error.into(), None))
            }
        })
    }

    /// Whether there were attempts before this one.
    pub(crate) fn has_failed(&self) -> bool {
        self.exchange.has_failed()
    }
}

impl<O: Operation, P: Borrow<O>> UnderWay for Call<O, P> {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Response { head, body, .. } => {
                match self.operation.borrow().decode(&head, &body) {
                    Ok(output) => self.output = Some(output),
                    Err(error) => self.exchange.handle(error),
                }
            }
            Event::Failure(_, failure) => self.exchange.handle(failure),
            // Its body comes whole.
            Event::Data(_) | Event::End => {}
        }
    }
}

/// The head with which a deletion succeeds.
pub(crate) fn no_content() -> Parts {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = StatusCode::NO_CONTENT;
    head
}
