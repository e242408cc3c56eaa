//! The settings of [`HttpTransport`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use http::Uri;
use hyper_util::client::legacy::Client;
use tower_service::Service;

use super::HttpTransport;
use super::certificates::{ClientCertificate, RootCertificates};
use super::clients::Clients;
use super::connector::{Connector, Dialer, Tls};
use super::proxy::Proxy;
use crate::error::BoxError;
use crate::invalid_setting::InvalidSetting;
use crate::runtime::hyper::HyperRuntime;
use crate::runtime::{Runtime, TokioRuntime};

/// The initial flow-control window of an HTTP/2 stream (RFC 9113, sections 6.9.1 and 6.9.2).
const SMALLEST_WINDOW: u32 = 65_535;
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// Settings for an [`HttpTransport`].
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_transport::HttpTransport;
///
/// let transport = HttpTransport::builder()
///     .connect_timeout(Duration::from_secs(3))
///     .tcp_keep_alive(None)
///     .build()?;
/// # Ok::<(), twentyfirst_transport::InvalidSetting>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct HttpTransportBuilder {
    connect_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    tcp_keep_alive: Option<Duration>,
    http2_keep_alive: Option<Duration>,
    http2_prior_knowledge: bool,
    http2_streams: usize,
    http2_window: u32,
    read_buffer: Option<usize>,
    root_certificates: RootCertificates,
    client_certificate: Option<ClientCertificate>,
    proxy: Proxy,
    connector: Option<Dialer>,
    runtime: Arc<dyn Runtime>,
}

impl HttpTransportBuilder {
    pub(super) fn new() -> Self {
        Self {
            connect_timeout: Some(Duration::from_secs(10)),
            idle_timeout: Some(Duration::from_secs(4)),
            tcp_keep_alive: Some(Duration::from_secs(30)),
            http2_keep_alive: None,
            http2_prior_knowledge: false,
            http2_streams: 100,
            http2_window: 256 * 1024,
            read_buffer: None,
            root_certificates: RootCertificates::default(),
            client_certificate: None,
            proxy: Proxy::from_env(),
            connector: None,
            runtime: Arc::new(TokioRuntime),
        }
    }

    /// Sets the limit on connecting: name resolution, TCP, the way through a proxy and the TLS handshake
    /// together.
    ///
    /// Default: 10 seconds. `None` leaves it to the operating system. A request may have
    /// [a limit of its own](crate::StageTimeouts::connect).
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = timeout.into();
        self
    }

    /// Sets how long an unused connection is kept for the next request.
    ///
    /// Default: 4 seconds, which is shorter than the 5 seconds after which common servers close: a request that
    /// is not safe to repeat must not be written to a connection that is just being closed. `None` keeps connections until
    /// the server closes them.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into();
        self
    }

    /// Sets the idle time after which TCP probes whether the peer is still there, and the time between
    /// probes. The connection fails after three unanswered probes.
    ///
    /// Default: 30 seconds. `None` sends no probes: a stream whose server has vanished then stays silent.
    pub fn tcp_keep_alive(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.tcp_keep_alive = interval.into();
        self
    }

    /// Sets the time without data after which a ping checks an HTTP/2 connection with open requests, and the time that the server
    /// has to respond to the ping before the connection fails.
    ///
    /// Default: off, because some servers close connections that ping too often.
    pub fn http2_keep_alive(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.http2_keep_alive = interval.into();
        self
    }

    /// Speaks HTTP/2 to plain `http` servers without negotiation. Default: off.
    ///
    /// Requests through a proxy still use HTTP/1.1. Over TLS the version is negotiated, and this setting has no effect.
    pub fn http2_prior_knowledge(mut self, is_known: bool) -> Self {
        self.http2_prior_knowledge = is_known;
        self
    }

    /// Sets how many requests share one HTTP/2 connection. Further requests open another connection.
    ///
    /// Default: 100, the recommended minimum for servers (RFC 9113, section 6.5.2). If a server allows fewer,
    /// further requests wait on its connection until a response ends. Zero counts as one.
    pub fn http2_streams(mut self, most: usize) -> Self {
        self.http2_streams = most.max(1);
        self
    }

    /// Sets how many bytes of an HTTP/2 response are buffered before they are read.
    ///
    /// Default: 256 KiB. A reader that pauses holds this much memory. The window of the connection has room
    /// for all its responses together, so that a paused one does not block another. A larger window speeds up large files from distant
    /// servers: at most this many bytes arrive per round trip.
    ///
    /// Values are clamped to 64 KiB - 1, HTTP/2's initial window, and 2 GiB - 1.
    pub fn http2_window(mut self, bytes: u32) -> Self {
        self.http2_window = bytes.clamp(SMALLEST_WINDOW, LARGEST_WINDOW);
        self
    }

    /// Sets how many bytes an HTTP/1.1 connection reads at a time.
    ///
    /// Default: adaptive, from 8 KiB to about 400 KiB, which is best for large bodies. With thousands of open event streams, 2 KiB
    /// saves memory for each; large files then take more reads.
    pub fn read_buffer(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.read_buffer = bytes.into();
        self
    }

    /// Also trusts these authorities, in addition to the operating system's and those of earlier calls.
    pub fn root_certificates(mut self, roots: RootCertificates) -> Self {
        self.root_certificates
            .certificates
            .extend(roots.certificates);
        self
    }

    /// Sets the certificate for servers that ask for one. Default: none.
    pub fn client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.client_certificate = Some(certificate);
        self
    }

    /// Sets the proxy for requests. Default: [the environment's](Proxy::from_env).
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// Sets the service that makes connections, instead of TCP with tokio: another runtime's sockets, a Unix socket, a pipe in memory.
    ///
    /// The service takes the URI to connect to and returns a stream of bytes in both directions. Only the URI's scheme, host and port
    /// matter (the default ports are 443 for `https` and 80 for `http`). The URI is that of the server, or of the proxy for requests
    /// that go through one. TLS and tunnels are added on top of the stream. `tokio_util::compat` converts tokio's streams.
    ///
    /// Together with a [`runtime`](Self::runtime) other than tokio's, the transport does not need tokio to run.
    pub fn connector<C>(mut self, connector: C) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send,
    {
        self.connector = Some(Dialer::custom(connector));
        self
    }

    /// Sets the runtime for timers and for the tasks of connections. Default: [`TokioRuntime`].
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Arc::new(runtime);
        self
    }

    /// Creates the transport. It opens no connection yet, and reads only the environment's proxies.
    ///
    /// # Errors
    /// If the environment names a [proxy](Proxy::from_env), or exceptions from it, that cannot be parsed. The error
    /// names the variable and never shows its value.
    pub fn build(self) -> Result<HttpTransport, InvalidSetting> {
        let runtime = HyperRuntime(Arc::clone(&self.runtime));
        let proxies = self.proxy.build()?;
        let connector = Connector {
            dialer: self
                .connector
                .unwrap_or_else(|| Dialer::tcp(self.tcp_keep_alive)),
            tls: Arc::new(Tls::new(self.root_certificates, self.client_certificate)),
            proxies: Arc::clone(&proxies),
            timeout: self.connect_timeout,
            http2_prior_knowledge: self.http2_prior_knowledge,
            runtime: Arc::clone(&self.runtime),
        };
        let streams = u32::try_from(self.http2_streams).unwrap_or(u32::MAX);
        // Room for all streams together: a stream that nobody reads must not use up the window of the others.
        let connection_window = self
            .http2_window
            .saturating_mul(streams)
            .min(LARGEST_WINDOW);
        let mut client = Client::builder(runtime.clone());
        client
            .timer(runtime.clone())
            .pool_timer(runtime)
            .pool_idle_timeout(self.idle_timeout)
            .http2_initial_stream_window_size(self.http2_window)
            .http2_initial_connection_window_size(connection_window);
        if let Some(bytes) = self.read_buffer {
            client.http1_read_buf_exact_size(bytes);
        }
        if let Some(interval) = self.http2_keep_alive {
            client
                .http2_keep_alive_interval(interval)
                .http2_keep_alive_timeout(interval);
        }
        Ok(HttpTransport {
            clients: Arc::new(Clients::new(self.http2_streams, move || {
                client.build(connector.clone())
            })),
            proxies,
            runtime: self.runtime,
        })
    }
}

impl fmt::Debug for HttpTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransportBuilder")
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("tcp_keep_alive", &self.tcp_keep_alive)
            .field("http2_keep_alive", &self.http2_keep_alive)
            .field("http2_prior_knowledge", &self.http2_prior_knowledge)
            .field("http2_streams", &self.http2_streams)
            .field("http2_window", &self.http2_window)
            .field("root_certificates", &self.root_certificates)
            .field("client_certificate", &self.client_certificate)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
