use std::time::Duration;

use crate::ui::Assembler;

const MINUTE: Duration = Duration::from_secs(60);

/// The extent to which a run is followed when its stream breaks off or falls silent: a part of
/// [`CallOptions`](crate::CallOptions).
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_protocol::CallOptions;
/// use twentyfirst_protocol::runs::FollowPolicy;
///
/// let options = CallOptions::new().follow(FollowPolicy::live().lost_after(Duration::from_secs(3600)));
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct FollowPolicy {
    pub(super) mode: Mode,
    pub(super) ask_after: Duration,
    pub(super) lost_after: Option<Duration>,
    pub(super) deadline: Option<Duration>,
    pub(super) memory_limit: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Wait,
    Live,
    Off,
}

impl FollowPolicy {
    /// Waits after a cut until the thread no longer streams, and then delivers the rest from the stored answer. The default: the
    /// run has no second reader, so its stored history is not at risk.
    pub const fn wait() -> Self {
        Self::new(Mode::Wait)
    }

    /// Opens the run's stream again after a cut and continues with what it delivers.
    ///
    /// This can cost stored history. The relay lets two readers of one run race to store it: the first, which it may not yet know
    /// to be gone, and the new one. If the new one is faster, only what it saw is stored, without the user's message. And the
    /// relay does not replay: what was missed comes at the end, with the stored answer; often the relay holds everything back
    /// until then.
    pub const fn live() -> Self {
        Self::new(Mode::Live)
    }

    /// Does not follow: a cut ends the call, and the run is lost. If the stream ended between `finish` and `[DONE]`, the relay is
    /// queried for the outcome all the same.
    ///
    /// The stream of a run that was started elsewhere is joined once. That can cost stored history, see [`live`](Self::live).
    pub const fn off() -> Self {
        Self::new(Mode::Off)
    }

    const fn new(mode: Mode) -> Self {
        Self {
            mode,
            ask_after: MINUTE.saturating_mul(2),
            lost_after: Some(MINUTE.saturating_mul(30)),
            deadline: None,
            memory_limit: Assembler::DEFAULT_LIMIT,
        }
    }

    pub(crate) fn longest_silence(&self) -> Option<Duration> {
        self.lost_after
    }

    /// Sets the silence on the stream after which the relay is queried if the run still streams. Default: 2 min. The queries
    /// repeat at growing intervals. Silence is not a cut: the relay sends nothing while a tool runs.
    pub const fn ask_after(mut self, silence: Duration) -> Self {
        self.ask_after = silence;
        self
    }

    /// Sets the time without data from a stream, silent or cut, after which the run is lost although its thread is still
    /// streaming. Default: 30 min; `None` for no limit. While no stream was ever read, each response of the relay counts as data:
    /// set a [`deadline`](Self::deadline) when you wait for a run in the background.
    pub fn lost_after(mut self, silence: impl Into<Option<Duration>>) -> Self {
        self.lost_after = silence.into();
        self
    }

    /// Sets the time from the first query to the end of the run. Default: no limit. After it, the run is lost but goes on.
    ///
    /// This limits reading the run. [`CallOptions::deadline`](crate::CallOptions::deadline) limits each call, such as the one
    /// that starts it.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// Sets the memory limit for the answer of a run, in bytes. Default: 256 MiB. It covers the message and, with
    /// [`live`](Self::live), the record that later streams are compared with and the state of that comparison. The process grows
    /// by up to a quarter more, which its allocator wastes.
    ///
    /// Chunks beyond the limit are delivered but not added to the message, which then is never called whole. The stream of such a
    /// run is not opened again. The same holds if the message fits but the record does not. An open stream that would need more
    /// memory for the comparison is closed, and the flow waits for the end of the run. A stored answer that would need more
    /// memory to be compared with what was delivered counts as unknown: nothing of it is delivered.
    ///
    /// The limit does not include data in transit, which has limits of its own:
    ///
    /// - an event with its chunk (see [`sse::Limits`](crate::sse::Limits));
    /// - up to 2 MiB of [halves of characters](crate::ui::Joiner::MAX_WAITING);
    /// - about 1 MiB of chunks while it is unclear if they repeat what was delivered;
    /// - up to 16 MiB of a stream while it is unclear if it belongs to this run;
    /// - while a thread is read, the response, which the driver limits (`AgentClient`: 32 MiB), and its messages: up to about
    ///   five times as much for long texts, and up to 65 times if they consist only of the smallest parts.
    pub const fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }
}

impl Default for FollowPolicy {
    fn default() -> Self {
        Self::wait()
    }
}
