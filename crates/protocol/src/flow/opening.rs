use std::borrow::Borrow;
use std::fmt;
use std::time::{Duration, Instant};

use http::response::Parts;

use super::call::{UnderWay, no_content};
use super::exchange::{Deadline, Exchange, Next};
use super::{Event, ExchangeError, Now, Slot, Step};
use crate::content_coding;
use crate::error::InvalidRequest;
use crate::operation::{Head, StreamingOperation};
use crate::options::CallOptions;

/// The most of an error's body that is read, in bytes: errors are short, and garbage is not worth more.
const LONGEST_ERROR: usize = 1024 * 1024;

/// How long the end of such a body is waited for after the head: the status is what counts, and it is known.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// One [`StreamingOperation`] within a flow: an exchange with its attempts, until its stream is open or it has another result.
///
/// It takes place in [`Slot::Stream`]. A flow holds it in the state that waits for it, and hands it what comes there.
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
            exchange: Exchange::new(operation.borrow(), Slot::Stream, options, seed)?,
            operation,
            reading: None,
            output: None,
        })
    }

    /// Returns the result, or as an error what to ask of the driver. Past `deadline` nothing is begun.
    pub(crate) fn poll<I, T>(
        &mut self,
        now: Now,
        deadline: Deadline,
    ) -> Result<Result<O::Output, ExchangeError>, Step<I, T>> {
        if let Some(reading) = &mut self.reading {
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
            Next::Read { until } => return Err(Step::Wait { until }),
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

    /// The body has been read, or enough of it.
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
            // A body that broke off still has its status, and that says more than the failure.
            Event::Failure(..) if self.reading.is_some() => self.decode(),
            Event::Failure(_, failure) => self.exchange.handle(failure),
        }
    }
}

/// An answer in [`Slot::Stream`] that turned out to be no stream.
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

    /// Until when the end of the body is waited for, counted from the first poll; `None` once that is over.
    fn until(&mut self, now: Now, deadline: Deadline) -> Option<Instant> {
        // There is nothing to wait for in a body that is not read.
        let is_read = content_coding::unreadable(&self.head.headers).is_none();
        let wait = if is_read {
            LONGEST_WAIT
        } else {
            Duration::ZERO
        };
        let until = *self.until.get_or_insert(now.mono + wait);
        let until = deadline.soonest(Some(until));
        until.filter(|until| now.mono < *until)
    }

    /// Takes what fits. Whether that is enough.
    fn push(&mut self, data: &[u8]) -> bool {
        let room = LONGEST_ERROR.saturating_sub(self.body.len());
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        self.body.len() == LONGEST_ERROR
    }
}
