//! Following a run until its end, whatever the network does.

mod delivered;
mod machine;
mod options;
mod question;
mod replay;
mod stored;

pub use machine::{FollowFlow, Moment};
pub use options::Follow;
pub(super) use stored::answer_to;

use crate::error::InvalidRequest;
use crate::options::CallOptions;
use crate::ui::Text;
use crate::{SandboxId, ThreadId};

/// Follows a run until its end: one that was started elsewhere, or one whose stream is open.
///
/// With `AgentClient`, give it to `Threads::follow`; [`join`](Self::join) and [`read`](Self::read) are for other HTTP stacks.
///
/// [`Started::follow`](super::Started::follow) makes it of what was stored of the run, and
/// [`Session::follow`](crate::Session::follow) of its conversation.
///
/// ```
/// use twentyfirst_protocol::runs::FollowRun;
/// use twentyfirst_protocol::{CallOptions, SandboxId, ThreadId};
///
/// let run = FollowRun::new("my-agent", SandboxId::new("sbx_1")?, ThreadId::new("thr_1")?);
/// let flow = run.join(&CallOptions::new(), 7)?;
/// # let _ = flow;
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowRun {
    /// The slug of the agent.
    pub agent: String,
    /// The sandbox in which it is.
    pub sandbox_id: SandboxId,
    /// The thread in which it is.
    pub thread_id: ThreadId,
    /// The id of the user's message that it answers, by which its stored answer is known.
    pub user_message_id: Option<Text<'static>>,
}

impl FollowRun {
    /// The run in this thread.
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

    /// The id of the user's message that it answers, which no other message of the thread may have. Without it the stored answer of
    /// a run that was started elsewhere is known only by its place in the thread.
    #[must_use]
    pub fn user_message_id(mut self, id: impl Into<Text<'static>>) -> Self {
        self.user_message_id = Some(id.into());
        self
    }

    /// The flow of a run of which nothing is open: one in the background, or of another process. With
    /// [`Follow::live`] or [`Follow::off`] its stream is joined, else its end is waited for and its stored answer delivered.
    /// `seed` spreads the delays of many clients: take any random number.
    ///
    /// # Errors
    /// Everything that can be checked is checked here, before the first request.
    pub fn join(self, options: &CallOptions, seed: u64) -> Result<FollowFlow, InvalidRequest> {
        FollowFlow::new(self, false, options, seed)
    }

    /// The flow of a run whose stream is open in [`Slot::Stream`](crate::flow::Slot::Stream), as [`StartFlow`](super::StartFlow) leaves
    /// it, and of which nothing was read.
    /// `seed` spreads the delays of many clients: take any random number.
    ///
    /// # Errors
    /// Everything that can be checked is checked here, before the first request.
    pub fn read(self, options: &CallOptions, seed: u64) -> Result<FollowFlow, InvalidRequest> {
        FollowFlow::new(self, true, options, seed)
    }
}
