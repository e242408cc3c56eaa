use std::borrow::Borrow;
use std::fmt;
use std::time::{Duration, Instant};

use http::response::Parts;

use super::call::{UnderWay, no_content};
use super::exchange::{Deadline, Exchange, Next};
use super::{Event, ExchangeError, Now, Slot, Step};
use crate::error::InvalidRequest;
use crate::operation::unreadable_coding;
use crate::operation::{Head, StreamingOperation};
use crate::options::CallOptions;

/// The most bytes of an error's body that are read. Errors are short, so a longer body is garbage.
const LONGEST_ERROR: usize = 1024 * 1024;

/// The longest time to wait for the end of such a body after the head. The status matters most, and it is known already.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// One [`StreamingOperation`] within a flow: a request and its further attempts, until its stream is open or it has another
/// result.
///
/// It uses [`Slot::Stream`]. The state of the flow that waits for the result owns it and passes events to it.
pub(crate) struct Opening<O: StreamingOperation, P: Borrow<O> = O> {
    operation: P,
    exchange: Exchange,
    reading: Option<Reading>,
    output: Option<O::Output>,
}

impl<O: StreamingOperation, P: Borrow<O>> fmt::Debug for Opening<O, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exchange.fmt(f)
    }
}

impl<O: StreamingOperation, P: Borrow<O>> Opening<O, P> {
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
            exchange: Exchange::new(operation.borrow(), Slot::Stream, options, seed)?,
            operation,
            reading: None,
            output: None,
        })
    }

    /// Returns the result; the outer `Err` is the step to request from the driver. Nothing is begun after `deadline`.
    pub(crate) fn poll<I, T>(
        &mut self,
        now: Now,
        deadline: Deadline,
    ) -> Result<Result<O::Output, ExchangeError>, Step<I, T>> {
        if let Some(reading) = &mut self.reading {
            // The wait is limited: a server that never ends the body of an error must not hide its status.
            if let Some(until) = reading.until(now, deadline) {
                return Err(Step::Wait { until: Some(until) });
            }
            self.decode();
        }
        if let Some(output) = self.output.take() {
            return Ok(Ok(output));
        }
        Ok(match self.exchange.poll(now, deadline) {
            Next::Send(send) => return Err(Step::Send(send)),
            Next::Wait { until } => return Err(Step::Wait { until }),
            Next::Failed(error) => Err(error),
            Next::Gone => {
                let (operation, head) = (self.operation.borrow(), no_content());
                let result = match operation.decode_head(&head) {
                    Head::Open(output) => Ok(output),
                    Head::Read => operation.decode(&head, b""),
                };
                result.map_err(|error| self.exchange.error(error.into(), None))
            }
        })
    }

    /// Decodes the body, which was read completely or far enough.
    fn decode(&mut self) {
        if let Some(Reading { head, body, .. }) = self.reading.take() {
            match self.operation.borrow().decode(&head, &body) {
                Ok(output) => self.output = Some(output),
                Err(error) => self.exchange.handle(error),
            }
        }
    }
}

impl<O: StreamingOperation, P: Borrow<O>> UnderWay for Opening<O, P> {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Response { head, body, .. } => {
                match self.operation.borrow().decode_head(&head) {
                    // The body stays open in the slot and belongs to the output.
                    Head::Open(output) => self.output = Some(output),
                    Head::Read => self.reading = Some(Reading::new(head, &body)),
                }
            }
            Event::Data(data) => {
                let is_enough = self.reading.as_mut().map(|reading| reading.push(&data));
                if is_enough == Some(true) {
                    self.decode();
                }
            }
            Event::End => self.decode(),
            // A body that broke off still has a status, which says more than the failure.
            Event::Failure(..) if self.reading.is_some() => self.decode(),
            Event::Failure(_, failure) => self.exchange.handle(failure),
        }
    }
}

/// A response in [`Slot::Stream`] that turned out not to be a stream.
#[derive(Debug)]
struct Reading {
    head: Parts,
    body: Vec<u8>,
    until: Option<Instant>,
}

impl Reading {
    fn new(head: Parts, body: &[u8]) -> Self {
        Self {
            head,
            body: body.to_vec(),
            until: None,
        }
    }

    /// Returns the time until which the end of the body is awaited, counted from the first poll. Returns `None` once it has
    /// passed.
    fn until(&mut self, now: Now, deadline: Deadline) -> Option<Instant> {
        // A compressed body cannot be decoded, so its end is not awaited.
        let is_read = unreadable_coding(&self.head.headers).is_none();
        let wait = if is_read {
            LONGEST_WAIT
        } else {
            Duration::ZERO
        };
        let until = *self.until.get_or_insert(now.mono + wait);
        let until = deadline.soonest(Some(until));
        until.filter(|until| now.mono < *until)
    }

    /// Keeps what fits. Returns whether that is enough.
    fn push(&mut self, data: &[u8]) -> bool {
        let room = LONGEST_ERROR.saturating_sub(self.body.len());
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        self.body.len() == LONGEST_ERROR
    }
}
