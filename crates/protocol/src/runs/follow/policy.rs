use std::time::Duration;

use crate::ui::Assembler;

const MINUTE: Duration = Duration::from_secs(60);

/// How far a run is followed when its stream breaks off or falls silent: a part of [`CallOptions`](crate::CallOptions).
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
    /// After a cut, waits until the thread no longer streams, and then delivers what is missing from the stored answer. The
    /// default: no second reader of the run exists, so that nothing stored is endangered.
    pub const fn wait() -> Self {
        Self::new(Mode::Wait)
    }

    /// After a cut, opens the run's stream again and goes on with what comes.
    ///
    /// This can cost stored history: the relay lets two readers of one run race to store it, the first, which the relay may not yet
    /// know to be gone, and the new one. If the new one is faster, only what it saw is stored, without the user's message. And the relay does
    /// not replay: what was missed comes at the end, with the stored answer; often it holds everything back until then.
    pub const fn live() -> Self {
        Self::new(Mode::Live)
    }

    /// Does not follow: a cut is the end, and the run is lost. Of a stream that ended between `finish` and `[DONE]` the outcome
    /// is asked for all the same.
    ///
    /// The stream of a run that was started elsewhere is joined, once. That can cost stored history, as [`live`](Self::live) says.
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

    /// How long the stream may be silent until the relay is asked whether the run still streams: 2 min by default. It is asked
    /// again at growing intervals. Silence is not a cut: the relay sends nothing while a tool runs.
    pub const fn ask_after(mut self, silence: Duration) -> Self {
        self.ask_after = silence;
        self
    }

    /// How long nothing may come of a stream, be it silent or cut, until the run is lost, although its thread says that it
    /// streams: 30 min by default; `None` for no limit. It does not count where nothing has ever been read: who waits for a
    /// run in the background sets a [`deadline`](Self::deadline).
    pub fn lost_after(mut self, silence: impl Into<Option<Duration>>) -> Self {
        self.lost_after = silence.into();
        self
    }

    /// How long a run is followed, from the first look until its end; no limit by default. Then it is lost, but goes on.
    ///
    /// It bounds reading the run. [`CallOptions::deadline`](crate::CallOptions::deadline) bounds each call, such as the one that
    /// starts it.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// Sets how much a run holds of its answer, in bytes of memory: the message, and with [`live`](Self::live) what later streams are
    /// compared with and what is known of such a stream. 256 MiB by default. A process grows by at most a quarter more, with what its
    /// allocator wastes.
    ///
    /// What comes beyond it is handed out and no longer in the message, which is then never called whole. The stream of such a run is
    /// not opened again, nor where the message fits and what later streams are compared with does not; a stream that is open and would
    /// take more to be compared is given up, and the end waited for. A stored answer that would take more to be compared with what was
    /// delivered is taken for one that nothing is known of: nothing of it is delivered.
    ///
    /// Beside the limit stand only what is being read and has a limit of its own: an event with its chunk (see
    /// [`sse::Limits`](crate::sse::Limits)); up to 2 MiB of [halves of characters](crate::ui::Joiner::MAX_WAITING); about 1 MiB of chunks
    /// of which it is not clear yet whether they repeat what was delivered; up to 16 MiB of a stream of which it is not known yet whether
    /// it is this run's; and while a thread is read, the response, which the driver limits (`AgentClient`: 32 MiB), and its messages: at most
    /// about five times as much where they are long texts, and up to 65 times where they have nothing but the tiniest parts.
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
