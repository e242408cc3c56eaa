//! Makes connections: TCP, TLS where the scheme asks for it, and a limit on all of it together.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::error::BoxError;
use crate::runtime::Runtime;

type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    /// Made at the first `https` connection: it reads the root certificates, which a machine may not have.
    tls: Arc<OnceLock<HttpsConnector<HttpConnector>>>,
    timeout: Option<Duration>,
    runtime: Arc<dyn Runtime>,
}

impl Connector {
    pub(super) fn new(
        timeout: Option<Duration>,
        tcp_keep_alive: Option<Duration>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        // The scheme is looked at here.
        tcp.enforce_http(false);
        // Requests and the deltas of a stream are small, and each is written when it is whole.
        tcp.set_nodelay(true);
        tcp.set_keepalive(tcp_keep_alive);
        tcp.set_keepalive_interval(tcp_keep_alive);
        tcp.set_keepalive_retries(tcp_keep_alive.map(|_| 3));
        Self {
            tcp,
            tls: Arc::default(),
            timeout,
            runtime,
        }
    }

    async fn connect(mut self, target: Uri) -> Result<Connection, BoxError> {
        if target.scheme() == Some(&Scheme::HTTP) {
            Ok(MaybeHttpsStream::Http(self.tcp.call(target).await?))
        } else {
            self.tls()?.call(target).await
        }
    }

    fn tls(&self) -> io::Result<HttpsConnector<HttpConnector>> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        // A failure is not kept: the certificates may be there the next time.
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(rustls::crypto::ring::default_provider())?
            .https_only()
            .enable_all_versions()
            .wrap_connector(self.tcp.clone());
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

thread_local! {
    /// The limit that the request which is being polled brought along.
    ///
    /// hyper gives a connector nothing but a URI. But it calls one within the poll of the request that needs a
    /// connection, and never elsewhere.
    static TIMEOUT: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Polls a request whose connection, if it needs one, has a limit of its own.
pub(super) fn with_timeout<R>(timeout: Option<Duration>, poll: impl FnOnce() -> R) -> R {
    /// However the poll ends, and whatever it was called within.
    struct Restore(Option<Duration>);

    impl Drop for Restore {
        fn drop(&mut self) {
            TIMEOUT.set(self.0);
        }
    }

    let _restore = Restore(TIMEOUT.replace(timeout));
    poll()
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        let timeout = TIMEOUT.get().or(self.timeout);
        Box::pin(async move {
            let Some(limit) = timeout else {
                return connector.connect(target).await;
            };
            let mut timer = connector.runtime.sleep(limit);
            let mut connecting = pin!(connector.connect(target));
            poll_fn(|cx| match connecting.as_mut().poll(cx) {
                Poll::Pending => timer
                    .as_mut()
                    .poll(cx)
                    .map(|()| Err(ConnectTimeout(limit).into())),
                ready => ready,
            })
            .await
        })
    }
}

/// Goes through hyper's error and is found again in there.
#[derive(Debug)]
pub(super) struct ConnectTimeout(pub(super) Duration);

impl fmt::Display for ConnectTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time to connect is over")
    }
}

impl std::error::Error for ConnectTimeout {}
