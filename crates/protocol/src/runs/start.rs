use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;
use http::response::Parts;

use super::{BackgroundRun, Messages, Mode, RunOptions, SendAnswer, SendMessages};
use crate::error::{InvalidRequest, Problem};
use crate::flow::{
    Deadline, Exchange, ExchangeError, Failure, Flow, Next, Now, Reading, Slot, Step,
};
use crate::operation::{Head, StreamingOperation};
use crate::options::CallOptions;
use crate::sandboxes::CreateSandbox;
use crate::threads::CreateThread;
use crate::ui::Text;
use crate::{Endpoint, Operation, SandboxId, ThreadId, VaultId};

/// Runs an agent: in the sandbox and the thread that are named, or in new ones.
///
/// Without a sandbox one is created for the agent; without a thread one is created in the sandbox; then the messages
/// are sent. That is up to three exchanges, which [`flow`](Self::flow) plays.
///
/// ```
/// use twentyfirst_protocol::SandboxId;
/// use twentyfirst_protocol::runs::{RunOptions, StartRun};
///
/// let run = StartRun::new("my-agent", "Analyze the code in /src and find bugs")
///     .sandbox_id(SandboxId::new("sbx_abc123")?)
///     .options(RunOptions::new().max_turns(25));
/// # let _ = run;
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StartRun {
    /// The slug of the agent.
    pub agent: String,
    /// The conversation, with the next turn at its end.
    pub messages: Messages,
    /// The sandbox; a new one by default.
    pub sandbox_id: Option<SandboxId>,
    /// The thread, which needs its sandbox; a new one by default.
    pub thread_id: Option<ThreadId>,
    /// The name of the thread, where one is created.
    pub name: Option<String>,
    /// The vaults with the credentials for this run. Duplicates are not sent.
    pub vault_ids: Option<Vec<VaultId>>,
    /// Whose vault is used; with a token it must be the token's `endUserId`.
    pub external_user_id: Option<String>,
    /// What this run overrides of the agent's configuration.
    pub options: Option<RunOptions>,
}

impl StartRun {
    /// With these messages: a text, a [`UiMessage`](crate::ui::UiMessage) or many.
    pub fn new(agent: impl Into<String>, messages: impl Into<Messages>) -> Self {
        Self {
            agent: agent.into(),
            messages: messages.into(),
            sandbox_id: None,
            thread_id: None,
            name: None,
            vault_ids: None,
            external_user_id: None,
            options: None,
        }
    }

    /// In this sandbox.
    #[must_use]
    pub fn sandbox_id(mut self, sandbox_id: impl Into<SandboxId>) -> Self {
        self.sandbox_id = Some(sandbox_id.into());
        self
    }

    /// In this thread of the sandbox.
    #[must_use]
    pub fn thread_id(mut self, thread_id: impl Into<ThreadId>) -> Self {
        self.thread_id = Some(thread_id.into());
        self
    }

    /// The name of the thread, where one is created.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The vaults with the credentials for this run. Each is sent once, in this order.
    #[must_use]
    pub fn vault_ids(mut self, vault_ids: impl IntoIterator<Item = VaultId>) -> Self {
        self.vault_ids = Some(vault_ids.into_iter().collect());
        self
    }

    /// Whose vault is used.
    #[must_use]
    pub fn external_user_id(mut self, user_id: impl Into<String>) -> Self {
        self.external_user_id = Some(user_id.into());
        self
    }

    /// What this run overrides of the agent's configuration.
    #[must_use]
    pub fn options(mut self, options: RunOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// The exchanges that start this run. Its answer is streamed, or with [`Mode::Background`] only stored.
    ///
    /// The next turn, which is the last user message, gets an id if it has none: `msg_` and 16 hexadecimal digits, made from
    /// `seed`. By it the turn, and then the answer, is found among the messages that the thread has stored. An id that you gave
    /// stays as it is; give no turn the id of another. [`Started::user_message_id`] tells which it is.
    ///
    /// `seed` also spreads the delays of many clients: take a random number, a new one for every run.
    ///
    /// # Errors
    /// Everything that can be checked is checked here, before the first request.
    pub fn flow(
        mut self,
        mode: Option<Mode>,
        options: &CallOptions,
        seed: u64,
    ) -> Result<StartFlow, InvalidRequest> {
        if self.thread_id.is_some() && self.sandbox_id.is_none() {
            return Err(InvalidRequest::new("threadId", Problem::Needs("sandboxId")));
        }
        // The ids that do not exist yet are the relay's own; everything else is checked as it will be sent.
        crate::ids::check("agent", &self.agent)?;
        let placeholder = SandboxId::new("-")?;
        self.send_messages(self.sandbox_id.clone().unwrap_or(placeholder), None, mode)
            .to_request()?;
        let user_message_id = self.messages.identify_turn(seed);
        Ok(StartFlow {
            run: self,
            user_message_id,
            mode,
            options: *options,
            seed,
            deadline: Deadline::new(options),
            created: Created::default(),
            state: State::Next,
        })
    }

    fn send_messages(
        &self,
        sandbox_id: SandboxId,
        thread_id: Option<ThreadId>,
        mode: Option<Mode>,
    ) -> SendMessages {
        SendMessages {
            thread_id,
            mode,
            vault_ids: self.vault_ids.clone(),
            external_user_id: self.external_user_id.clone(),
            options: self.options.clone(),
            ..SendMessages::new(self.agent.clone(), sandbox_id, self.messages.clone())
        }
    }
}

/// A run that has started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Started {
    /// The slug of the agent.
    pub agent: String,
    /// The sandbox in which it is.
    pub sandbox_id: SandboxId,
    /// The thread in which it is.
    pub thread_id: ThreadId,
    /// The id of the user message that is its turn: the caller's own, or the one that [`StartRun::flow`] gave it.
    pub user_message_id: Option<Text<'static>>,
    /// What was created for it.
    pub created: Created,
}

/// What exists because of a call. It costs money until it is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Created {
    /// A new sandbox.
    pub sandbox_id: Option<SandboxId>,
    /// A new thread.
    pub thread_id: Option<ThreadId>,
}

impl Created {
    /// Whether nothing was created.
    pub fn is_empty(&self) -> bool {
        self.sandbox_id.is_none() && self.thread_id.is_none()
    }
}

/// Why a run did not start.
#[derive(Debug)]
pub struct StartError {
    step: &'static str,
    created: Created,
    source: Box<ExchangeError>,
}

impl StartError {
    /// What exists all the same.
    pub fn created(&self) -> &Created {
        &self.created
    }

    /// What went wrong.
    pub fn exchange_error(&self) -> &ExchangeError {
        &self.source
    }

    /// What exists all the same, and what went wrong.
    pub fn into_parts(self) -> (Created, ExchangeError) {
        (self.created, *self.source)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the run did not start: {} failed", self.step)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

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
    state: State,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it changes three times"
)]
enum State {
    /// To begin with what is missing.
    Next,
    Sandbox(CreateSandbox, Exchange),
    Thread(CreateThread, Exchange),
    Messages {
        send: SendMessages,
        exchange: Exchange,
        reading: Option<Reading>,
    },
    /// To close the stream, then to say so.
    Close(Result<Started, StartError>),
    Done(Result<Started, StartError>),
    Finished,
}

impl StartFlow {
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
        let Some(thread_id) = self
            .run
            .thread_id
            .as_ref()
            .or(self.created.thread_id.as_ref())
        else {
            let create = CreateThread {
                name: self.run.name.clone(),
                ..CreateThread::new(sandbox_id)
            };
            let exchange = Exchange::new(&create, Slot::Exchange, &self.options, self.seed)?;
            return Ok(State::Thread(create, exchange));
        };
        let send = self
            .run
            .send_messages(sandbox_id.clone(), Some(thread_id.clone()), self.mode);
        let exchange = Exchange::new(&send, Slot::Stream, &self.options, self.seed)?;
        Ok(State::Messages {
            send,
            exchange,
            reading: None,
        })
    }

    fn error(&self, step: &'static str, source: ExchangeError) -> StartError {
        StartError {
            step,
            created: self.created.clone(),
            source: Box::new(source),
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
            agent: send.agent.clone(),
            sandbox_id: send.sandbox_id.clone(),
            thread_id: thread_id?,
            user_message_id: self.user_message_id.clone(),
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
        let Some(Reading { head, body }) = reading.take() else {
            return;
        };
        match send.decode(&head, &body) {
            Ok(answer) => {
                let send = send.clone();
                if let Some(started) = self.started(&send, answer) {
                    self.state = State::Close(Ok(started));
                }
            }
            Err(error) => exchange.handle(error),
        }
    }
}

impl Flow for StartFlow {
    type Item = Infallible;
    type Output = Result<Started, StartError>;

    fn poll(&mut self, now: Now) -> Step<Self::Item, Self::Output> {
        let deadline = self.deadline.begin(now);
        if matches!(self.state, State::Next) {
            match self.next() {
                Ok(state) => self.state = state,
                Err(error) => {
                    return Step::Done(Err(self.error("preparing the request", error.into())));
                }
            }
        }
        let (step, exchange) = match &mut self.state {
            State::Sandbox(_, exchange) => ("creating the sandbox", exchange),
            State::Thread(_, exchange) => ("creating the thread", exchange),
            State::Messages { exchange, .. } => ("sending the messages", exchange),
            state => {
                return match std::mem::replace(state, State::Finished) {
                    State::Close(result) => {
                        self.state = State::Done(result);
                        Step::Close(Slot::Stream)
                    }
                    State::Done(result) => Step::Done(result),
                    _ => Step::Read { until: None },
                };
            }
        };
        match exchange.poll(now, deadline) {
            Next::Send(send) => Step::Send(send),
            Next::Read { until } => Step::Read { until },
            Next::Failed(error) => Step::Done(Err(self.error(step, error))),
            // Nothing is deleted here.
            Next::Gone => Step::Read { until: None },
        }
    }

    fn handle_answer(&mut self, _: Slot, head: Parts, body: Bytes) {
        match &mut self.state {
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
                        self.state = if streams {
                            State::Done(Ok(started))
                        } else {
                            State::Close(Ok(started))
                        };
                    }
                }
            },
            _ => {}
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
            State::Sandbox(_, exchange)
            | State::Thread(_, exchange)
            | State::Messages { exchange, .. } => {
                exchange.handle(failure);
            }
            _ => {}
        }
    }
}
