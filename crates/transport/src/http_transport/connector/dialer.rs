//! Opens the bare connection: TCP with tokio, or the user's connector.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio_util::compat::FuturesAsyncReadCompatExt as _;
use tower_service::Service;

use super::connection::Connection;
use crate::error::BoxError;

#[derive(Clone)]
pub(in crate::http_transport) enum Dialer {
    Tcp(HttpConnector),
    Custom(Arc<dyn Dial>),
}

impl Dialer {
    pub(in crate::http_transport) fn tcp(keep_alive: Option<Duration>) -> Self {
        let mut tcp = HttpConnector::new();
        // The connector has checked the scheme already.
        tcp.enforce_http(false);
        // Requests and stream deltas are small and written whole, so waiting to merge them only adds latency.
        tcp.set_nodelay(true);
        tcp.set_keepalive(keep_alive);
        tcp.set_keepalive_interval(keep_alive);
        tcp.set_keepalive_retries(keep_alive.map(|_| 3));
        Self::Tcp(tcp)
    }

    pub(in crate::http_transport) fn custom<C>(connector: C) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send,
    {
        Self::Custom(Arc::new(connector))
    }

    pub(super) async fn dial(&self, target: Uri) -> Result<Connection, BoxError> {
        match self {
            Self::Tcp(tcp) => Ok(Connection::new(tcp.clone().call(target).await?)),
            Self::Custom(custom) => custom.dial(target).await,
        }
    }
}

/// A connector whose type is erased.
pub(in crate::http_transport) trait Dial: Send + Sync {
    fn dial(&self, target: Uri) -> super::Connecting;
}

impl<C> Dial for C
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send,
{
    fn dial(&self, target: Uri) -> super::Connecting {
        let mut connector = self.clone();
        Box::pin(async move {
            poll_fn(|cx| connector.poll_ready(cx))
                .await
                .map_err(Into::into)?;
            let io = connector.call(target).await.map_err(Into::into)?;
            Ok(Connection::new(TokioIo::new(io.compat())))
        })
    }
}
