use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use twentyfirst_protocol::sse::Event;
use twentyfirst_protocol::{Endpoint, ErrorCode, Route};

/// Something that goes wrong on purpose, so that a program can be tested with it.
///
/// A fault is given to a relay with [`LocalRelayBuilder::fault`](crate::LocalRelayBuilder::fault) before it starts, or
/// with [`LocalRelay::inject`](crate::LocalRelay::inject) while it runs. It strikes once, unless [`times`](Self::times)
/// or [`always`](Self::always) say otherwise, however many requests come at the same time. Clones are the same fault:
/// [`struck`](Self::struck) of the one that was kept tells how often it happened.
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_local_relay::{Fault, LocalRelay};
/// use twentyfirst_protocol::http::StatusCode;
/// use twentyfirst_protocol::threads::CreateThread;
///
/// let cuts = Fault::cut_after(Duration::from_secs(1)).always();
/// let refusal = Fault::refuse(StatusCode::SERVICE_UNAVAILABLE)
///     .retry_after(Duration::from_secs(2))
///     .on::<CreateThread>()
///     .times(3);
/// let relay = LocalRelay::builder().fault(cuts).start()?;
/// relay.inject(refusal.clone());
/// assert_eq!(refusal.struck(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a fault strikes when a relay has it"]
pub struct Fault {
    pub(super) kind: Kind,
    /// How often it may strike; `None` without end.
    times: Option<u64>,
    /// The endpoints that it is confined to, if it is.
    routes: Vec<Route>,
    struck: Arc<AtomicU64>,
}

/// When a fault strikes. A number is a number of bytes, a [`Duration`] a time:
/// `Fault::cut_after(200)`, `Fault::cut_after(Duration::from_secs(1))`, `Fault::cut_after(After::Events(3))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum After {
    /// When so many bytes of the body were sent. With 0 nothing but the head was.
    Bytes(u64),
    /// When so many events were sent; `start` is the first of a stream.
    Events(u64),
    /// So long after the head.
    Time(Duration),
}

impl From<u64> for After {
    fn from(bytes: u64) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Duration> for After {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Answer(Arc<Response<Bytes>>),
    Stream(After, Effect),
    DeadRuntime(After),
    Restart(After),
    Replay,
    Nothing,
    Race,
    NotStored,
}

/// What happens to a body that is being sent.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Cut,
    Silence,
    End,
    Event(Bytes),
}

/// # Streams
/// These strike an answer that streams a run, to whoever has started it or has joined it, and with
/// [`on`](Self::on) the answers of any other endpoint. The run itself goes on.
///
/// Each strikes an answer at most once, when the answer has come so far; of two that are due at the same place, the one
/// that was added first strikes first. After a cut, a silence or an end nothing strikes that answer any more, and what
/// was to come later is there for the next. An answer without a body, such as 204, has nothing to strike.
impl Fault {
    /// Breaks the connection off. What was sent before arrives to the last byte; then the connection is closed in the
    /// middle of the body.
    pub fn cut_after(after: impl Into<After>) -> Self {
        Self::new(Kind::Stream(after.into(), Effect::Cut))
    }

    /// Sends nothing any more. The connection stays open until the client closes it.
    pub fn silence_after(after: impl Into<After>) -> Self {
        Self::new(Kind::Stream(after.into(), Effect::Silence))
    }

    /// Ends the body as if all was said, without `[DONE]`. A body whose length was told in its head is cut, as by
    /// [`cut_after`](Self::cut_after).
    pub fn end_after(after: impl Into<After>) -> Self {
        Self::new(Kind::Stream(after.into(), Effect::End))
    }

    /// Puts an event of one's own between two others: the first that comes when so much was sent has it before it.
    ///
    /// `{` is no JSON, and `{}` is no chunk; other data tests what is no error of the stream. Every line break in the
    /// data begins a new line of the event. A body whose length was told in its head keeps it: what no longer fits is
    /// left out.
    pub fn event_after(after: impl Into<After>, data: impl AsRef<str>) -> Self {
        // Only a name or an id can be refused.
        let event = Event::new(data.as_ref()).encode().unwrap_or_default();
        Self::new(Kind::Stream(after.into(), Effect::Event(event)))
    }
}

/// # Runs
impl Fault {
    /// The runtime of a run dies: the agent writes nothing more for ever, and its thread stays `streaming` until it is
    /// cancelled. Bytes and events are counted as in the stream of the one who has started the run; the time begins
    /// when its start-up is over. No event is cut in two.
    pub fn dead_runtime_after(after: impl Into<After>) -> Self {
        Self::new(Kind::DeadRuntime(after.into()))
    }

    /// The relay restarts, as it does when it is deployed, while runs are under way. When the run that it strikes has
    /// come so far, counted as by [`dead_runtime_after`](Self::dead_runtime_after):
    ///
    /// - All streams break off, those of other runs too; what was sent before arrives. Idle connections are closed, and
    ///   other requests under way get their responses. New connections are taken at once.
    /// - The runtimes go on, and nobody reads what they say: no run that was under way is stored, and its thread stays
    ///   `streaming` for ever, also when the agent has ended. Only cancelling frees it.
    /// - Whoever resumes such a run before its agent has ended joins it in the middle, and what this reader sees is
    ///   stored as the whole turn, as by [`joined_reader_stores`](Self::joined_reader_stores). Afterwards there is nothing
    ///   to resume: 204.
    /// - A run that was still starting never begins, and its request fails with 500. Its thread stays `streaming`, too,
    ///   with nothing to resume or to cancel.
    ///
    /// Sandboxes, threads, tokens and faults outlast the restart.
    pub fn restart_after(after: impl Into<After>) -> Self {
        Self::new(Kind::Restart(after.into()))
    }

    /// A run that has ended cannot be stored: `finish` comes, then the stream ends without `[DONE]`, and the thread
    /// has the status `error`.
    pub fn fail_to_store() -> Self {
        Self::new(Kind::NotStored)
    }

    /// A reader who has joined is faster than the one who has started the run, and only what it saw is stored: its
    /// answer, under the id of its own `start`, without what came before it joined. The user's message is lost.
    ///
    /// Strikes when a run is stored that someone has joined while the relay had this fault. Of several readers, the
    /// first to join is meant.
    pub fn joined_reader_stores() -> Self {
        Self::new(Kind::Race)
    }
}

/// # Resuming
/// By default a reader joins a run in the middle, as at the relay: see
/// [`LocalRelayBuilder::hold_back`](crate::LocalRelayBuilder::hold_back).
impl Fault {
    /// Whoever resumes a run gets it from its beginning: with another message id, other text ids, and deltas that are
    /// cut at other places.
    pub fn replay_on_resume() -> Self {
        Self::new(Kind::Replay)
    }

    /// Whoever resumes a run is told that there is none: 204.
    pub fn nothing_on_resume() -> Self {
        Self::new(Kind::Nothing)
    }
}

/// # Refusals
/// These strike any request but `/health` and the preflights of browsers, and with [`on`](Self::on) those to an
/// endpoint. What was asked for is not done, and nobody looks at the key; the request's body is read before.
impl Fault {
    /// Refuses a request with an error as the relay's are, and a code that fits the status.
    pub fn refuse(status: StatusCode) -> Self {
        let code = code(status);
        let reason = status.canonical_reason().unwrap_or("refused");
        let error = serde_json::json!({ "error": { "code": code.as_str(), "message": reason } });
        let mut answer = Response::new(error.to_string());
        *answer.status_mut() = status;
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, json);
        Self::answer_with(answer)
    }

    /// Answers a request with this, in place of what was asked for: the page of a proxy, for example.
    pub fn answer_with(answer: Response<impl Into<Bytes>>) -> Self {
        Self::new(Kind::Answer(Arc::new(answer.map(Into::into))))
    }

    /// Adds `Retry-After` to a refusal, in whole seconds, rounded up. Other faults stay as they are.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        if let Kind::Answer(answer) = &mut self.kind {
            let begun = u64::from(wait.subsec_nanos() > 0);
            let seconds = wait.as_secs().saturating_add(begun);
            let headers = Arc::make_mut(answer).headers_mut();
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        self
    }
}

/// # How often and where
impl Fault {
    /// Strikes so many times; once by default.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes every time.
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Strikes only requests to this endpoint, or their answers; more than one can be named. Endpoints are the
    /// operations of `twentyfirst-protocol`: `fault.on::<SendMessages>()`. Faults of runs and of resuming ignore it.
    pub fn on<E: Endpoint>(mut self) -> Self {
        self.routes.push(E::ROUTE);
        self
    }

    /// How often it has struck so far.
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::SeqCst)
    }

    /// Strikes, unless it has done so often enough.
    pub(super) fn strike(&self) -> bool {
        let more = |struck| (self.times.is_none_or(|times| struck < times)).then_some(struck + 1);
        let struck = &self.struck;
        struck
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .is_ok()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.times.is_some_and(|times| self.struck() >= times)
    }

    /// Whether it is meant for this endpoint. `by_default`: where none was named.
    pub(super) fn concerns(&self, route: Option<&Route>, by_default: bool) -> bool {
        if self.routes.is_empty() {
            return by_default;
        }
        route.is_some_and(|route| self.routes.contains(route))
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            times: Some(1),
            routes: Vec::new(),
            struck: Arc::default(),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("kind", &self.kind)
            .field("times", &self.times)
            .field("struck", &self.struck())
            .finish_non_exhaustive()
    }
}

/// The code that the relay has with a status.
fn code(status: StatusCode) -> ErrorCode {
    match status {
        StatusCode::BAD_REQUEST => ErrorCode::InvalidRequest,
        StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
        StatusCode::PAYMENT_REQUIRED => ErrorCode::BudgetExceeded,
        StatusCode::FORBIDDEN => ErrorCode::Forbidden,
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::REQUEST_TIMEOUT => ErrorCode::CommandTimeout,
        StatusCode::CONFLICT => ErrorCode::Conflict,
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::RateLimitExceeded,
        StatusCode::BAD_GATEWAY => ErrorCode::SandboxError,
        StatusCode::SERVICE_UNAVAILABLE => ErrorCode::SandboxUnavailable,
        _ => ErrorCode::InternalError,
    }
}
