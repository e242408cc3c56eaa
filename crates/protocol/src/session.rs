use serde::{Deserialize, Serialize};

use crate::error::{InvalidRequest, Problem};
use crate::runs::{Messages, RunRef, StartRun};
use crate::threads::GetThread;
use crate::{SandboxId, ThreadId};

/// Where a conversation takes place: what an application stores, for the next request to go on.
///
/// The relay knows no sessions. This is a value for a row of your own database, as JSON or member by member, and no more:
/// it holds no connection, and changes nothing at the relay.
///
/// | pattern | |
/// |---|---|
/// | a new session | `Session::new("my-agent")`, then [`run`](Self::run); store [`RunRef::session`] |
/// | continue it | load it, then [`run`](Self::run) with the whole history |
/// | a new conversation with the same files | [`new_thread`](Self::new_thread), then [`run`](Self::run) |
/// | show what has been said | [`hydrate`](Self::hydrate) |
/// | go on with an answer that streams, or end it | [`current_run`](Self::current_run) |
///
/// It names the conversation, not one of its runs. To follow or to cancel one run and no later one, store its
/// [`RunRef`] beside it.
///
/// ```
/// use twentyfirst_protocol::Session;
///
/// // The row that the last request has left.
/// let row = r#"{"agent":"my-agent","sandboxId":"sbx_abc123","threadId":"thr_xyz"}"#;
/// let session: Session = serde_json::from_str(row)?;
///
/// let run = session.run("And in the tests?");
/// assert_eq!(run.thread_id, session.thread_id);
///
/// let clean = session.new_thread();
/// assert_eq!(serde_json::to_string(&clean)?, r#"{"agent":"my-agent","sandboxId":"sbx_abc123"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use]
pub struct Session {
    /// The slug of the agent.
    pub agent: String,
    /// The sandbox; none before the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<SandboxId>,
    /// The thread of the sandbox; none before the first run in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
}

impl Session {
    /// With this agent, in a sandbox and a thread that the first run makes.
    pub fn new(agent: impl Into<String>) -> Self {
        Self {
            agent: agent.into(),
            sandbox_id: None,
            thread_id: None,
        }
    }

    /// In this sandbox.
    pub fn sandbox_id(mut self, sandbox_id: impl Into<SandboxId>) -> Self {
        self.sandbox_id = Some(sandbox_id.into());
        self
    }

    /// In this thread of the sandbox.
    pub fn thread_id(mut self, thread_id: impl Into<ThreadId>) -> Self {
        self.thread_id = Some(thread_id.into());
        self
    }

    /// A run that continues the conversation, or begins it: it makes the sandbox and the thread that are missing.
    ///
    /// It [looks first](StartRun::look_first) whether the thread is streaming and the sandbox belongs to the agent, unless you set
    /// otherwise. `messages` is the whole history that the UI shows, with the next turn at its end.
    pub fn run(&self, messages: impl Into<Messages>) -> StartRun {
        let mut run = StartRun::new(self.agent.clone(), messages).look_first(true);
        run.sandbox_id.clone_from(&self.sandbox_id);
        run.thread_id.clone_from(&self.thread_id);
        run
    }

    /// The same sandbox with its files and repositories, and a new conversation.
    pub fn new_thread(&self) -> Self {
        Self {
            thread_id: None,
            ..self.clone()
        }
    }

    /// Reads what has been said, to show it again. Of the answer, [`Thread::into_ui_messages`] is what a UI begins with, and
    /// [`Thread::is_streaming`] tells whether there is more to come.
    ///
    /// ```
    /// use twentyfirst_protocol::{Operation, SandboxId, Session, ThreadId};
    ///
    /// let session = Session::new("my-agent")
    ///     .sandbox_id(SandboxId::new("sbx_abc123")?)
    ///     .thread_id(ThreadId::new("thr_xyz")?);
    /// let hydrate = session.hydrate()?;
    ///
    /// // Your HTTP client sends it, and this is what comes back:
    /// let (head, _) = http::Response::new(()).into_parts();
    /// let body = br#"{"id":"thr_xyz","status":"streaming","messages":[{"role":"user","parts":[{"type":"text","text":"Hi"}]}]}"#;
    /// let thread = hydrate.decode(&head, body)?;
    /// assert!(thread.is_streaming());
    /// assert_eq!(thread.into_ui_messages()[0].text(), "Hi");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Without a sandbox or a thread: then nothing has been said yet.
    ///
    /// [`Thread::into_ui_messages`]: crate::threads::Thread::into_ui_messages
    /// [`Thread::is_streaming`]: crate::threads::Thread::is_streaming
    pub fn hydrate(&self) -> Result<GetThread, InvalidRequest> {
        let (sandbox_id, thread_id) = self.place()?;
        Ok(GetThread::new(sandbox_id, thread_id))
    }

    /// Names the run that is under way, whichever it is by then: to follow it, as after a restart, or to cancel it. Where it is over,
    /// following delivers the last answer of the thread. For the run of one turn and no other, store its [`RunRef`], or give the id of
    /// the turn to [`RunRef::user_message_id`].
    ///
    /// # Errors
    /// Without a sandbox or a thread: then there is no run.
    pub fn current_run(&self) -> Result<RunRef, InvalidRequest> {
        let (sandbox_id, thread_id) = self.place()?;
        Ok(RunRef::new(self.agent.clone(), sandbox_id, thread_id))
    }

    /// The sandbox and the thread, where both are there.
    fn place(&self) -> Result<(&SandboxId, &ThreadId), InvalidRequest> {
        let missing = |field, why| InvalidRequest::new(field, Problem::NotSet(why));
        let sandbox_id = self.sandbox_id.as_ref().ok_or_else(|| {
            missing(
                "sandbox_id",
                "the session has no sandbox yet; its first run makes one",
            )
        })?;
        let thread_id = self.thread_id.as_ref().ok_or_else(|| {
            missing(
                "thread_id",
                "the session has no thread yet; its first run makes one",
            )
        })?;
        Ok((sandbox_id, thread_id))
    }
}
