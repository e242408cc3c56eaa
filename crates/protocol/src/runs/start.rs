use std::fmt;

use bytes::Bytes;
use http::Request;
use http::response::Parts;

use super::{BackgroundRun, Messages, Mode, RunOptions, SendAnswer, SendMessages};
use crate::error::{InvalidRequest, Problem, ResponseError};
use crate::flow::{ExchangeError, Failure, Flow, Now, Slot, Step};
use crate::operation::{Head, StreamingOperation};
use crate::sandboxes::CreateSandbox;
use crate::threads::CreateThread;
use crate::{Body, Endpoint, Operation, SandboxId, ThreadId, VaultId};

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
    /// The vaults with the credentials for this run, without duplicates.
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

    /// The vaults with the credentials for this run. Duplicates are dropped, the order is kept.
    #[must_use]
    pub fn vault_ids(mut self, vault_ids: impl IntoIterator<Item = VaultId>) -> Self {
        let mut unique = Vec::new();
        for vault_id in vault_ids {
            if !unique.contains(&vault_id) {
                unique.push(vault_id);
            }
        }
        self.vault_ids = Some(unique);
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
    /// # Errors
    /// Everything that can be checked is checked here, before the first request.
    pub fn flow(self, mode: Option<Mode>) -> Result<StartFlow, InvalidRequest> {
        if self.thread_id.is_some() && self.sandbox_id.is_none() {
            return Err(InvalidRequest::new("threadId", Problem::Needs("sandboxId")));
        }
        // The ids that do not exist yet are the relay's own; everything else is checked as it will be sent.
        crate::ids::check("agent", &self.agent)?;
        let placeholder = SandboxId::new("-")?;
        self.send_messages(self.sandbox_id.clone().unwrap_or(placeholder), None, mode)
            .to_request()?;
        Ok(StartFlow {
            run: self,
            mode,
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
    /// The sandbox in which it is.
    pub sandbox_id: SandboxId,
    /// The thread in which it is.
    pub thread_id: ThreadId,
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
    source: ExchangeError,
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
        (self.created, self.source)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the run did not start: {} failed", self.step)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The [`Flow`] of [`StartRun`]. When a run is streamed and has started, [`Slot::Stream`] holds its stream.
#[derive(Debug)]
pub struct StartFlow {
    run: StartRun,
    mode: Option<Mode>,
    created: Created,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To send what is missing.
    Next,
    Sandbox(CreateSandbox),
    Thread(CreateThread),
    Messages(SendMessages),
    /// The answer to the messages is no stream: its body is read.
    Body {
        send: SendMessages,
        head: Parts,
        body: Vec<u8>,
    },
    /// To close the stream, then to say so.
    Close(Result<Started, StartError>),
    Done(Result<Started, StartError>),
    Finished,
}

/// The most of a body that is read where no stream comes: errors are short, and garbage is not worth more.
const LONGEST_ANSWER: usize = 1024 * 1024;

impl StartFlow {
    fn next(&mut self) -> Step<std::convert::Infallible, Result<Started, StartError>> {
        let Some(sandbox_id) = self.sandbox_id().cloned() else {
            let create = CreateSandbox::new(self.run.agent.clone());
            return self.send(Slot::Exchange, create.to_request(), State::Sandbox(create));
        };
        let Some(thread_id) = self.thread_id().cloned() else {
            let create = CreateThread {
                name: self.run.name.clone(),
                ..CreateThread::new(sandbox_id)
            };
            return self.send(Slot::Exchange, create.to_request(), State::Thread(create));
        };
        let send = self
            .run
            .send_messages(sandbox_id, Some(thread_id), self.mode);
        self.send(Slot::Stream, send.to_request(), State::Messages(send))
    }

    fn send(
        &mut self,
        slot: Slot,
        request: Result<Request<Body>, InvalidRequest>,
        state: State,
    ) -> Step<std::convert::Infallible, Result<Started, StartError>> {
        self.state = state;
        match request {
            Ok(request) => Step::Send { slot, request },
            Err(error) => Step::Done(Err(self.error(error.into()))),
        }
    }

    fn sandbox_id(&self) -> Option<&SandboxId> {
        self.run
            .sandbox_id
            .as_ref()
            .or(self.created.sandbox_id.as_ref())
    }

    fn thread_id(&self) -> Option<&ThreadId> {
        self.run
            .thread_id
            .as_ref()
            .or(self.created.thread_id.as_ref())
    }

    fn error(&mut self, source: ExchangeError) -> StartError {
        let step = match std::mem::replace(&mut self.state, State::Finished) {
            State::Sandbox(_) => "creating the sandbox",
            State::Thread(_) => "creating the thread",
            _ => "sending the messages",
        };
        StartError {
            step,
            created: self.created.clone(),
            source,
        }
    }

    fn started(&self, send: SendMessages, answer: SendAnswer) -> Result<Started, StartError> {
        let thread_id = match answer {
            SendAnswer::Background(BackgroundRun {
                thread_id: Some(thread_id),
                ..
            }) => Some(thread_id),
            _ => send.thread_id,
        };
        match thread_id {
            Some(thread_id) => Ok(Started {
                sandbox_id: send.sandbox_id,
                thread_id,
                created: self.created.clone(),
            }),
            // Not reached: messages are sent only with a thread.
            None => Err(StartError {
                step: "sending the messages",
                created: self.created.clone(),
                source: InvalidRequest::new("threadId", Problem::Empty).into(),
            }),
        }
    }

    /// The body has been read, or enough of it.
    fn decode(&mut self) {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Body { send, head, body } => {
                let result = match send.decode(&head, &body) {
                    Ok(answer) => self.started(send, answer),
                    Err(error) => {
                        self.state = State::Messages(send);
                        Err(self.error(error.into()))
                    }
                };
                self.state = State::Close(result);
            }
            other => self.state = other,
        }
    }
}

impl Flow for StartFlow {
    type Item = std::convert::Infallible;
    type Output = Result<Started, StartError>;

    fn poll(&mut self, _: Now) -> Step<Self::Item, Self::Output> {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Next => self.next(),
            State::Close(result) => {
                self.state = State::Done(result);
                Step::Close(Slot::Stream)
            }
            State::Done(result) => Step::Done(result),
            waiting => {
                self.state = waiting;
                Step::Read { until: None }
            }
        }
    }

    fn handle_answer(&mut self, _: Slot, head: Parts, body: Bytes) {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Sandbox(create) => match create.decode(&head, &body) {
                Ok(sandbox) => {
                    self.created.sandbox_id = Some(sandbox.id);
                    self.state = State::Next;
                }
                Err(error) => self.fail(State::Sandbox(create), error),
            },
            State::Thread(create) => match create.decode(&head, &body) {
                Ok(thread) => {
                    self.created.thread_id = Some(thread.id);
                    self.state = State::Next;
                }
                Err(error) => self.fail(State::Thread(create), error),
            },
            State::Messages(send) => match send.decode_head(&head) {
                Head::Open(SendAnswer::Streaming) => {
                    self.state = State::Done(self.started(send, SendAnswer::Streaming));
                }
                Head::Open(answer) => self.state = State::Close(self.started(send, answer)),
                Head::Read => {
                    self.state = State::Body {
                        send,
                        head,
                        body: body.to_vec(),
                    }
                }
            },
            other => self.state = other,
        }
    }

    fn handle_data(&mut self, data: Bytes) {
        if let State::Body { body, .. } = &mut self.state {
            let room = LONGEST_ANSWER.saturating_sub(body.len());
            body.extend_from_slice(&data[..data.len().min(room)]);
            if body.len() == LONGEST_ANSWER {
                self.decode();
            }
        }
    }

    fn handle_end(&mut self) {
        self.decode();
    }

    fn handle_failure(&mut self, _: Slot, failure: Failure) {
        // A body that broke off still has its status, and that says more than the failure.
        if matches!(self.state, State::Body { .. }) {
            return self.decode();
        }
        let error = self.error(failure.into());
        self.state = State::Done(Err(error));
    }
}

impl StartFlow {
    fn fail(&mut self, at: State, error: ResponseError) {
        self.state = at;
        let error = self.error(error.into());
        self.state = State::Done(Err(error));
    }
}
