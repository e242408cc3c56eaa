use std::time::Duration;

use crate::retry::RetryPolicy;
use crate::runs::FollowPolicy;

/// The timeouts of one request and its response. `None` means no limit.
///
/// Each operation has its own timeouts ([`Endpoint::timeouts`](crate::Endpoint::timeouts)), and [`CallOptions`] change them. They
/// apply to each request by itself. Starting a run may take three requests (a sandbox, a thread, the chat), and each has the
/// timeouts of its own row.
///
/// | | connect | head | silence | total |
/// |---|---|---|---|---|
/// | ordinary call | 10 s | | | 60 s |
/// | `exec` | 10 s | | | time limit of the command (60 s if unset) + 15 s |
/// | creating a sandbox, `git clone` | 10 s | | | 10 min |
/// | files as bytes or streams | 10 s | 60 s | 60 s | |
/// | chat, and resuming it | 10 s | 5 min | 15 min | |
///
/// Creating a sandbox runs set-up commands and downloads. A client that gives up early does not learn the id of a sandbox that
/// costs money. A chat may be silent for minutes, because the relay sends nothing while a tool runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[must_use]
pub struct Timeouts {
    /// The time to connect: name resolution, TCP and TLS.
    pub connect: Option<Duration>,
    /// The time from the end of the request to the response head.
    pub head: Option<Duration>,
    /// The time without a byte of a body, in either direction. Any byte restarts it.
    pub silence: Option<Duration>,
    /// The time from the beginning to the last byte of the response.
    pub total: Option<Duration>,
}

const CONNECT: Option<Duration> = Some(Duration::from_secs(10));
const MINUTE: Duration = Duration::from_secs(60);

impl Timeouts {
    /// Returns timeouts without any limit.
    pub const fn none() -> Self {
        Self {
            connect: None,
            head: None,
            silence: None,
            total: None,
        }
    }

    /// Returns the timeouts of a call whose response is held in memory: 60 s in total.
    pub const fn ordinary() -> Self {
        Self::within(MINUTE)
    }

    /// Returns the timeouts of a call that takes at most `total`, including at most 10 s to connect.
    pub const fn within(total: Duration) -> Self {
        Self {
            connect: CONNECT,
            head: None,
            silence: None,
            total: Some(total),
        }
    }

    /// Returns the timeouts for content of any length: 60 s to the response head, 60 s of silence.
    pub const fn content() -> Self {
        Self {
            connect: CONNECT,
            head: Some(MINUTE),
            silence: Some(MINUTE),
            total: None,
        }
    }

    /// Returns the timeouts for the stream of a run: 5 min to the response head, 15 min of silence.
    pub const fn stream() -> Self {
        Self {
            connect: CONNECT,
            head: Some(Duration::from_secs(5 * 60)),
            silence: Some(Duration::from_secs(15 * 60)),
            total: None,
        }
    }
}

/// The options of all calls of a client, or of one call: timeouts, deadline, retries, and how runs are followed.
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

/// A change of an operation's own timeout.
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
    /// Returns the defaults: each operation's own timeouts, no deadline, the standard retries, and [`FollowPolicy::wait`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time to connect; `None` for no limit.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.connect = Change::Set(timeout.into());
        self
    }

    /// Sets the time from the end of the request to the response head; `None` for no limit.
    ///
    /// It applies to every request of a call. For a run, it also limits the creation of the sandbox, which can take minutes if
    /// commands set it up. A sandbox that is created after the timeout costs money, and its id is unknown.
    /// [`deadline`](Self::deadline) limits all requests together.
    pub fn head_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.head = Change::Set(timeout.into());
        self
    }

    /// Sets the time without a byte of a body; `None` for no limit.
    pub fn silence_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.silence = Change::Set(timeout.into());
        self
    }

    /// Sets the time of one request from its beginning to the last byte of the response; `None` for no limit.
    ///
    /// Streams have no total timeout by default. A timeout set here also closes the connection of a stream. [`FollowPolicy`]
    /// decides what happens to the run then.
    pub fn total_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.total = Change::Set(timeout.into());
        self
    }

    /// Sets the time of a call until it returns, with all its requests, retries and waits; none by default.
    ///
    /// It does not limit the reading of a run, which begins when the call that starts it has returned.
    /// [`FollowPolicy::deadline`] does.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// Sets the retry policy; [`RetryPolicy::standard`] by default.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets how far a run is followed after its stream breaks off or falls silent; [`FollowPolicy::wait`] by default.
    pub fn follow(mut self, follow: FollowPolicy) -> Self {
        self.follow = follow;
        self
    }

    /// Returns an operation's own timeouts with these options applied.
    pub fn timeouts(&self, own: Timeouts) -> Timeouts {
        Timeouts {
            connect: self.connect.of(own.connect),
            head: self.head.of(own.head),
            silence: self.silence.of(own.silence),
            total: self.total.of(own.total),
        }
    }

    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        self.retry
    }

    /// Returns the options for a stream that is followed. The follower has its own limit of silence and acts on it, so the
    /// transport's timeout comes a minute later.
    pub(crate) fn for_followed_stream(&self) -> Self {
        let silence = match (self.silence, self.follow.longest_silence()) {
            // A sum that overflows a `Duration` means no limit.
            (Change::Keep, longest) => {
                Change::Set(longest.and_then(|longest| longest.checked_add(MINUTE)))
            }
            (set, _) => set,
        };
        Self { silence, ..*self }
    }

    pub(crate) fn follow_policy(&self) -> FollowPolicy {
        self.follow
    }

    pub(crate) fn call_deadline(&self) -> Option<Duration> {
        self.deadline
    }
}
