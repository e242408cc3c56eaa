use std::fmt;

use super::identity::Reader;
use super::reading::Reading;
use super::stream::Stream;
use super::{FollowFlow, Following, Phase};
use crate::error::InvalidRequest;
use crate::options::CallOptions;
use crate::runs::{RunRef, Started};
use crate::ui::Chunk;

/// A request to follow a run until its end: one that was started elsewhere, or one whose stream is open.
///
/// With `AgentClient`, pass it to `Threads::follow`; [`join`](Self::join) and [`read`](Self::read) are for other HTTP stacks.
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
    /// The chunks that were delivered elsewhere, from the beginning of the answer and without a gap.
    pub after: Vec<Chunk<'static>>,
}

/// Shows the number of chunks that were delivered elsewhere, without their contents.
impl fmt::Debug for FollowRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowRun")
            .field("run", &self.run)
            .field("after", &self.after.len())
            .finish()
    }
}

impl FollowRun {
    /// Creates a request to follow this run from its beginning.
    pub fn new(run: RunRef) -> Self {
        Self {
            run,
            after: Vec::new(),
        }
    }

    /// Continues after these chunks, which were delivered elsewhere, as by a process that has ended. They must begin with the
    /// `start` of the answer and have no gap. They are not yielded again, and the message contains them.
    ///
    /// The effect is that of a stream that was cut after them: [`join`](Self::join) continues from there.
    pub fn after(mut self, chunks: impl IntoIterator<Item = Chunk<'static>>) -> Self {
        self.after = chunks.into_iter().collect();
        self
    }

    /// Returns the flow for a run without an open stream: one in the background, or of another process. With
    /// [`FollowPolicy::live`](super::FollowPolicy::live) or [`FollowPolicy::off`](super::FollowPolicy::off) the flow joins the
    /// run's stream. Otherwise it waits for the end of the run and delivers the stored answer. `seed` spreads the delays of many
    /// clients: pass any random number.
    ///
    /// # Errors
    /// Returns an error if the request is invalid. Everything that can be checked is checked here, before the first request.
    pub fn join(self, options: &CallOptions, seed: u64) -> Result<FollowFlow, InvalidRequest> {
        if self.after.is_empty() {
            // Nothing is known of the run yet, not even that it has begun.
            let cx = Following::new(self.run, true, options, seed)?;
            return Ok(FollowFlow::new(cx, Phase::Joining));
        }
        // The chunks were read elsewhere, so the run is known to have begun.
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

    /// Returns the flow for a run whose stream is open in [`Slot::Stream`](crate::flow::Slot::Stream), as
    /// [`StartFlow`](crate::runs::StartFlow) leaves it, and from which nothing was read. Chunks set by [`after`](Self::after) are
    /// ignored. `seed` spreads the delays of many clients: pass any random number.
    ///
    /// # Errors
    /// Returns an error if the request is invalid. Everything that can be checked is checked here, before the first request.
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
