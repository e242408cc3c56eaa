use std::time::Duration;

use crate::retry::RetryPolicy;
use crate::runs::FollowPolicy;

/// How long the parts of one exchange may take. `None` is no limit.
///
/// Each operation has its own ([`Endpoint::timeouts`](crate::Endpoint::timeouts)); [`CallOptions`] change them. They count for each
/// exchange by itself: starting a run may take three (a sandbox, a thread, the chat), and each has the row of its own.
///
/// | | connect | head | silence | total |
/// |---|---|---|---|---|
/// | ordinary call | 10 s | | | 60 s |
/// | `exec` | 10 s | | | its own time limit (60 s if unset) and 15 s |
/// | creating a sandbox, `git clone` | 10 s | | | 10 min: they run set-up and downloads, and a client that gives up loses the id of a sandbox that costs |
/// | files as bytes or streams | 10 s | 60 s | 60 s | |
/// | chat, and resuming it | 10 s | 5 min | 15 min: the relay sends nothing while a tool runs | |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[must_use]
pub struct Timeouts {
    /// Until there is a connection: name resolution, TCP and TLS.
    pub connect: Option<Duration>,
    /// From the end of the request to the head of the answer.
    pub head: Option<Duration>,
    /// Without a byte of a body, in either direction. Any byte starts it anew.
    pub silence: Option<Duration>,
    /// From the beginning to the last byte of the answer.
    pub total: Option<Duration>,
}

const CONNECT: Option<Duration> = Some(Duration::from_secs(10));
const MINUTE: Duration = Duration::from_secs(60);

impl Timeouts {
    /// No limit at all.
    pub const fn none() -> Self {
        Self {
            connect: None,
            head: None,
            silence: None,
            total: None,
        }
    }

    /// For a call whose answer is held in memory: 60 s in all.
    pub const fn ordinary() -> Self {
        Self::within(MINUTE)
    }

    /// For a call that takes at most `total` in all.
    pub const fn within(total: Duration) -> Self {
        Self {
            connect: CONNECT,
            head: None,
            silence: None,
            total: Some(total),
        }
    }

    /// For content of any length: 60 s without progress.
    pub const fn content() -> Self {
        Self {
            connect: CONNECT,
            head: Some(MINUTE),
            silence: Some(MINUTE),
            total: None,
        }
    }

    /// For the stream of a run: 5 min to its head, 15 min of silence.
    pub const fn stream() -> Self {
        Self {
            connect: CONNECT,
            head: Some(Duration::from_secs(5 * 60)),
            silence: Some(Duration::from_secs(15 * 60)),
            total: None,
        }
    }
}

/// What can be changed for all calls of a client, or for one: timeouts, retries, and how runs are followed.
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_protocol::retry::RetryPolicy;
/// use twentyfirst_protocol::{CallOptions, Timeouts};
///
/// let options = CallOptions::new()
///     .total_timeout(Duration::from_secs(5))
///     .silence_timeout(None)
///     .deadline(Duration::from_secs(30))
///     .retry(RetryPolicy::never());
/// assert_eq!(options.timeouts(Timeouts::ordinary()).total, Some(Duration::from_secs(5)));
/// assert_eq!(options.timeouts(Timeouts::stream()).silence, None);
/// assert_eq!(options.timeouts(Timeouts::stream()).head, Some(Duration::from_secs(300)), "left as it is");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct CallOptions {
    connect: Change,
    head: Change,
    silence: Change,
    total: Change,
    deadline: Option<Duration>,
    retry: RetryPolicy,
    follow: FollowPolicy,
}

/// What becomes of an operation's own timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Change {
    #[default]
    Keep,
    Set(Option<Duration>),
}

impl Change {
    fn of(self, own: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Keep => own,
            Self::Set(timeout) => timeout,
        }
    }
}

impl CallOptions {
    /// Every operation with its own timeouts, no deadline, the standard retries, and runs followed by waiting for them.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time until there is a connection; `None` for no limit.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.connect = Change::Set(timeout.into());
        self
    }

    /// The time from the end of the request to the head of the response; `None` for no limit. It counts for every exchange of a call:
    /// set for a run, it also bounds the creation of its sandbox, which takes minutes where commands set it up. A sandbox that
    /// is created all the same has no known id, and costs. [`deadline`](Self::deadline) bounds them all together.
    pub fn head_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.head = Change::Set(timeout.into());
        self
    }

    /// The time without a byte of a body; `None` for no limit.
    pub fn silence_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.silence = Change::Set(timeout.into());
        self
    }

    /// The time of one exchange from its beginning to its last byte; `None` for no limit. A stream has none of its own; one set
    /// here cuts its connection, and [`FollowPolicy`] says what becomes of the run then.
    pub fn total_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.total = Change::Set(timeout.into());
        self
    }

    /// The time of a call with all its exchanges, retries and waits, until it returns; none by default. It does not bound reading a
    /// run, which begins when the call that starts it has returned: [`FollowPolicy::deadline`] does.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// How often exchanges are tried; [`RetryPolicy::standard`] by default.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// How far a run is followed when its stream breaks off or falls silent; [`FollowPolicy::wait`] by default.
    pub fn follow(mut self, follow: FollowPolicy) -> Self {
        self.follow = follow;
        self
    }

    /// The timeouts of an operation whose own are these.
    pub fn timeouts(&self, own: Timeouts) -> Timeouts {
        Timeouts {
            connect: self.connect.of(own.connect),
            head: self.head.of(own.head),
            silence: self.silence.of(own.silence),
            total: self.total.of(own.total),
        }
    }

    pub(crate) fn policy(&self) -> RetryPolicy {
        self.retry
    }

    /// The same for a stream that is followed: its silence is judged by whoever follows it, and the timeout comes later.
    pub(crate) fn listening(&self) -> Self {
        let silence = match (self.silence, self.follow.longest_silence()) {
            // What is longer than a `Duration` is no limit.
            (Change::Keep, longest) => {
                Change::Set(longest.and_then(|longest| longest.checked_add(MINUTE)))
            }
            (set, _) => set,
        };
        Self { silence, ..*self }
    }

    pub(crate) fn following(&self) -> FollowPolicy {
        self.follow
    }

    pub(crate) fn whole(&self) -> Option<Duration> {
        self.deadline
    }
}
