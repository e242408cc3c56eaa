//! The settings of [`HttpTransport`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client;

use super::HttpTransport;
use super::connector::Connector;
use crate::runtime::hyper::HyperRuntime;
use crate::runtime::{Runtime, TokioRuntime};

/// Settings for an [`HttpTransport`].
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_transport::HttpTransport;
///
/// let transport = HttpTransport::builder()
///     .connect_timeout(Duration::from_secs(3))
///     .tcp_keep_alive(None)
///     .build();
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct HttpTransportBuilder {
    connect_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    tcp_keep_alive: Option<Duration>,
    runtime: Arc<dyn Runtime>,
}

impl HttpTransportBuilder {
    pub(super) fn new() -> Self {
        Self {
            connect_timeout: Some(Duration::from_secs(10)),
            idle_timeout: Some(Duration::from_secs(4)),
            tcp_keep_alive: Some(Duration::from_secs(30)),
            runtime: Arc::new(TokioRuntime),
        }
    }

    /// How long making a connection may take: name resolution, TCP and the TLS handshake together.
    ///
    /// 10 seconds unless set; `None` leaves it to the operating system.
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
    /// two such probes. After three without an answer the connection has failed.
    ///
    /// 30 seconds unless set; `None` sends no probes, and a stream whose server has vanished stays silent.
    pub fn tcp_keep_alive(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.tcp_keep_alive = interval.into();
        self
    }

    /// Where timers and the tasks of connections run: [`TokioRuntime`] unless set.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Arc::new(runtime);
        self
    }

    /// Makes the transport. Opens and reads nothing yet.
    pub fn build(self) -> HttpTransport {
        let runtime = HyperRuntime(Arc::clone(&self.runtime));
        let connector = Connector::new(self.connect_timeout, self.tcp_keep_alive, self.runtime);
        HttpTransport {
            client: Client::builder(runtime.clone())
                .pool_timer(runtime)
                .pool_idle_timeout(self.idle_timeout)
                .build(connector),
        }
    }
}

impl fmt::Debug for HttpTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransportBuilder")
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("tcp_keep_alive", &self.tcp_keep_alive)
            .finish_non_exhaustive()
    }
}
