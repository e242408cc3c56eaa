//! Makes connections, with one time limit on all steps.
//!
//! ```text
//!   http  ─► direct ─────────► dial the server
//!         └► through a proxy ─► dial the proxy [─► TLS with the proxy]
//!   https ─► direct ─────────► dial the server ─► TLS with the server
//!         └► through a proxy ─► dial the proxy [─► TLS with the proxy] ─► CONNECT ─► TLS with the server
//! ```

mod connection;
mod dialer;
mod tls;

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use tower_service::Service;

pub(super) use self::connection::{Connection, Open};
pub(super) use self::dialer::Dialer;
pub(super) use self::tls::Tls;
use super::proxy::{Proxies, Route};
use crate::error::BoxError;
use crate::runtime::Runtime;

#[derive(Clone)]
pub(super) struct Connector {
    pub(super) dialer: Dialer,
    pub(super) tls: Arc<Tls>,
    pub(super) proxies: Arc<Proxies>,
    pub(super) timeout: Option<Duration>,
    pub(super) http2_prior_knowledge: bool,
    pub(super) runtime: Arc<dyn Runtime>,
}

impl Connector {
    async fn connect(self, target: Uri) -> Result<Connection, BoxError> {
        // Build TLS before opening anything: without certificates the connection would be useless.
        let tls = match target.scheme_str() {
            Some("http") => None,
            Some("https") => Some(self.tls.for_server()?),
            _ => return Err("the URI is neither http nor https".into()),
        };
        let connection = match self.proxies.route(&target)? {
            Route::Direct => {
                let connection = self.dialer.dial(target.clone()).await?;
                match tls.is_none() && self.http2_prior_knowledge {
                    true => connection.http2(),
                    false => connection,
                }
            }
            Route::Proxy(proxy) if tls.is_some() => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), ToProxy(self.clone()));
                if let Some(authorization) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                tunnel.call(target.clone()).await?
            }
            // Without TLS there is no tunnel: see `Proxy`.
            Route::Proxy(proxy) => self.connect_to_proxy(proxy.uri().clone()).await?.proxied(),
        };
        match tls {
            Some(tls) => tls.with(&target, connection).await,
            None => Ok(connection),
        }
    }

    async fn connect_to_proxy(&self, proxy: Uri) -> Result<Connection, BoxError> {
        let tls = match proxy.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => Some(self.tls.for_proxy()?),
            _ => None,
        };
        let connection = self.dialer.dial(proxy.clone()).await?;
        match tls {
            Some(tls) => tls.with(&proxy, connection).await,
            None => Ok(connection),
        }
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

/// Makes the connections to the proxy that tunnels run over.
#[derive(Clone)]
struct ToProxy(Connector);

impl Service<Uri> for ToProxy {
    type Response = Connection;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Connecting {
        let connector = self.0.clone();
        Box::pin(async move { connector.connect_to_proxy(proxy).await })
    }
}

thread_local! {
    /// The settings of the request that is being polled on this thread.
    ///
    /// hyper passes a connector only a URI, so a request's own timeout cannot reach it otherwise. This works because hyper calls a
    /// connector only from within the poll of the request that needs the connection.
    static POLLED: Cell<Polled> = const {
        Cell::new(Polled {
            timeout: None,
            connects: false,
        })
    };
}

#[derive(Clone, Copy)]
struct Polled {
    timeout: Option<Duration>,
    connects: bool,
}

/// Polls a request with its own limit on connecting. Also returns whether this poll began to make a connection.
pub(super) fn poll_with_timeout<R>(
    timeout: Option<Duration>,
    poll: impl FnOnce() -> R,
) -> (R, bool) {
    /// Restores the outer settings, even if the poll panics or is nested in another.
    struct Restore(Polled);

    impl Drop for Restore {
        fn drop(&mut self) {
            POLLED.set(self.0);
        }
    }

    let _restore = Restore(POLLED.replace(Polled {
        timeout,
        connects: false,
    }));
    (poll(), POLLED.get().connects)
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Connecting {
        let connector = self.clone();
        // Read now: the future is polled later, perhaps on behalf of another request.
        let polled = POLLED.get();
        POLLED.set(Polled {
            connects: true,
            ..polled
        });
        let timeout = polled.timeout.or(self.timeout);
        Box::pin(async move {
            let Some(limit) = timeout else {
                return connector.connect(target).await;
            };
            let mut timer = connector.runtime.sleep(limit);
            let mut connecting = pin!(connector.connect(target));
            // The connection before the timer: one that is ready in time is never refused.
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

/// The connect timeout. It passes through hyper's error as a source and is found there again.
#[derive(Debug)]
pub(super) struct ConnectTimeout(pub(super) Duration);

impl fmt::Display for ConnectTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connecting took too long")
    }
}

impl std::error::Error for ConnectTimeout {}
