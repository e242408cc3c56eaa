use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Messages, Mode, RunOptions, RunRef, SendMessages, StartFlow};
use crate::error::{InvalidRequest, Problem};
use crate::flow::ExchangeError;
use crate::options::CallOptions;
use crate::{Endpoint, SandboxId, ThreadId, VaultId};

/// Runs an agent: in the sandbox and the thread that are named, or in new ones.
///
/// With `AgentClient`, give it to `Threads::run` or `Threads::run_in_background`; [`flow`](Self::flow) is for other HTTP stacks.
///
/// Without a sandbox one is created for the agent; without a thread one is created in the sandbox; then the messages
/// are sent. That is up to three exchanges.
///
/// A run is known by the id of its turn, the last user message: one of your own ([`UiMessage::with_id`](crate::ui::UiMessage::with_id)),
/// or one that is made for it. The ids of the user messages have to be unique within a thread.
///
/// To continue a conversation, start it from its [`Session`](crate::Session).
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
    /// Whether the thread is asked first, and nothing is sent while it is streaming. Not by default.
    pub refuse_while_streaming: bool,
    /// Whether a new sandbox is deleted again when the run surely could not start. Not by default.
    pub delete_sandbox_on_failure: bool,
}

/// What stands for an id of the relay's own: so long they are.
const UUID: &str = "00000000-0000-0000-0000-000000000000";

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
            refuse_while_streaming: false,
            delete_sandbox_on_failure: false,
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

    /// Whether the thread is asked first, where there is one already, and nothing is sent while it is streaming: a run on a
    /// thread that is already streaming spoils its history, and the relay accepts it.
    ///
    /// That is one small exchange more, which lists the sandbox's threads. If it fails, the run does not start; for a
    /// sandbox that does not exist that is so too, where otherwise the relay makes one of that name. Between the answer and
    /// the messages somebody else may start a run: whoever has several at once has to take turns.
    #[must_use]
    pub fn refuse_while_streaming(mut self, refuse: bool) -> Self {
        self.refuse_while_streaming = refuse;
        self
    }

    /// Whether a sandbox that was made for this run is deleted again, before the error is returned, when the run surely
    /// could not start: so a failure leaves nothing behind that costs.
    ///
    /// Surely could not start: the messages were never sent; or they were refused with a status from 400 to 499, except 408
    /// and 409, or with the code `sandbox_unavailable`. After any other answer, and where there is none, a run may
    /// exist, and its sandbox stays. So does a sandbox that you named, always.
    ///
    /// [`StartError::created`] names the sandbox still if deleting it failed too. The deletion is part of the call: once the
    /// call's deadline is over it does not begin, and a call that is dropped meanwhile may leave the sandbox behind.
    #[must_use]
    pub fn delete_sandbox_on_failure(mut self, delete: bool) -> Self {
        self.delete_sandbox_on_failure = delete;
        self
    }

    /// The exchanges that start this run. Its answer is streamed, or with [`Mode::Background`] only stored.
    ///
    /// The next turn, which is the last user message, gets an id if it has none: `msg_` and 16 hexadecimal digits, made from
    /// `seed`. By it the turn, and then the answer, is found among the messages that the thread has stored. An id that you gave
    /// stays as it is; give no turn the id of another. [`RunRef::user_message_id`] tells which it is.
    ///
    /// `seed` also spreads the delays of many clients: take a random number, a new one for every run.
    ///
    /// # Errors
    /// Everything that can be checked is checked here, before the first request: that there is a next turn with a text, the
    /// options, and that it all fits into the 10 MiB that the relay takes.
    pub fn flow(
        mut self,
        mode: Option<Mode>,
        options: &CallOptions,
        seed: u64,
    ) -> Result<StartFlow, InvalidRequest> {
        if self.thread_id.is_some() && self.sandbox_id.is_none() {
            return Err(InvalidRequest::new("threadId", Problem::Needs("sandboxId")));
        }
        let user_message_id = self.messages.identify_turn(seed);
        // Everything is checked as it will be sent, with its length; ids that do not exist yet will be the relay's own.
        crate::ids::check("agent", &self.agent)?;
        let sandbox_id = self
            .sandbox_id
            .clone()
            .map_or_else(|| SandboxId::new(UUID), Ok)?;
        let thread_id = self
            .thread_id
            .clone()
            .map_or_else(|| ThreadId::new(UUID), Ok)?;
        self.send_messages(sandbox_id, Some(thread_id), mode)
            .to_request()?;
        Ok(StartFlow::new(self, user_message_id, mode, options, seed))
    }

    pub(super) fn send_messages(
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

/// A run that has started. Its [`run`](Self::run) is what an application stores to follow it or to end it from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Started {
    /// The run. Its turn has the caller's own id, or the one that [`StartRun::flow`] gave it.
    pub run: RunRef,
    /// What was created for it.
    pub created: Created,
}

/// What exists because of a call. It costs money until it is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Created {
    /// A new sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<SandboxId>,
    /// A new thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    pub(super) created: Created,
    pub(super) cause: StartErrorCause,
}

#[derive(Debug)]
pub(super) enum StartErrorCause {
    Exchange {
        step: &'static str,
        source: Box<ExchangeError>,
    },
    ThreadStreaming,
}

impl StartError {
    /// What exists all the same.
    pub fn created(&self) -> &Created {
        &self.created
    }

    /// Whether nothing was sent because the thread is streaming, see [`StartRun::refuse_while_streaming`]. Wait for the end
    /// of its run, or cancel it.
    pub fn is_thread_streaming(&self) -> bool {
        matches!(self.cause, StartErrorCause::ThreadStreaming)
    }

    /// What went wrong, unless [the thread is streaming](Self::is_thread_streaming).
    pub fn exchange_error(&self) -> Option<&ExchangeError> {
        match &self.cause {
            StartErrorCause::Exchange { source, .. } => Some(source),
            StartErrorCause::ThreadStreaming => None,
        }
    }

    /// What exists all the same, and what went wrong, unless [the thread is streaming](Self::is_thread_streaming).
    pub fn into_parts(self) -> (Created, Option<ExchangeError>) {
        match self.cause {
            StartErrorCause::Exchange { source, .. } => (self.created, Some(*source)),
            StartErrorCause::ThreadStreaming => (self.created, None),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            StartErrorCause::Exchange { step, .. } => {
                write!(f, "the run did not start: {step} failed")
            }
            StartErrorCause::ThreadStreaming => {
                f.write_str("the run did not start: its thread is already streaming")
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.exchange_error()?)
    }
}
