use serde::{Deserialize, Serialize};

use super::{CancelFlow, FollowRun, Started};
use crate::error::InvalidRequest;
use crate::options::CallOptions;
use crate::ui::Text;
use crate::{SandboxId, Session, ThreadId};

/// A reference to a run: the value to store so that any process can follow or cancel this run and no later one.
///
/// The relay has no ids for runs. A run is identified by its agent, sandbox and thread, and within the thread by the id of the
/// user's message that it answers. Without that id, the reference means whatever runs in the thread.
///
/// [`Started`] contains the reference of a run that you started. To continue the conversation, store its
/// [`session`](Self::session).
///
/// ```
/// use twentyfirst_protocol::runs::RunRef;
///
/// // The row of a run that is under way.
/// let row = r#"{"agent":"my-agent","sandboxId":"sbx_abc123","threadId":"thr_xyz","userMessageId":"turn-7"}"#;
/// let run: RunRef = serde_json::from_str(row)?;
/// assert_eq!(run.user_message_id.as_ref().unwrap(), "turn-7");
/// assert_eq!(serde_json::to_string(&run)?, row);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "it only names a run"]
pub struct RunRef {
    /// The slug of the agent.
    pub agent: String,
    /// The sandbox of the run.
    pub sandbox_id: SandboxId,
    /// The thread of the run.
    pub thread_id: ThreadId,
    /// The id of the user's message that the run answers. It must be unique in the thread; an empty id counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_message_id: Option<Text<'static>>,
}

impl RunRef {
    /// Creates a reference to whatever runs in this thread.
    pub fn new(
        agent: impl Into<String>,
        sandbox_id: impl Into<SandboxId>,
        thread_id: impl Into<ThreadId>,
    ) -> Self {
        Self {
            agent: agent.into(),
            sandbox_id: sandbox_id.into(),
            thread_id: thread_id.into(),
            user_message_id: None,
        }
    }

    /// Sets the id of the user's message that the run answers, so that the run is not confused with another of the thread.
    pub fn user_message_id(mut self, id: impl Into<Text<'static>>) -> Self {
        self.user_message_id = Some(id.into());
        self
    }

    /// Returns the conversation that the run belongs to.
    pub fn session(&self) -> Session {
        Session::new(self.agent.clone())
            .sandbox_id(&self.sandbox_id)
            .thread_id(&self.thread_id)
    }

    /// Returns the request to follow the run until its end.
    pub fn follow(self) -> FollowRun {
        FollowRun::new(self)
    }

    /// Returns the flow that cancels this run and no other: see [`CancelFlow`]. `seed` spreads the delays of many clients: pass
    /// any random number.
    ///
    /// # Errors
    /// Returns an error if the request is invalid. Everything that can be checked is checked here, before the first request.
    pub fn cancel(self, options: &CallOptions, seed: u64) -> Result<CancelFlow, InvalidRequest> {
        CancelFlow::new(self, options, seed)
    }

    /// Returns the id of the user's message, unless it is missing or empty.
    pub(crate) fn turn(&self) -> Option<&Text<'static>> {
        self.user_message_id.as_ref().filter(|id| **id != "")
    }
}

impl From<&Self> for RunRef {
    fn from(run: &Self) -> Self {
        run.clone()
    }
}

impl From<&Started> for RunRef {
    fn from(started: &Started) -> Self {
        started.run.clone()
    }
}

impl From<Started> for RunRef {
    fn from(started: Started) -> Self {
        started.run
    }
}
