//! HTTP over `ureq`, on threads.

mod connection;
mod failure;
mod lanes;

use std::env;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use tower_service::Service;
use ureq::config::ConfigBuilder;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::{Agent, Proxy, SendBody};

use self::lanes::{Lane, Lanes};
use crate::body::{Body, ReadOutcome};
use crate::error::Error;
use crate::host::Host;
use crate::timeouts::StageTimeouts;
use crate::transport::ResponseFuture;

/// HTTP/1.1 over `ureq`, for programs without an async runtime.
///
/// An exchange runs on a thread until the head of the response has arrived. Another thread, started at the first read, reads the
/// response's body. The request's body is read where the future is polled. The transport does not need tokio: futures and
/// bodies can be polled by any executor, such as `pollster::block_on`.
///
/// Connections are reused. Cloning is cheap and shares them; dropping the last clone closes the idle ones.
///
/// Redirects are never followed: a 3xx is a response like any other. There are no cookies, and bodies arrive as they were sent. (If
/// another crate enables `ureq`'s feature `gzip` or `brotli`, `ureq` decompresses responses that a server compresses unasked.)
///
/// `ureq` reads proxies from the environment: the first of `ALL_PROXY`, `HTTPS_PROXY` and `HTTP_PROXY` (or in lower case) that is a URL,
/// for `https` and `http` alike, except to this machine and to the hosts in `NO_PROXY`. All requests go through it in a tunnel
/// (`CONNECT`, or SOCKS). A CGI script (`REQUEST_METHOD` is set) uses none if `HTTP_PROXY` is set, which may be a header of the incoming
/// request.
///
/// # Errors
/// [`maybe_sent`](Error::maybe_sent) is `false` for every failure to connect: in resolving the name, TCP, the tunnel through a
/// proxy or the TLS handshake, or because it took too long; and for a request that `ureq` refuses as invalid. It is `true` once
/// the first bytes of the request are written. [`StageTimeouts::connect`] limits name resolution and the rest of connecting separately.
///
/// If a server responds and closes before it has read the whole body of a request, the exchange fails: `ureq` reads the
/// response only after it has sent the request.
///
/// # Logs
/// `ureq` logs with the crate `log`. At the level `trace` this includes all that is sent and received, with the key: limit the
/// targets `ureq` and `ureq_proto` to `debug`, which shows hosts, statuses and a few harmless headers.
///
/// # Cancellation
/// Dropping a future or a body shuts its connection down at once, even while a thread waits for the server, and the
/// thread ends. Only name resolution and the TCP handshake are not interrupted: their thread ends when they do, at the latest when
/// the connect timeout expires, and sends nothing.
///
/// ```no_run
/// use pollster::block_on;
/// use twentyfirst_transport::{Body, Transport, UreqTransport};
///
/// let transport = UreqTransport::new();
/// let request = http::Request::get("https://relay.example/health").body(Body::empty())?;
/// let response = block_on(transport.send(request))?;
/// let body = block_on(response.into_body().collect_up_to(1024))?;
/// # let _ = body;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct UreqTransport {
    lanes: Arc<Lanes>,
}

impl UreqTransport {
    /// Creates a transport with these settings: certificates are checked with the operating system's roots, connecting may take 10 s,
    /// up to 100 unused connections are kept for 4 s each, and proxies are taken from the environment. It opens no connection yet.
    ///
    /// The 4 s are shorter than the 5 s after which common servers close: a request that is not safe to repeat must not be written to a
    /// connection that is just being closed. No timer closes connections: an older one is closed with the next request, or by the server.
    pub fn new() -> Self {
        let roots = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        let settings = Agent::config_builder()
            .tls_config(roots.build())
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .max_idle_age(IDLE_TIMEOUT);
        Self::with_settings(settings)
    }

    /// Creates a transport with your settings of `ureq`, except those that a transport must control: statuses are not errors, redirects are
    /// not followed, and no header is added.
    ///
    /// The defaults are `ureq`'s, not those of [`new`](Self::new): root certificates built into `ureq`, no
    /// limit on connecting, and ten unused connections. `ureq`'s own time limits apply in addition to [`StageTimeouts`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use twentyfirst_transport::{UreqTransport, ureq};
    ///
    /// let settings = ureq::Agent::config_builder().proxy(None).timeout_connect(Some(Duration::from_secs(3)));
    /// let transport = UreqTransport::with_settings(settings);
    /// # let _ = transport;
    /// ```
    pub fn with_settings(settings: ConfigBuilder<AgentScope>) -> Self {
        let config = settings
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .accept("")
            .accept_encoding("")
            .user_agent("")
            .build();
        Self {
            lanes: Arc::new(Lanes::new(config)),
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
const IDLE_CONNECTIONS: usize = 100;

impl Default for UreqTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Service<Request<Body>> for UreqTransport {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        let lanes = Arc::clone(&self.lanes);
        ResponseFuture::new(exchange(lanes, request))
    }
}

/// Runs one exchange. The future owns the lane, so dropping the future interrupts the thread.
async fn exchange(lanes: Arc<Lanes>, request: Request<Body>) -> Result<Response<Body>, Error> {
    let lane = lanes.take(request.uri());
    let (mut head, body) = request.into_parts();
    let timeouts = head.extensions.get::<StageTimeouts>().copied();
    let connect_timeout = timeouts.and_then(|timeouts| timeouts.connect);
    let body = announce(&head.method, &mut head.headers, body);
    let has_body = !body.is_end_stream();
    let uri = head.uri.clone();
    let request = configured(lane.agent(), Request::from_parts(head, ()), connect_timeout);
    let agent = lane.agent().clone();
    // The length of a reader is unknown, so `ureq` would announce a chunked body even for an empty one.
    let fed = body.feed("http-exchange", move |reader| match has_body {
        true => agent.run(request.map(|()| SendBody::from_reader(reader))),
        false => agent.run(request),
    });
    match fed.await {
        // The lane goes on with the body: only when that has been read is the connection free.
        ReadOutcome::Done(Ok(response)) => Ok(response.map(|body| arriving(body, lane))),
        ReadOutcome::Done(Err(error)) => {
            let limit = connect_timeout.or_else(|| lane.agent().config().timeouts().connect);
            Err(failure::classify(error, lane.maybe_sent(), limit).at_host(&uri))
        }
        ReadOutcome::Broken(error) => Err(Error::request_body(error)),
        ReadOutcome::NoThread(error) => Err(Error::not_sent(error)),
        ReadOutcome::Panicked => Err(Error::new("the thread of the exchange panicked")),
    }
}

/// Announces the body's length in the headers, if it is known, and enforces it: if a body ends too early, `ureq` would poll it for
/// ever.
fn announce(method: &Method, headers: &mut HeaderMap, body: Body) -> Body {
    if headers.contains_key(TRANSFER_ENCODING) {
        return body;
    }
    let announced = headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    match announced.or_else(|| body.size_hint().exact()) {
        // RFC 9110, section 8.6: announced only by methods that give a body a meaning.
        Some(0) if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => body,
        Some(length) => {
            headers
                .entry(CONTENT_LENGTH)
                .or_insert(HeaderValue::from(length));
            body.with_exact_length(length)
        }
        None => body,
    }
}

/// Returns the request with its own limit on connecting, and without the environment's proxy if that must not be used.
fn configured(agent: &Agent, request: Request<()>, connect: Option<Duration>) -> Request<()> {
    let config = agent.config();
    let connect = connect.filter(|limit| config.timeouts().connect != Some(*limit));
    let host = request.uri().host().and_then(Host::parse);
    let is_direct = config.proxy().is_some_and(Proxy::is_from_env)
        && (host.is_some_and(|host| host.is_this_machine()) || may_be_forged());
    // Settings of a single request make `ureq` read the certificates again for each connection.
    if connect.is_none() && !is_direct {
        return request;
    }
    let mut settings = agent.configure_request(request);
    if let Some(limit) = connect {
        // `ureq` panics if the clock has no such time.
        let limit = Instant::now().checked_add(limit).map(|_| limit);
        settings = settings.timeout_resolve(limit).timeout_connect(limit);
    }
    if is_direct {
        settings = settings.proxy(None);
    }
    settings.build()
}

/// Returns whether this is a CGI script and the variable of a proxy may be a header of the incoming request.
fn may_be_forged() -> bool {
    ["REQUEST_METHOD", "HTTP_PROXY"]
        .map(env::var_os)
        .iter()
        .all(Option::is_some)
}

/// Wraps a response's body so that it holds its lane until it has been read to its end.
fn arriving(body: ureq::Body, lane: Lane) -> Body {
    let length = body.content_length();
    Body::wrap(Arriving {
        body: Body::from_reader(body.into_reader()),
        left: length,
        lane: Some(lane),
    })
}

struct Arriving {
    body: Body,
    /// The bytes still to come of an announced length.
    left: Option<u64>,
    lane: Option<Lane>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.left = self.left.map(|left| left.saturating_sub(length));
            }
            // Dropping the lane shuts its connection down.
            Some(Err(_)) => self.lane = None,
            None => {
                if let Some(lane) = self.lane.take() {
                    lane.give_back();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.lane.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

impl fmt::Debug for UreqTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UreqTransport").finish_non_exhaustive()
    }
}
