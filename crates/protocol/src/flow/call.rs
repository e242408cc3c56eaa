use std::borrow::Borrow;
use std::fmt;

use http::StatusCode;
use http::response::Parts;

use super::exchange::{Deadline, Exchange, Next};
use super::{Event, ExchangeError, Now, Slot, Step};
use crate::error::InvalidRequest;
use crate::operation::Operation;
use crate::options::CallOptions;

/// One [`Operation`] within a flow: a request, its further attempts, and the typed result.
///
/// It uses [`Slot::Exchange`]. The state of the flow that waits for the result owns the call and passes events to it.
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

/// A request of any operation that is under way, seen only as a receiver of its events.
pub(crate) trait UnderWay {
    fn handle(&mut self, event: Event);
}

impl<O: Operation, P: Borrow<O>> Call<O, P> {
    /// Prepares the request. `seed` spreads the delays between its attempts.
    ///
    /// # Errors
    /// Returns an error if the request is invalid. Everything that can be checked is checked here, before the first request.
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

    /// Returns the result; the outer `Err` is the step to request from the driver. Nothing is begun after `deadline`.
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
            Next::Wait { until } => return Err(Step::Wait { until }),
            Next::Failed(error) => Err(error),
            Next::Gone => {
                // A resource that an earlier attempt has deleted counts as deleted by this call.
                let result = self.operation.borrow().decode(&no_content(), b"");
                result.map_err(|error| self.exchange.error(error.into(), None))
            }
        })
    }

    /// Returns whether an earlier attempt has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.exchange.has_failed()
    }
}

impl<O: Operation, P: Borrow<O>> UnderWay for Call<O, P> {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Response { head, body, .. } => {
                // The next poll decides about an error, since a retry needs the time.
                match self.operation.borrow().decode(&head, &body) {
                    Ok(output) => self.output = Some(output),
                    Err(error) => self.exchange.handle(error),
                }
            }
            Event::Failure(_, failure) => self.exchange.handle(failure),
            // In this slot the response includes its body.
            Event::Data(_) | Event::End => {}
        }
    }
}

/// Returns the head of a successful deletion.
pub(crate) fn no_content() -> Parts {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = StatusCode::NO_CONTENT;
    head
}
