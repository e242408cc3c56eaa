use std::convert::Infallible;

use bytes::Bytes;
use http::StatusCode;
use http::response::Parts;

use super::{
    BackgroundRun, Created, Mode, OtherAgent, RunRef, SendAnswer, SendMessages, StartError,
    StartErrorKind, StartRun, Started,
};
use crate::error::{ErrorCode, InvalidRequest, ResponseError};
use crate::flow::{
    Deadline, Exchange, ExchangeError, ExchangeErrorKind, Failure, Flow, Next, Now, Reading, Sent,
    Slot, Step,
};
use crate::operation::{Head, StreamingOperation};
use crate::options::CallOptions;
use crate::sandboxes::{CreateSandbox, DeleteSandbox, GetSandbox, Sandbox};
use crate::threads::{CreateThread, ThreadStatus};
use crate::ui::Text;
use crate::{Operation, SandboxId};

/// The [`Flow`] of [`StartRun`]. When a run is streamed and has started, [`Slot::Stream`] holds its stream.
#[derive(Debug)]
pub struct StartFlow {
    run: StartRun,
    user_message_id: Option<Text<'static>>,
    mode: Option<Mode>,
    options: CallOptions,
    seed: u64,
    deadline: Deadline,
    created: Created,
    /// Whether the sandbox need not be looked at, or no longer.
    has_looked: bool,
    /// Whether to close the stream before anything else.
    close: bool,
    state: State,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it changes a few times"
)]
enum State {
    /// To begin with what is missing.
    Next,
    Look(GetSandbox, Exchange),
    Sandbox(CreateSandbox, Exchange),
    Thread(CreateThread, Exchange),
    Messages {
        send: SendMessages,
        exchange: Exchange,
        reading: Option<Reading>,
    },
    /// Deletes what was made for a run that surely has not started.
    Delete {
        delete: DeleteSandbox,
        exchange: Exchange,
        error: StartError,
    },
    Done(Result<Started, StartError>),
    Finished,
}

impl StartFlow {
    pub(super) fn new(
        run: StartRun,
        user_message_id: Option<Text<'static>>,
        mode: Option<Mode>,
        options: &CallOptions,
        seed: u64,
    ) -> Self {
        Self {
            has_looked: !run.look_first,
            run,
            user_message_id,
            mode,
            options: *options,
            seed,
            deadline: Deadline::new(options),
            created: Created::default(),
            close: false,
            state: State::Next,
        }
    }

    /// The next of the exchanges that are missing.
    fn next(&self) -> Result<State, InvalidRequest> {
        let Some(sandbox_id) = self
            .run
            .sandbox_id
            .as_ref()
            .or(self.created.sandbox_id.as_ref())
        else {
            let create = CreateSandbox::new(self.run.agent.clone());
            let exchange = Exchange::new(&create, Slot::Exchange, &self.options, self.seed)?;
            return Ok(State::Sandbox(create, exchange));
        };
        // One that was made for this run holds no surprise.
        if self.run.sandbox_id.is_some() && !self.has_looked {
            let look = GetSandbox::new(sandbox_id);
            let exchange = Exchange::new(&look, Slot::Exchange, &self.options, self.seed)?;
            return Ok(State::Look(look, exchange));
        }
        let Some(thread_id) = self
            .run
            .thread_id
            .as_ref()
            .or(self.created.thread_id.as_ref())
        else {
            let create = CreateThread {
                name: self.run.thread_name(),
                ..CreateThread::new(sandbox_id)
            };
            let exchange = Exchange::new(&create, Slot::Exchange, &self.options, self.seed)?;
            return Ok(State::Thread(create, exchange));
        };
        let send = self
            .run
            .send_messages(sandbox_id.clone(), Some(thread_id.clone()), self.mode);
        let options = self.options.listening();
        let exchange = Exchange::new(&send, Slot::Stream, &options, self.seed)?;
        Ok(State::Messages {
            send,
            exchange,
            reading: None,
        })
    }

    /// Whether the run may go on in this sandbox. A thread that is not in it is left to the relay, which knows best.
    fn looked(&mut self, sandbox_id: SandboxId, sandbox: Sandbox) {
        self.has_looked = true;
        let owner = sandbox.agent.filter(|owner| owner.slug != self.run.agent);
        let is_streaming = sandbox.threads.iter().any(|thread| {
            self.run.thread_id.as_ref() == Some(&thread.id)
                && thread.status == ThreadStatus::Streaming
        });
        let kind = match owner {
            Some(owner) => StartErrorKind::OtherAgent(OtherAgent {
                sandbox_id,
                agent: self.run.agent.clone(),
                owner: owner.slug,
            }),
            None if is_streaming => StartErrorKind::ThreadStreaming,
            None => {
                self.state = State::Next;
                return;
            }
        };
        self.state = State::Done(Err(StartError {
            created: self.created.clone(),
            kind,
        }));
    }

    fn fail(&mut self, source: ExchangeError) {
        let (step, surely_no_run) = match std::mem::replace(&mut self.state, State::Finished) {
            State::Next => ("preparing the request", true),
            State::Look(..) => ("looking at its sandbox", true),
            State::Sandbox(..) => ("creating the sandbox", true),
            State::Thread(..) => ("creating the thread", true),
            State::Messages { .. } => ("sending the messages", proves_no_run(source.kind())),
            // The first cause says more than why it could not be cleared away.
            State::Delete { error, .. } => {
                self.state = State::Done(Err(error));
                return;
            }
            state @ (State::Done(_) | State::Finished) => {
                self.state = state;
                return;
            }
        };
        let error = StartError {
            created: self.created.clone(),
            kind: StartErrorKind::Exchange {
                step,
                source: Box::new(source),
            },
        };
        let sandbox_id = self.created.sandbox_id.as_ref();
        let delete = sandbox_id
            .filter(|_| self.run.delete_sandbox_on_failure && surely_no_run)
            .map(DeleteSandbox::new);
        let deletion = delete.and_then(|delete| {
            let exchange = Exchange::new(&delete, Slot::Exchange, &self.options, self.seed);
            Some((delete, exchange.ok()?))
        });
        self.state = match deletion {
            Some((delete, exchange)) => {
                self.close = true;
                State::Delete {
                    delete,
                    exchange,
                    error,
                }
            }
            None => State::Done(Err(error)),
        };
    }

    /// The sandbox is gone, and its thread with it.
    fn deleted(&mut self) {
        if let State::Delete { error, .. } = std::mem::replace(&mut self.state, State::Finished) {
            let created = Created::default();
            self.state = State::Done(Err(StartError { created, ..error }));
        }
    }

    fn started(&self, send: &SendMessages, answer: SendAnswer) -> Option<Started> {
        let thread_id = match answer {
            SendAnswer::Background(BackgroundRun {
                thread_id: Some(thread_id),
                ..
            }) => Some(thread_id),
            _ => send.thread_id.clone(),
        };
        // Messages are sent only with a thread.
        Some(Started {
            run: RunRef {
                user_message_id: self.user_message_id.clone(),
                ..RunRef::new(send.agent.clone(), &send.sandbox_id, thread_id?)
            },
            created: self.created.clone(),
        })
    }

    /// The body has been read, or enough of it.
    fn decode(&mut self) {
        let State::Messages {
            send,
            exchange,
            reading,
        } = &mut self.state
        else {
            return;
        };
        let Some(Reading { head, body, .. }) = reading.take() else {
            return;
        };
        match send.decode(&head, &body) {
            Ok(answer) => {
                let send = send.clone();
                if let Some(started) = self.started(&send, answer) {
                    self.close = true;
                    self.state = State::Done(Ok(started));
                }
            }
            Err(error) => exchange.handle(error),
        }
    }
}

/// Whether no run can have come of messages that were sent like this.
fn proves_no_run(error: &ExchangeErrorKind) -> bool {
    match error {
        ExchangeErrorKind::InvalidRequest(_) => true,
        // An attempt before it was surely not sent either, or was answered with 429.
        ExchangeErrorKind::Failure(failure) => failure.sent() == Sent::No,
        ExchangeErrorKind::Response(ResponseError::Api(error)) => {
            // 409 also says that a run is streaming, and 408 nothing.
            let refused = error.status().is_client_error()
                && !matches!(
                    error.status(),
                    StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT
                );
            // So the relay answers when it could not reach the runtime: it follows no run there.
            refused || error.code() == Some(&ErrorCode::SandboxUnavailable)
        }
        ExchangeErrorKind::Response(ResponseError::NotUnderstood(_))
        | ExchangeErrorKind::Deadline { .. } => false,
    }
}

impl Flow for StartFlow {
    type Item = Infallible;
    type Output = Result<Started, StartError>;

    fn poll(&mut self, now: Now) -> Step<Self::Item, Self::Output> {
        let deadline = self.deadline.begin(now);
        loop {
            if std::mem::take(&mut self.close) {
                return Step::Close(Slot::Stream);
            }
            let exchange = match &mut self.state {
                State::Next => {
                    match self.next() {
                        Ok(state) => self.state = state,
                        Err(error) => self.fail(error.into()),
                    }
                    continue;
                }
                State::Messages {
                    reading: Some(reading),
                    ..
                } => {
                    if let Some(until) = reading.until(now, deadline) {
                        return Step::Read { until: Some(until) };
                    }
                    self.decode();
                    continue;
                }
                State::Look(_, exchange)
                | State::Sandbox(_, exchange)
                | State::Thread(_, exchange)
                | State::Messages { exchange, .. }
                | State::Delete { exchange, .. } => exchange,
                state @ (State::Done(_) | State::Finished) => {
                    return match std::mem::replace(state, State::Finished) {
                        State::Done(result) => Step::Done(result),
                        _ => Step::Read { until: None },
                    };
                }
            };
            match exchange.poll(now, deadline) {
                Next::Send(send) => return Step::Send(send),
                Next::Read { until } => return Step::Read { until },
                Next::Failed(error) => self.fail(error),
                // Only a deletion comes to this.
                Next::Gone => self.deleted(),
            }
        }
    }

    fn handle_answer(&mut self, _: Slot, head: Parts, body: Bytes) {
        match &mut self.state {
            State::Look(look, exchange) => match look.decode(&head, &body) {
                Ok(sandbox) => {
                    let sandbox_id = look.sandbox_id.clone();
                    self.looked(sandbox_id, sandbox);
                }
                Err(error) => exchange.handle(error),
            },
            State::Sandbox(create, exchange) => match create.decode(&head, &body) {
                Ok(sandbox) => {
                    self.created.sandbox_id = Some(sandbox.id);
                    self.state = State::Next;
                }
                Err(error) => exchange.handle(error),
            },
            State::Thread(create, exchange) => match create.decode(&head, &body) {
                Ok(thread) => {
                    self.created.thread_id = Some(thread.id);
                    self.state = State::Next;
                }
                Err(error) => exchange.handle(error),
            },
            State::Messages { send, reading, .. } => match send.decode_head(&head) {
                Head::Read => *reading = Some(Reading::new(head, &body)),
                Head::Open(answer) => {
                    let (send, streams) = (send.clone(), answer == SendAnswer::Streaming);
                    if let Some(started) = self.started(&send, answer) {
                        self.close = !streams;
                        self.state = State::Done(Ok(started));
                    }
                }
            },
            State::Delete {
                delete, exchange, ..
            } => match delete.decode(&head, &body) {
                Ok(()) => self.deleted(),
                Err(error) => exchange.handle(error),
            },
            State::Next | State::Done(_) | State::Finished => {}
        }
    }

    fn handle_data(&mut self, data: Bytes) {
        let State::Messages {
            reading: Some(reading),
            ..
        } = &mut self.state
        else {
            return;
        };
        if reading.push(&data) {
            self.decode();
        }
    }

    fn handle_end(&mut self) {
        self.decode();
    }

    fn handle_failure(&mut self, _: Slot, failure: Failure) {
        match &mut self.state {
            // A body that broke off still has its status, and that says more than the failure.
            State::Messages {
                reading: Some(_), ..
            } => self.decode(),
            State::Look(_, exchange)
            | State::Sandbox(_, exchange)
            | State::Thread(_, exchange)
            | State::Messages { exchange, .. }
            | State::Delete { exchange, .. } => {
                exchange.handle(failure);
            }
            State::Next | State::Done(_) | State::Finished => {}
        }
    }
}
