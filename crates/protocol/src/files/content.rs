use std::convert::Infallible;

use http::StatusCode;

use super::{ReadBytes, ReadFile, ReadStream};
use crate::Operation;
use crate::error::{InvalidRequest, ResponseError};
use crate::flow::{
    Deadline, Event, Exchange, ExchangeError, ExchangeErrorKind, ExecuteFlow, Flow, Next, Now,
    OpenFlow, Slot, Step,
};
use crate::options::CallOptions;

impl ReadBytes {
    /// Returns the flow that reads this file, [an empty one too](ReadContent). `seed` spreads the delays of many clients: pass
    /// any random number.
    ///
    /// # Errors
    /// Returns an error if the request is invalid. Everything that can be checked is checked here, before the first request.
    pub fn flow(
        &self,
        options: &CallOptions,
        seed: u64,
    ) -> Result<ReadContent<ExecuteFlow<'_, Self>>, InvalidRequest> {
        let read = || ExecuteFlow::new(self, options, seed);
        let text = ReadFile::new(&self.sandbox_id, &self.path);
        Ok(ReadContent::new(read()?, read()?, text, options, seed))
    }
}

impl ReadStream {
    /// Returns the flow that reads this file, [an empty one too](ReadContent). In the end [`Slot::Stream`] holds its content, or
    /// nothing if the file is empty. `seed` spreads the delays of many clients: pass any random number.
    ///
    /// # Errors
    /// Returns an error if the request is invalid. Everything that can be checked is checked here, before the first request.
    pub fn flow(
        &self,
        options: &CallOptions,
        seed: u64,
    ) -> Result<ReadContent<OpenFlow<'_, Self>>, InvalidRequest> {
        let read = || OpenFlow::new(self, options, seed);
        let text = ReadFile::new(&self.sandbox_id, &self.path);
        Ok(ReadContent::new(read()?, read()?, text, options, seed))
    }
}

/// The [`Flow`] that reads a file as bytes or as a stream, an empty one too.
///
/// The relay reads an empty file only as text. Asked for bytes or a stream, it responds with 500, as it does for a missing file.
/// So after a 500, the flow reads the file as text:
///
/// ```text
/// Reading ─ 500 ─► Failed ─► Looking ┬─ text is empty ─────► Empty: done without content
///                                    ├─ text is not empty ─► ReadingAgain: the file may have been filled in the meantime
///                                    └─ failed ────────────► done with the first error
/// ```
///
/// The flow returns the result of the second read. If the deadline expires before that read ends, it returns the first error.
#[derive(Debug)]
#[must_use = "a flow does nothing until it is driven"]
pub struct ReadContent<F> {
    read: F,
    /// The second read.
    again: F,
    text: ReadFile,
    options: CallOptions,
    seed: u64,
    deadline: Deadline,
    state: State,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a flow has one state, which changes a few times"
)]
enum State {
    Reading,
    /// The stream of the failed response is being closed; reading the text comes next.
    Failed(ExchangeError),
    Looking(Exchange, ExchangeError),
    /// The file has content. The error is that of the first read.
    ReadingAgain(ExchangeError),
    Empty,
}

impl<F> ReadContent<F> {
    fn new(read: F, again: F, text: ReadFile, options: &CallOptions, seed: u64) -> Self {
        Self {
            read,
            again,
            text,
            options: *options,
            seed,
            deadline: Deadline::new(options),
            state: State::Reading,
        }
    }

    /// Returns the read that is under way.
    fn current(&mut self) -> &mut F {
        match self.state {
            State::ReadingAgain(_) => &mut self.again,
            _ => &mut self.read,
        }
    }
}

/// Returns whether an empty file may be the reason.
fn may_be_empty(error: &ExchangeError) -> bool {
    match error.kind() {
        ExchangeErrorKind::Response(ResponseError::Api(error)) => {
            error.status() == StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => false,
    }
}

impl<T, F> Flow for ReadContent<F>
where
    T: Default,
    F: Flow<Item = Infallible, Output = Result<T, ExchangeError>>,
{
    type Item = Infallible;
    type Output = Result<T, ExchangeError>;

    fn poll(&mut self, now: Now) -> Step<Infallible, Self::Output> {
        let deadline = self.deadline.begin(now);
        loop {
            match std::mem::replace(&mut self.state, State::Reading) {
                State::Reading => match self.read.poll(now) {
                    Step::Done(Err(error)) if may_be_empty(&error) => {
                        self.state = State::Failed(error);
                        return Step::Close(Slot::Stream);
                    }
                    step => return step,
                },
                State::Failed(error) => {
                    match Exchange::new(&self.text, Slot::Exchange, &self.options, self.seed) {
                        Ok(exchange) => self.state = State::Looking(exchange, error),
                        Err(_) => return Step::Done(Err(error)),
                    }
                }
                State::Looking(mut exchange, error) => {
                    let step = match exchange.poll(now, deadline) {
                        Next::Send(send) => Step::Send(send),
                        Next::Wait { until } => Step::Wait { until },
                        Next::Failed(_) | Next::Gone => return Step::Done(Err(error)),
                    };
                    self.state = State::Looking(exchange, error);
                    return step;
                }
                State::ReadingAgain(error) => {
                    if !deadline.allows(now.mono) {
                        return Step::Done(Err(error));
                    }
                    self.state = State::ReadingAgain(error);
                    return match self.again.poll(now) {
                        // The second flow starts its deadline later than the call did, so the call's deadline bounds it.
                        Step::Wait { until } => Step::Wait {
                            until: deadline.soonest(until),
                        },
                        step => step,
                    };
                }
                State::Empty => return Step::Done(Ok(T::default())),
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match (event, std::mem::replace(&mut self.state, State::Empty)) {
            (Event::Response { head, body, .. }, State::Looking(mut exchange, error)) => {
                match self.text.decode(&head, &body) {
                    // The state is `Empty` already.
                    Ok(text) if text.content.is_empty() => {}
                    Ok(_) => self.state = State::ReadingAgain(error),
                    Err(failed) => {
                        exchange.handle(failed);
                        self.state = State::Looking(exchange, error);
                    }
                }
            }
            (Event::Failure(_, failure), State::Looking(mut exchange, error)) => {
                exchange.handle(failure);
                self.state = State::Looking(exchange, error);
            }
            (event, state) => {
                self.state = state;
                self.current().handle(event);
            }
        }
    }
}
