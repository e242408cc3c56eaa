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

/// What a stream of HTTP/2 begins with, and the most that can be said (RFC 9113, sections 6.9.1 and 6.9.2).
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

    /// How long making a connection may take: name resolution, TCP, the way through a proxy and the TLS handshake
    /// together.
    ///
    /// 10 seconds unless set; `None` leaves it to the operating system. A request may have
    /// [a limit of its own](crate::StageTimeouts::connect).
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = timeout.into();
        self
    }

    /// How long an unused connection is kept for the next request.
    ///
    /// 4 seconds unless set, which is shorter than the 5 seconds after which common servers close: a request that
    /// is not safe to repeat must not meet a connection that is just being closed. `None` keeps connections until
    /// the server closes them.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into();
        self
    }

    /// How long a connection is silent before TCP asks whether the other side is still there, and the time between
    /// two such probes. After three without a response the connection has failed.
    ///
    /// 30 seconds unless set; `None` sends no probes, and a stream whose server has vanished stays silent.
    pub fn tcp_keep_alive(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.tcp_keep_alive = interval.into();
        self
    }

    /// How long an HTTP/2 connection in use is silent before the server is asked, with a ping, whether it is still
    /// there, and how long its response may take before the connection has failed.
    ///
    /// Off unless set: some servers close connections that ping more often than they like.
    pub fn http2_keep_alive(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.http2_keep_alive = interval.into();
        self
    }

    /// Speaks HTTP/2 to servers of plain `http` from the first byte on, without asking whether they do. Off unless set.
    ///
    /// Requests that go through a proxy are of HTTP/1.1 all the same. Over TLS the version is agreed on, and this changes nothing.
    pub fn http2_prior_knowledge(mut self, is_known: bool) -> Self {
        self.http2_prior_knowledge = is_known;
        self
    }

    /// How many requests share one HTTP/2 connection. Another is made for those beyond.
    ///
    /// 100 unless set, which is the least that servers are recommended to allow (RFC 9113, section 6.5.2). Where a server allows fewer,
    /// requests beyond wait on its connection until a response has come to its end. Zero counts as one.
    pub fn http2_streams(mut self, most: usize) -> Self {
        self.http2_streams = most.max(1);
        self
    }

    /// How many bytes of an HTTP/2 response arrive before they are read.
    ///
    /// 256 KiB unless set. A reader that stands still holds as much memory. All responses of a connection together have room for
    /// this, so that none that stands still holds up another. Where the server is far away, a large file comes faster with more: at
    /// most this in the time of a round trip.
    ///
    /// It counts from 64 KiB - 1, with which HTTP/2 begins, to 2 GiB - 1.
    pub fn http2_window(mut self, bytes: u32) -> Self {
        self.http2_window = bytes.clamp(SMALLEST_WINDOW, LARGEST_WINDOW);
        self
    }

    /// How many bytes an HTTP/1.1 connection reads at a time.
    ///
    /// From 8 KiB to about 400 KiB unless set, as they come, which is best for large bodies. Who holds thousands of event streams open saves
    /// memory for each with 2 KiB; a large file then takes so many more reads.
    pub fn read_buffer(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.read_buffer = bytes.into();
        self
    }

    /// Trusts these authorities, too, beside the operating system's and those of earlier calls.
    pub fn root_certificates(mut self, roots: RootCertificates) -> Self {
        self.root_certificates
            .certificates
            .extend(roots.certificates);
        self
    }

    /// Shows this certificate to servers that ask for one. None unless set.
    pub fn client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.client_certificate = Some(certificate);
        self
    }

    /// The proxy that requests go through: [what the environment says](Proxy::from_env) unless set.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// What makes connections, instead of TCP with tokio: another runtime's sockets, a Unix socket, a pipe in memory.
    ///
    /// It is a service that takes the URI to connect to, of which the scheme, the host and the port count (443 for
    /// `https` and 80 for `http` where there is none), and gives a stream of bytes in both directions. It is asked
    /// for the server, or for the proxy where requests go through one; TLS and tunnels are made on top of what it
    /// gives. tokio's streams become such a stream with `tokio_util::compat`.
    ///
    /// Together with a [`runtime`](Self::runtime) that is not tokio's, nothing here needs tokio to run.
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

    /// Where timers and the tasks of connections run: [`TokioRuntime`] unless set.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Arc::new(runtime);
        self
    }

    /// Makes the transport. Opens nothing yet, and reads nothing but the environment's proxies.
    ///
    /// # Errors
    /// Where the environment names a [proxy](Proxy::from_env), or exceptions from it, that cannot be read. The error
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
