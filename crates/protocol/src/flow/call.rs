use std::borrow::Borrow;
use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use http::response::Parts;

use super::exchange::{Deadline, Exchange, Next};
use super::{ExchangeError, Failure, Now, SendRequest, Slot};
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

/// What a [`Call`] asks for, or came to.
#[expect(
    clippy::large_enum_variant,
    reason = "it is handed over once and never stored"
)]
pub(crate) enum Progress<T> {
    Send(SendRequest),
    Wait { until: Option<Instant> },
    Done(Result<T, ExchangeError>),
}

/// A call of whatever operation, as far as it takes what comes in its slot.
pub(crate) trait UnderWay {
    fn handle_answer(&mut self, head: &Parts, body: &Bytes);
    fn handle_failure(&mut self, failure: Failure);
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

    /// Returns what to do next, or the result. Past `deadline` nothing is begun.
    pub(crate) fn poll(&mut self, now: Now, deadline: Deadline) -> Progress<O::Output> {
        if let Some(output) = self.output.take() {
            return Progress::Done(Ok(output));
        }
        match self.exchange.poll(now, deadline) {
            Next::Send(send) => Progress::Send(send),
            Next::Read { until } => Progress::Wait { until },
            Next::Failed(error) => Progress::Done(Err(error)),
            Next::Gone => {
                let result = self.operation.borrow().decode(&no_content(), b"");
                Progress::Done(result.map_err(|error| self.exchange.error(error.into(), None)))
            }
        }
    }

    /// Whether there were attempts before this one.
    pub(crate) fn has_failed(&self) -> bool {
        self.exchange.has_failed()
    }
}

impl<O: Operation, P: Borrow<O>> UnderWay for Call<O, P> {
    fn handle_answer(&mut self, head: &Parts, body: &Bytes) {
        match self.operation.borrow().decode(head, body) {
            Ok(output) => self.output = Some(output),
            Err(error) => self.exchange.handle(error),
        }
    }

    fn handle_failure(&mut self, failure: Failure) {
        self.exchange.handle(failure);
    }
}

/// The head with which a deletion succeeds.
pub(crate) fn no_content() -> Parts {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = StatusCode::NO_CONTENT;
    head
}
