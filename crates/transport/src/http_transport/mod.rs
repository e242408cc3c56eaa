//! HTTP over the network.

mod builder;
mod certificates;
mod clients;
mod connector;
mod environment_roots;
mod failure;
mod pem;
mod proxy;
mod unclaimed;

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::PROXY_AUTHORIZATION;
use http::{Request, Response, Version};
use hyper_util::client::legacy::connect::capture_connection;
use tower_service::Service;

pub use self::builder::HttpTransportBuilder;
pub use self::certificates::{ClientCertificate, RootCertificates};
use self::clients::{Clients, SlotBody};
use self::proxy::Proxies;
pub use self::proxy::Proxy;
use self::unclaimed::Unclaimed;
use crate::body::{Body, set_empty_length};
use crate::error::Error;
use crate::invalid_setting::InvalidSetting;
use crate::runtime::Runtime;
use crate::timeouts::{Handover, StageTimeouts};
use crate::transport::ResponseFuture;

/// HTTP/1.1 and HTTP/2 over TCP and TLS: the default transport of a client.
///
/// Requests need an absolute URI, `https` or `http`. Over TLS the version is negotiated by ALPN, and certificates are
/// checked with the operating system's roots. The roots are read at the first connection that needs them, so that a
/// machine without any can still use plain HTTP. On Unix, except Apple's systems and Android, `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` replace them: a bad line in the file makes connecting fail, as in [`RootCertificates::from_pem`], but files in
/// the directories that are not certificates are skipped. [Proxies](Proxy) are taken from the environment. Connections are
/// reused. Cloning is cheap and shares them; dropping the last clone closes the idle ones.
///
/// Redirects are never followed: a 3xx is a response like any other. There are no cookies, and bodies arrive as they
/// were sent, without decompression.
///
/// A request is sent at most once. It is passed to another connection only if the first one turns out to be closed before any
/// byte of the request was written.
///
/// # Errors
/// [`maybe_sent`](Error::maybe_sent) is `false`
///
/// - for every failure to connect,
/// - if the connection ended and hyper did not write the request: it hands the request back, or still holds it a second later,
/// - if an HTTP/2 server reports that it did not process the request: it refuses the stream, or sends `GOAWAY` with an earlier
///   stream as its last (RFC 9113, section 8.7).
///
/// Otherwise it is `true` as soon as a connection has taken the request.
///
/// # Panics
/// Connections are made with tokio, so a request must be sent within a tokio runtime, unless
/// [another connector](HttpTransportBuilder::connector) and [another runtime](HttpTransportBuilder::runtime) are set.
#[derive(Clone)]
pub struct HttpTransport {
    clients: Arc<Clients>,
    proxies: Arc<Proxies>,
    runtime: Arc<dyn Runtime>,
}

impl HttpTransport {
    /// Creates a transport with the defaults of [`HttpTransportBuilder`]. It opens no connection yet.
    ///
    /// # Errors
    /// The errors of [`HttpTransportBuilder::build`].
    pub fn new() -> Result<Self, InvalidSetting> {
        Self::builder().build()
    }

    /// Creates a builder with the defaults.
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder::new()
    }
}

impl Service<Request<Body>> for HttpTransport {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        let extensions = request.extensions();
        let connect_timeout = extensions
            .get::<StageTimeouts>()
            .and_then(|timeouts| timeouts.connect);
        let handover = extensions.get::<Handover>().cloned();
        let connection = capture_connection(&mut request);
        let mut unclaimed = Unclaimed::watch(&mut request, connection.clone(), &self.runtime);
        if let Some(authorization) = self.proxies.authorization(request.uri()) {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, authorization);
        }
        set_empty_length(&mut request);
        let uri = request.uri().clone();
        // The slot lives until the response has ended, or until this future is dropped.
        let (client, slot) = self.clients.take();
        let mut exchange = client.request(request);
        ResponseFuture::new(async move {
            if let Some(handover) = &handover {
                handover.set_waiting();
            }
            let result = poll_fn(|cx| {
                let (result, connects) = connector::poll_with_timeout(connect_timeout, || {
                    Pin::new(&mut exchange).poll(cx)
                });
                // hyper reports a connection before it passes the request to it, and does both within one poll.
                if let Some(handover) = &handover
                    && connection.connection_metadata().is_some()
                {
                    handover.set_given();
                }
                match result {
                    // hyper alone could wait for ever: see `Unclaimed`.
                    Poll::Pending => unclaimed.poll(connects, cx).map(|()| None),
                    Poll::Ready(result) => Poll::Ready(Some(result)),
                }
            })
            .await;
            match result {
                Some(Ok(response)) => Ok(match response.version() {
                    // Over HTTP/1.1, a connection carries one exchange, so the response needs no slot.
                    Version::HTTP_2 => response.map(|body| Body::wrap(SlotBody::new(body, slot))),
                    _ => response.map(Body::wrap),
                }),
                Some(Err(error)) => Err(failure::classify(error).at_host(&uri)),
                None => Err(Error::not_sent(
                    "the connection closed before the request was written",
                )),
            }
        })
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").finish_non_exhaustive()
    }
}
