use serde::{Deserialize, Serialize};

use super::{Messages, Mode, RunOptions, RunRef, SendMessages, StartFlow};
use crate::error::{InvalidRequest, Problem};
use crate::options::CallOptions;
use crate::setters::setters;
use crate::threads::{ThreadName, name_after};
use crate::{Endpoint, SandboxId, ThreadId, VaultId};

/// A request to run an agent, in the named sandbox and thread or in new ones.
///
/// With `AgentClient`, pass it to `Threads::start`; [`flow`](Self::flow) is for other HTTP stacks.
///
/// Starting a run takes up to three requests: a sandbox is created for the agent if none is named, a thread is created in it if
/// none is named, and then the messages are sent.
///
/// A run is identified by the id of its turn, the last user message. You can set it
/// ([`UiMessage::with_id`](crate::ui::UiMessage::with_id)); otherwise one is generated. The ids of the user messages must be
/// unique within a thread.
///
/// To continue a conversation, start the run from its [`Session`](crate::Session).
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
///
/// The value can be stored, and started later by any process: it contains no key, and no secrets of a sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "a run does not start until it is given to a client"]
pub struct StartRun {
    /// The slug of the agent.
    pub agent: String,
    /// The conversation, with the next turn at its end.
    pub messages: Messages,
    /// The sandbox, which must belong to this agent. Default: a new one. See [`StartRun::sandbox_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<SandboxId>,
    /// The thread, which needs its sandbox. Default: a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// The name of the thread if one is created. Default: the beginning of the turn's text.
    #[serde(default)]
    pub name: ThreadName,
    /// The vaults with the credentials for this run. Duplicates are not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_ids: Option<Vec<VaultId>>,
    /// The id of the user whose vault is used. With a token it must be the token's `endUserId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_user_id: Option<String>,
    /// The settings of the agent that this run overrides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<RunOptions>,
    /// Whether to check the sandbox first, and send nothing if it belongs to another agent or the thread is streaming. Default:
    /// `false`.
    #[serde(default)]
    pub look_first: bool,
    /// Whether to delete a new sandbox again if the run certainly could not start. Default: `false`.
    #[serde(default)]
    pub delete_sandbox_on_failure: bool,
}

/// A placeholder of the same length as the ids that the relay generates.
const UUID: &str = "00000000-0000-0000-0000-000000000000";

impl StartRun {
    /// Creates a run with these messages: a text, a [`UiMessage`](crate::ui::UiMessage) or several.
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

    /// Returns the flow that starts this run. Its answer is streamed, or with [`Mode::Background`] only stored.
    ///
    /// If the next turn, which is the last user message, has no id, it gets one: `msg_` and 16 hexadecimal digits, derived from
    /// `seed`. The id identifies the turn, and then the answer, among the stored messages of the thread. An id that you set is
    /// kept; it must be unique in the thread. [`RunRef::user_message_id`] returns it.
    ///
    /// `seed` also spreads the delays of many clients: pass a new random number for every run.
    ///
    /// # Errors
    /// Returns the same errors as [`validate`](Self::validate).
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

    /// Checks everything that can be checked before a request is sent: that there is a next turn with a text, the options, the
    /// ids, and the length, which is limited to 10 MiB. A run that passes can be started in every [`Mode`].
    ///
    /// [`flow`](Self::flow) does so too before its first request, so that no sandbox is paid for a run that would be rejected.
    /// Call it when you store a run to start it later.
    ///
    /// ```
    /// use twentyfirst_protocol::runs::{RunOptions, StartRun};
    ///
    /// let run = StartRun::new("my-agent", "Paint the shed").options(RunOptions::new().max_turns(0));
    /// assert_eq!(run.validate().unwrap_err().field(), "options.max_turns");
    /// ```
    ///
    /// # Errors
    /// Returns the first rule that the run breaks.
    pub fn validate(&self) -> Result<(), InvalidRequest> {
        let mut run = self.clone();
        // With the id that the turn will get, and the mode that it may get, since both count for the length.
        run.messages.identify_turn(0);
        run.check(Some(Mode::Background))
    }

    /// Checks the request as it will be sent, with its length. Ids that do not exist yet are replaced by placeholders.
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

    /// Returns the name of the thread to create, if it gets one.
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

    /// Sets the sandbox, which must belong to this agent.
    ///
    /// The relay keeps sandboxes by agent and id. If the agent has none with this id, sending the messages **creates a second,
    /// paid machine** under it, and the run fails all the same; deleting the sandbox then leaves one of the two. A misspelled id
    /// has the same effect. [`look_first`](Self::look_first) prevents both.
    pub fn sandbox_id(mut self, sandbox_id: impl Into<SandboxId>) -> Self {
        self.sandbox_id = Some(sandbox_id.into());
        self
    }

    /// Sets the thread of the sandbox.
    pub fn thread_id(mut self, thread_id: impl Into<ThreadId>) -> Self {
        self.thread_id = Some(thread_id.into());
        self
    }

    /// Sets the name of the thread if one is created. By default it is [`name_after`] the turn, as the relay does itself.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = ThreadName::Given(name.into());
        self
    }

    /// Creates the thread without a name, so that lists of threads show nothing of the text.
    pub fn unnamed(mut self) -> Self {
        self.name = ThreadName::None;
        self
    }

    /// Sets the vaults with the credentials for this run. Each is sent once, in this order.
    pub fn vault_ids(mut self, vault_ids: impl IntoIterator<Item = VaultId>) -> Self {
        self.vault_ids = Some(vault_ids.into_iter().collect());
        self
    }

    /// Sets the id of the user whose vault is used.
    pub fn external_user_id(mut self, user_id: impl Into<String>) -> Self {
        self.external_user_id = Some(user_id.into());
        self
    }

    /// Sets the settings of the agent that this run overrides.
    pub fn options(mut self, options: RunOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// Sets whether to check a named sandbox first. Default: `false`. Then nothing is created and nothing is sent
    ///
    /// - while the named thread is streaming: the relay would accept a run on it, and the history would be corrupted;
    /// - if the sandbox belongs to another agent: the relay would create [a second machine](Self::sandbox_id);
    /// - if the sandbox does not exist: the relay would create one under that id.
    ///
    /// The check takes one more small request, which reads the sandbox. If it fails, the run does not start. If the relay does
    /// not say which agent the sandbox belongs to, that is not checked. Another run may start between the check and the messages,
    /// so concurrent callers must take turns.
    pub fn look_first(mut self, look: bool) -> Self {
        self.look_first = look;
        self
    }

    /// Sets whether to delete a sandbox that was created for this run if the run certainly could not start, before the error is
    /// returned. Default: `false`. A failure then leaves nothing behind that costs money.
    ///
    /// A run certainly could not start if the messages were never sent, or if they were refused with a status from 400 to 499,
    /// except 408 and 409, or with the code `sandbox_unavailable`. After any other response, and without a response, a run may
    /// exist, and its sandbox is kept. A sandbox that you named is always kept.
    ///
    /// If deleting it fails too, [`StartError::created`](super::StartError::created) still names the sandbox. The deletion is
    /// part of the call: it does not begin after the call's deadline, and a call that is dropped meanwhile may leave the sandbox
    /// behind.
    pub fn delete_sandbox_on_failure(mut self, delete: bool) -> Self {
        self.delete_sandbox_on_failure = delete;
        self
    }

    /// Uses the sandbox and the thread of `run`, if no sandbox is set and the agent is the same.
    pub fn behind(mut self, run: &RunRef) -> Self {
        if self.sandbox_id.is_none() && self.agent == run.agent {
            self.sandbox_id = Some(run.sandbox_id.clone());
            self.thread_id = Some(run.thread_id.clone());
        }
        self
    }

    /// Puts the contents of an earlier run's turn before those of this one. Use it for a cancelled run, whose turn the relay does
    /// not store.
    ///
    /// ```
    /// use twentyfirst_protocol::runs::StartRun;
    ///
    /// let cancelled = StartRun::new("my-agent", "Paint the shed");
    /// let run = StartRun::new("my-agent", "In green").carrying(&cancelled);
    /// // Two texts; the relay puts a line break between them.
    /// assert_eq!(run.messages.as_slice()[0].parts.len(), 2);
    /// ```
    pub fn carrying(mut self, earlier: &StartRun) -> Self {
        self.messages.carry(&earlier.messages);
        self
    }
}

/// A run that has started. Store its [`run`](Self::run) to follow or cancel it from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Started {
    /// The run. Its turn has the caller's own id, or the one that [`StartRun::flow`] generated.
    pub run: RunRef,
    /// The resources that were created for it.
    pub created: Created,
}

/// The resources that a call created. They cost money until they are deleted.
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
    /// Returns whether nothing was created.
    pub fn is_empty(&self) -> bool {
        self.sandbox_id.is_none() && self.thread_id.is_none()
    }
}
