use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use twentyfirst_protocol::sse::Event;
use twentyfirst_protocol::{Endpoint, ErrorCode, Route};

/// A failure on purpose, for testing a program.
///
/// Add a fault with [`LocalRelayBuilder::fault`](crate::LocalRelayBuilder::fault) before the relay starts, or with
/// [`LocalRelay::inject`](crate::LocalRelay::inject) while it runs. By default it strikes once, also with concurrent requests:
/// [`times`](Self::times) and [`always`](Self::always) change that. Clones are the same fault, so a clone that you keep counts the strikes
/// with [`struck`](Self::struck).
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
#[must_use = "a fault has no effect until it is added to a relay"]
pub struct Fault {
    pub(super) kind: Kind,
    /// The number of times that it may strike. `None` is no limit.
    times: Option<u64>,
    /// The endpoints that it strikes. Empty for the default of its kind.
    routes: Vec<Route>,
    struck: Arc<AtomicU64>,
}

/// The point at which a fault strikes. A number converts into bytes, and a [`Duration`] into a time:
/// `Fault::cut_after(200)`, `Fault::cut_after(Duration::from_secs(1))`, `Fault::cut_after(After::Events(3))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum After {
    /// After this many bytes of the body. Zero strikes after the headers.
    Bytes(u64),
    /// After this many events. The first event of a stream is `start`.
    Events(u64),
    /// After this time, counted from the headers.
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

/// The kind of a failure.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Response(Arc<Response<Bytes>>),
    Stream(After, Effect),
    DeadRuntime(After),
    Restart(After),
    Replay,
    Nothing,
    Race,
    NotStored,
}

/// The effect of a fault on a body.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Cut,
    Silence,
    End,
    Event(Bytes),
}

/// # Streams
/// These strike the responses that stream a run, to the reader that started it and to joined readers. With [`on`](Self::on), they
/// strike the responses of the given endpoints instead. The run itself continues.
///
/// Each strikes a response at most once, when the response has reached the given point. If two are due at the same point, the one added
/// first strikes first. After a cut, a silence or an end, nothing else strikes the response, and later faults keep their strikes for
/// the next one. A response without a body, such as 204, cannot be struck.
impl Fault {
    /// Cuts the connection in the middle of the body. All bytes before the cut arrive.
    pub fn cut_after(after: impl Into<After>) -> Self {
        Self::new(Kind::Stream(after.into(), Effect::Cut))
    }

    /// Sends nothing more. The connection stays open until the client closes it.
    pub fn silence_after(after: impl Into<After>) -> Self {
        Self::new(Kind::Stream(after.into(), Effect::Silence))
    }

    /// Ends the body properly, but without `[DONE]`. A body with `Content-Length` cannot end early: it is cut, as by
    /// [`cut_after`](Self::cut_after).
    pub fn end_after(after: impl Into<After>) -> Self {
        Self::new(Kind::Stream(after.into(), Effect::End))
    }

    /// Inserts an event with this data between two others, at the first event boundary after the given point.
    ///
    /// Use `{` for malformed JSON and `{}` for JSON that is no chunk. A line break in the data begins a new `data:` line. A body with
    /// `Content-Length` keeps its length, and its end is truncated.
    pub fn event_after(after: impl Into<After>, data: impl AsRef<str>) -> Self {
        // Encoding fails only for an invalid name or id, and this event has neither.
        let event = Event::new(data.as_ref()).encode().unwrap_or_default();
        Self::new(Kind::Stream(after.into(), Effect::Event(event)))
    }
}

/// # Runs
impl Fault {
    /// Kills the runtime of a run: the agent writes nothing more, and its thread stays `streaming` until it is cancelled.
    ///
    /// Bytes and events are counted in the stream of the reader that started the run, and the time from the end of the start-up. The last
    /// event is always complete.
    pub fn dead_runtime_after(after: impl Into<After>) -> Self {
        Self::new(Kind::DeadRuntime(after.into()))
    }

    /// Restarts the relay while runs are under way, as a deployment does. The point is counted as by
    /// [`dead_runtime_after`](Self::dead_runtime_after), in the run that the fault strikes. Then:
    ///
    /// - All streams break off, also those of other runs. All bytes before arrive. Idle connections are closed, and other requests under
    ///   way get their responses. The relay accepts new connections at once.
    /// - Agents continue without readers. No run that was under way is stored, and its thread stays `streaming`, even after its agent has
    ///   ended. Only cancelling frees it.
    /// - A reader that resumes such a run before its agent has ended joins it in the middle. The part that this reader sees is stored as
    ///   the whole turn, as by [`joined_reader_stores`](Self::joined_reader_stores). After the agent's end there is nothing to resume: 204.
    /// - A run that was still starting never begins, and its request fails with 500. Its thread stays `streaming` as well, with nothing to
    ///   resume or to cancel.
    ///
    /// Sandboxes, threads, tokens and faults survive the restart.
    pub fn restart_after(after: impl Into<After>) -> Self {
        Self::new(Kind::Restart(after.into()))
    }

    /// Fails to store a run that has ended: the stream ends after `finish` without `[DONE]`, and the thread has the status `error`.
    pub fn fail_to_store() -> Self {
        Self::new(Kind::NotStored)
    }

    /// Lets a joined reader store the run before the reader that started it.
    ///
    /// Only the part of the answer that the joined reader saw is stored, under the id of its own `start`. The part before it joined and
    /// the user's message are lost.
    ///
    /// Strikes when a run is stored that a reader joined while the relay had this fault. The first of several joined readers wins.
    pub fn joined_reader_stores() -> Self {
        Self::new(Kind::Race)
    }
}

/// # Resuming
/// Without these, a reader joins a run in the middle, as at the relay: see
/// [`LocalRelayBuilder::hold_back`](crate::LocalRelayBuilder::hold_back).
impl Fault {
    /// Replays a resumed run from its beginning, with another message id, other text ids, and differently cut deltas.
    pub fn replay_on_resume() -> Self {
        Self::new(Kind::Replay)
    }

    /// Responds to a resume with 204, as if there were no run.
    pub fn nothing_on_resume() -> Self {
        Self::new(Kind::Nothing)
    }
}

/// # Refusals
/// These strike any request, or with [`on`](Self::on) those to one endpoint. They never strike `/health` and the preflights of browsers.
/// The relay reads the request's body, but does not check the key and does not perform the request.
impl Fault {
    /// Refuses a request with an error of the relay's form, and a code that fits the status.
    pub fn refuse(status: StatusCode) -> Self {
        let code = code(status);
        let reason = status.canonical_reason().unwrap_or("refused");
        let error = serde_json::json!({ "error": { "code": code.as_str(), "message": reason } });
        let mut response = Response::new(error.to_string());
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Self::respond_with(response)
    }

    /// Responds to a request with any response, such as the error page of a proxy.
    pub fn respond_with(response: Response<impl Into<Bytes>>) -> Self {
        Self::new(Kind::Response(Arc::new(response.map(Into::into))))
    }

    /// Adds `Retry-After` to a refusal, in whole seconds, rounded up. It has no effect on other faults.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        if let Kind::Response(response) = &mut self.kind {
            let begun = u64::from(wait.subsec_nanos() > 0);
            let seconds = wait.as_secs().saturating_add(begun);
            let headers = Arc::make_mut(response).headers_mut();
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        self
    }
}

/// # Frequency and endpoints
impl Fault {
    /// Sets the number of strikes: one by default.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Removes the limit on the number of strikes.
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Restricts the fault to requests to this endpoint, or to their responses. Repeated calls add endpoints.
    ///
    /// Endpoints are the operations of `twentyfirst-protocol`, such as `fault.on::<SendMessages>()`. Faults of runs and of resuming ignore
    /// this.
    pub fn on<E: Endpoint>(mut self) -> Self {
        self.routes.push(E::ROUTE);
        self
    }

    /// Returns the number of strikes so far, in all relays that have this fault.
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::SeqCst)
    }

    /// Counts a strike and returns true, unless it has used up its strikes.
    pub(super) fn strike(&self) -> bool {
        // One atomic step, so that concurrent requests do not strike more often than `times`.
        let more = |struck| (self.times.is_none_or(|times| struck < times)).then_some(struck + 1);
        let struck = &self.struck;
        struck
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .is_ok()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.times.is_some_and(|times| self.struck() >= times)
    }

    /// Returns whether it strikes this endpoint. `by_default` is the result for a fault without endpoints.
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

/// Returns the error code that the relay uses with a status.
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
