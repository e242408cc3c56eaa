use std::fmt;

use super::identity::Reader;
use super::reading::Reading;
use super::stream::Stream;
use super::{FollowFlow, Following, Phase};
use crate::error::InvalidRequest;
use crate::options::CallOptions;
use crate::runs::{RunRef, Started};
use crate::ui::Chunk;

/// Follows a run until its end: one that was started elsewhere, or one whose stream is open.
///
/// With `AgentClient`, give it to `Threads::follow`; [`join`](Self::join) and [`read`](Self::read) are for other HTTP stacks.
///
/// ```
/// use twentyfirst_protocol::runs::{FollowRun, RunRef};
/// use twentyfirst_protocol::{CallOptions, SandboxId, ThreadId};
///
/// let run = RunRef::new("my-agent", SandboxId::new("sbx_1")?, ThreadId::new("thr_1")?);
/// let flow = FollowRun::new(run).join(&CallOptions::new(), 7)?;
/// # let _ = flow;
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
#[must_use = "a run is not followed until it is given to a client"]
pub struct FollowRun {
    /// The run.
    pub run: RunRef,
    /// What was delivered of its answer elsewhere, from its beginning and without a gap.
    pub after: Vec<Chunk<'static>>,
}

/// How many chunks were delivered elsewhere, and nothing of what they say.
impl fmt::Debug for FollowRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowRun")
            .field("run", &self.run)
            .field("after", &self.after.len())
            .finish()
    }
}

impl FollowRun {
    /// Follows this run from its beginning.
    pub fn new(run: RunRef) -> Self {
        Self {
            run,
            after: Vec::new(),
        }
    }

    /// Goes on behind these chunks, which were delivered elsewhere, as by a process that has ended: from the beginning of the answer,
    /// with its `start`, and without a gap. They are not handed out again, and the message has them.
    ///
    /// It is as if the stream had been cut behind them: [`join`](Self::join) goes on from there.
    pub fn after(mut self, chunks: impl IntoIterator<Item = Chunk<'static>>) -> Self {
        self.after = chunks.into_iter().collect();
        self
    }

    /// Returns the flow of a run of which nothing is open: one in the background, or of another process. With
    /// [`FollowPolicy::live`](super::FollowPolicy::live) or [`FollowPolicy::off`](super::FollowPolicy::off) its stream is joined, else its end is waited for
    /// and its stored answer delivered. `seed` spreads the delays of many clients: take any random number.
    ///
    /// # Errors
    /// Everything that can be checked is checked here, before the first request.
    pub fn join(self, options: &CallOptions, seed: u64) -> Result<FollowFlow, InvalidRequest> {
        if self.after.is_empty() {
            let cx = Following::new(self.run, true, options, seed)?;
            return Ok(FollowFlow::new(cx, Phase::Joining));
        }
        // What was delivered elsewhere was read there: the run is known to have begun.
        let mut cx = Following::new(self.run, false, options, seed)?;
        for chunk in &self.after {
            if let Chunk::Start(start) = chunk {
                cx.identity
                    .named(start.message_id.as_ref(), Reader::Elsewhere);
            }
        }
        cx.transcript.delivered_before(self.after);
        Ok(FollowFlow::new(cx, Phase::Reconnecting))
    }

    /// Returns the flow of a run whose stream is open in [`Slot::Stream`](crate::flow::Slot::Stream), as
    /// [`StartFlow`](crate::runs::StartFlow) leaves it, and of which nothing was read. What was [delivered before](Self::after) does
    /// not count. `seed` spreads the delays of many clients: take any random number.
    ///
    /// # Errors
    /// Everything that can be checked is checked here, before the first request.
    pub fn read(self, options: &CallOptions, seed: u64) -> Result<FollowFlow, InvalidRequest> {
        let cx = Following::new(self.run, false, options, seed)?;
        Ok(FollowFlow::new(
            cx,
            Phase::Reading(Reading::of(Stream::first())),
        ))
    }
}

impl From<&RunRef> for FollowRun {
    fn from(run: &RunRef) -> Self {
        Self::new(run.clone())
    }
}

impl From<&Started> for FollowRun {
    fn from(started: &Started) -> Self {
        Self::new(started.run.clone())
    }
}

impl From<RunRef> for FollowRun {
    fn from(run: RunRef) -> Self {
        Self::new(run)
    }
}
