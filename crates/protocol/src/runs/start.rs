use serde::{Deserialize, Serialize};

use super::{Messages, Mode, RunOptions, RunRef, SendMessages, StartFlow};
use crate::error::{InvalidRequest, Problem};
use crate::options::CallOptions;
use crate::setters::setters;
use crate::threads::{ThreadName, name_after};
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
/// It can be stored, and started later by any process: it holds no key, and the secrets of a sandbox are no part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "a run does not start until it is given to a client"]
pub struct StartRun {
    /// The slug of the agent.
    pub agent: String,
    /// The conversation, with the next turn at its end.
    pub messages: Messages,
    /// The sandbox, which has to belong to this agent; a new one by default. See [`StartRun::sandbox_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<SandboxId>,
    /// The thread, which needs its sandbox; a new one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// The name of the thread, where one is created; the beginning of the turn's text by default.
    #[serde(default)]
    pub name: ThreadName,
    /// The vaults with the credentials for this run. Duplicates are not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_ids: Option<Vec<VaultId>>,
    /// Whose vault is used; with a token it must be the token's `endUserId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_user_id: Option<String>,
    /// What this run overrides of the agent's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<RunOptions>,
    /// Whether the sandbox is looked at first, and nothing is sent where it belongs to another agent or the thread is streaming. Not by
    /// default.
    #[serde(default)]
    pub look_first: bool,
    /// Whether a new sandbox is deleted again when the run surely could not start. Not by default.
    #[serde(default)]
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
            name: ThreadName::AfterTurn,
            vault_ids: None,
            external_user_id: None,
            options: None,
            look_first: false,
            delete_sandbox_on_failure: false,
        }
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
    /// As [`validate`](Self::validate).
    pub fn flow(
        mut self,
        mode: Option<Mode>,
        options: &CallOptions,
        seed: u64,
    ) -> Result<StartFlow, InvalidRequest> {
        let user_message_id = self.messages.identify_turn(seed);
        self.check(mode)?;
        Ok(StartFlow::new(self, user_message_id, mode, options, seed))
    }

    /// Checks everything that can be checked before a request is sent: that there is a next turn with a text, the options, the ids, and that
    /// it all fits into the 10 MiB that the relay takes.
    ///
    /// [`flow`](Self::flow) does it, too, before its first request, so that no sandbox is paid for a run that would be refused. Call it where a
    /// run is stored to be started later.
    ///
    /// ```
    /// use twentyfirst_protocol::runs::{RunOptions, StartRun};
    ///
    /// let run = StartRun::new("my-agent", "Paint the shed").options(RunOptions::new().max_turns(0));
    /// assert_eq!(run.validate().unwrap_err().field(), "options.max_turns");
    /// ```
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), InvalidRequest> {
        let mut run = self.clone();
        // With the id that a turn gets, which counts for the length.
        run.messages.identify_turn(0);
        run.check(None)
    }

    /// Everything is checked as it will be sent, with its length; ids that do not exist yet will be the relay's own.
    fn check(&self, mode: Option<Mode>) -> Result<(), InvalidRequest> {
        if self.thread_id.is_some() && self.sandbox_id.is_none() {
            return Err(InvalidRequest::new(
                "thread_id",
                Problem::Needs("sandbox_id"),
            ));
        }
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
        Ok(())
    }

    /// The name of the thread to create, if it gets one.
    pub(super) fn thread_name(&self) -> Option<String> {
        match &self.name {
            ThreadName::AfterTurn => {
                let name = self.messages.turn().map(name_after);
                name.filter(|name| !name.is_empty())
            }
            ThreadName::Given(name) => Some(name.clone()),
            ThreadName::None => None,
        }
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

setters! {
    StartRun, start_run_setters;

    /// In this sandbox, which has to belong to this agent.
    ///
    /// The relay keeps sandboxes by agent and id. Where the agent has none with this id, sending the messages **creates a second,
    /// paid machine** under it, and the run fails all the same; deleting the sandbox leaves one of the two. So it is for an id that
    /// is misspelled, too. With [`look_first`](Self::look_first) neither can happen.
    pub fn sandbox_id(mut self, sandbox_id: impl Into<SandboxId>) -> Self {
        self.sandbox_id = Some(sandbox_id.into());
        self
    }

    /// In this thread of the sandbox.
    pub fn thread_id(mut self, thread_id: impl Into<ThreadId>) -> Self {
        self.thread_id = Some(thread_id.into());
        self
    }

    /// The name of the thread, where one is created. By default it is [`name_after`] the turn, as the relay does itself.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = ThreadName::Given(name.into());
        self
    }

    /// No name for the thread, where one is created: nothing of the text stands in lists of threads.
    pub fn unnamed(mut self) -> Self {
        self.name = ThreadName::None;
        self
    }

    /// The vaults with the credentials for this run. Each is sent once, in this order.
    pub fn vault_ids(mut self, vault_ids: impl IntoIterator<Item = VaultId>) -> Self {
        self.vault_ids = Some(vault_ids.into_iter().collect());
        self
    }

    /// Whose vault is used.
    pub fn external_user_id(mut self, user_id: impl Into<String>) -> Self {
        self.external_user_id = Some(user_id.into());
        self
    }

    /// What this run overrides of the agent's configuration.
    pub fn options(mut self, options: RunOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// Whether a sandbox that is named is looked at first. Nothing is created and nothing is sent
    ///
    /// - while the thread that is named is streaming: the relay accepts a run on it, and the history is spoiled;
    /// - where the sandbox belongs to another agent: the relay would create [a second machine](Self::sandbox_id);
    /// - where there is no such sandbox: the relay would create one of that name.
    ///
    /// That is one small exchange more, which reads the sandbox. If it fails, the run does not start. A relay that does not tell whose
    /// a sandbox is leaves that unchecked. Between the look and the messages somebody else may start a run: whoever has several at
    /// once has to take turns.
    pub fn look_first(mut self, look: bool) -> Self {
        self.look_first = look;
        self
    }

    /// Whether a sandbox that was made for this run is deleted again, before the error is returned, when the run surely
    /// could not start: so a failure leaves nothing behind that costs.
    ///
    /// Surely could not start: the messages were never sent; or they were refused with a status from 400 to 499, except 408
    /// and 409, or with the code `sandbox_unavailable`. After any other answer, and where there is none, a run may
    /// exist, and its sandbox stays. So does a sandbox that you named, always.
    ///
    /// [`StartError::created`](super::StartError::created) names the sandbox still if deleting it failed too. The deletion is part of the call: once the
    /// call's deadline is over it does not begin, and a call that is dropped meanwhile may leave the sandbox behind.
    pub fn delete_sandbox_on_failure(mut self, delete: bool) -> Self {
        self.delete_sandbox_on_failure = delete;
        self
    }

    /// Has the run take place in the sandbox and the thread of this one, where it names no sandbox of its own and the agent is the same.
    pub fn behind(mut self, run: &RunRef) -> Self {
        if self.sandbox_id.is_none() && self.agent == run.agent {
            self.sandbox_id = Some(run.sandbox_id.clone());
            self.thread_id = Some(run.thread_id.clone());
        }
        self
    }

    /// Says what the turn of this earlier run has said, too, and before: for one that was cancelled, which the relay does not store.
    ///
    /// ```
    /// use twentyfirst_protocol::runs::StartRun;
    ///
    /// let cancelled = StartRun::new("my-agent", "Paint the shed");
    /// let run = StartRun::new("my-agent", "In green").carrying(&cancelled);
    /// // Two texts, between which the relay puts a line break.
    /// assert_eq!(run.messages.as_slice()[0].parts.len(), 2);
    /// ```
    pub fn carrying(mut self, earlier: &StartRun) -> Self {
        self.messages.carry(&earlier.messages);
        self
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
