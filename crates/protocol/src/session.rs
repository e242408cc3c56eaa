use serde::{Deserialize, Serialize};

use crate::error::{InvalidRequest, Problem};
use crate::runs::{Messages, RunRef, StartRun};
use crate::threads::GetThread;
use crate::{SandboxId, ThreadId};

/// The agent, sandbox and thread of a conversation: the value that an application stores to continue it in a later request.
///
/// The relay has no sessions. This is a plain value for a row of your own database, as JSON or field by field. It holds no
/// connection and changes nothing at the relay.
///
/// | to … | use … |
/// |---|---|
/// | begin a session | `Session::new("my-agent")`, then [`run`](Self::run); store [`RunRef::session`] |
/// | continue it | the stored value, then [`run`](Self::run) with the user's next message |
/// | begin a new conversation with the same files | [`new_thread`](Self::new_thread), then [`run`](Self::run) |
/// | show the history | [`hydrate`](Self::hydrate) |
/// | follow or cancel an answer that is streaming | [`current_run`](Self::current_run) |
///
/// A session names the conversation, not one of its runs. To follow or cancel one run and no later one, also store its
/// [`RunRef`].
///
/// ```
/// use twentyfirst_protocol::Session;
///
/// // The row that the last request stored.
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
    /// The sandbox; `None` before the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<SandboxId>,
    /// The thread in the sandbox; `None` before the first run in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
}

impl Session {
    /// Creates a session with this agent. The first run creates the sandbox and the thread.
    pub fn new(agent: impl Into<String>) -> Self {
        Self {
            agent: agent.into(),
            sandbox_id: None,
            thread_id: None,
        }
    }

    /// Sets the sandbox.
    pub fn sandbox_id(mut self, sandbox_id: impl Into<SandboxId>) -> Self {
        self.sandbox_id = Some(sandbox_id.into());
        self
    }

    /// Sets the thread in the sandbox.
    pub fn thread_id(mut self, thread_id: impl Into<ThreadId>) -> Self {
        self.thread_id = Some(thread_id.into());
        self
    }

    /// Returns a run that begins or continues the conversation. It creates the sandbox and the thread if they are missing.
    ///
    /// `messages` ends with the user's new message, the only one that the relay reads. What precedes it, such as the history that a UI
    /// holds, may be passed along. By default the run first checks
    /// that the thread is not streaming and that the sandbox belongs to the agent: see [`StartRun::look_first`].
    pub fn run(&self, messages: impl Into<Messages>) -> StartRun {
        let mut run = StartRun::new(self.agent.clone(), messages).look_first(true);
        run.sandbox_id.clone_from(&self.sandbox_id);
        run.thread_id.clone_from(&self.thread_id);
        run
    }

    /// Returns a session for a new conversation in the same sandbox, with its files and repositories.
    pub fn new_thread(&self) -> Self {
        Self {
            thread_id: None,
            ..self.clone()
        }
    }

    /// Returns the operation that reads the history, to show it again. Its result is a thread: [`Thread::into_ui_messages`]
    /// returns the messages for a UI, and [`Thread::is_streaming`] returns whether more will come.
    ///
    /// ```
    /// use twentyfirst_protocol::{Operation, SandboxId, Session, ThreadId};
    ///
    /// let session = Session::new("my-agent")
    ///     .sandbox_id(SandboxId::new("sbx_abc123")?)
    ///     .thread_id(ThreadId::new("thr_xyz")?);
    /// let hydrate = session.hydrate()?;
    ///
    /// // Your HTTP client sends the request. This is the response:
    /// let (head, _) = http::Response::new(()).into_parts();
    /// let body = br#"{"id":"thr_xyz","status":"streaming","messages":[{"role":"user","parts":[{"type":"text","text":"Hi"}]}]}"#;
    /// let thread = hydrate.decode(&head, body)?;
    /// assert!(thread.is_streaming());
    /// assert_eq!(thread.into_ui_messages()[0].text(), "Hi");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The session has no sandbox or no thread yet: there is no history.
    ///
    /// [`Thread::into_ui_messages`]: crate::threads::Thread::into_ui_messages
    /// [`Thread::is_streaming`]: crate::threads::Thread::is_streaming
    pub fn hydrate(&self) -> Result<GetThread, InvalidRequest> {
        let (sandbox_id, thread_id) = self.place()?;
        Ok(GetThread::new(sandbox_id, thread_id))
    }

    /// Returns a reference to the active run of the thread, to follow it (for example after a restart) or to cancel it.
    ///
    /// It means the run that is active when the reference is used. If no run is active, following delivers the last answer of the
    /// thread. For the run of one particular turn, store its [`RunRef`], or pass the id of the turn to
    /// [`RunRef::user_message_id`].
    ///
    /// # Errors
    /// The session has no sandbox or no thread yet: there is no run.
    pub fn current_run(&self) -> Result<RunRef, InvalidRequest> {
        let (sandbox_id, thread_id) = self.place()?;
        Ok(RunRef::new(self.agent.clone(), sandbox_id, thread_id))
    }

    /// Returns the sandbox and the thread if both are set.
    fn place(&self) -> Result<(&SandboxId, &ThreadId), InvalidRequest> {
        let missing = |field, why| InvalidRequest::new(field, Problem::NotSet(why));
        let sandbox_id = self.sandbox_id.as_ref().ok_or_else(|| {
            missing(
                "sandbox_id",
                "the session has no sandbox yet; its first run creates one",
            )
        })?;
        let thread_id = self.thread_id.as_ref().ok_or_else(|| {
            missing(
                "thread_id",
                "the session has no thread yet; its first run creates one",
            )
        })?;
        Ok((sandbox_id, thread_id))
    }
}
