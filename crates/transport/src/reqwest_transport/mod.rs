//! HTTP over a client of reqwest.

mod failure;
mod request_body;

use std::fmt;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use reqwest::Client;
use tower_service::Service;

use self::request_body::RequestBody;
use crate::body::{Body, set_empty_length};
use crate::error::Error;
use crate::timeouts::Handover;
use crate::transport::ResponseFuture;

/// A [`reqwest::Client`] as a transport, with your team's proxies, certificates, connections and settings.
///
/// ```
/// use std::time::Duration;
///
/// use twentyfirst_transport::reqwest::{self, redirect};
/// use twentyfirst_transport::{ReqwestTransport, SharedTransport};
///
/// let http = reqwest::Client::builder()
///     .redirect(redirect::Policy::none())
///     .connect_timeout(Duration::from_secs(10))
///     .build()?;
/// let transport = SharedTransport::new(ReqwestTransport::new(http));
/// # let _ = transport;
/// # Ok::<(), reqwest::Error>(())
/// ```
///
/// TLS and HTTP/2 are features of reqwest that you must enable: this crate enables none. Cloning is cheap and shares the connections.
///
/// # Settings of the client that matter here
/// | setting | what to know |
/// |---|---|
/// | `redirect` | Set it to `Policy::none()`. By default reqwest follows redirects: see below. |
/// | `timeout`, `read_timeout` | Leave them unset and use [`StageTimeouts`](crate::StageTimeouts), which distinguish the stages. `timeout` cuts off every longer stream, such as an agent's answer; a client that follows runs continues after the cut. |
/// | `connect_timeout` | Set it here: [`StageTimeouts::connect`](crate::StageTimeouts::connect) does not reach reqwest. |
/// | `retry` | It has no effect, and neither has reqwest's default of retrying requests that an HTTP/2 server did not process: a request is sent once. |
/// | `default_headers`, `cookie_store` | They add headers to every request. |
/// | `gzip` and the like | They have no effect on requests with an `accept-encoding`. A response that is compressed anyway arrives decompressed. |
///
/// # Redirects
/// reqwest cannot disable redirects for a single request. A redirect that would repeat the method is not followed anyway: the 3xx is the
/// response. A redirect that turns the request into a `GET` (303, and 301 and 302 of a `POST`) is followed if the client does so. The result
/// is then an error, and the response to the `GET` is not read. That `GET` had no body and, if it went to another host, port or scheme, no
/// `authorization` and no cookies; it had all other headers, and the URL of the first request as its `referer`. A redirect to the same URL
/// is not detected.
///
/// # Errors
/// [`maybe_sent`](Error::maybe_sent) is `false` if no connection was made, and for URLs that reqwest refuses or would change: those with
/// `..` in their path, or with a character there that it percent-encodes. Otherwise it is `true`, even if an HTTP/2 server reports that it
/// has not processed the request. [`is_timeout`](Error::is_timeout) is `true` if a timeout of the client expired. No error shows a URL.
///
/// # Panics
/// Connections are made with tokio, so a request must be sent within a tokio runtime.
#[derive(Clone)]
pub struct ReqwestTransport {
    client: Client,
}

impl ReqwestTransport {
    /// Creates a transport that uses this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl From<Client> for ReqwestTransport {
    fn from(client: Client) -> Self {
        Self::new(client)
    }
}

impl Service<Request<Body>> for ReqwestTransport {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        let client = self.client.clone();
        set_empty_length(&mut request);
        ResponseFuture::new(async move {
            let handover = request.extensions().get::<Handover>();
            // A request whose time is over can be kept from its connection only by its body.
            let handover = handover.filter(|_| !request.body().is_end_stream());
            let handover = handover.cloned().unwrap_or_default();
            handover.set_waiting();
            let uri = request.uri().clone();
            let request = request.map(|body| RequestBody::new(body, handover.clone()));
            let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))
                .map_err(|error| Error::not_sent(error.without_url()))?;
            let url = request.url().clone();
            // reqwest's parser resolves `..`: an id in the path could then reach another endpoint.
            if url.path() != uri.path() {
                return Err(failure::other_path());
            }
            match client.execute(request).await {
                // Another URL means that the client has followed a redirect, with a request that is not ours.
                Ok(response) if *response.url() == url => {
                    let response = Response::<reqwest::Body>::from(response);
                    Ok(response.map(|body| Body::wrap(body.map_err(failure::of_body))))
                }
                Ok(_) => Err(failure::redirected()),
                Err(error) => Err(failure::classify(error, handover.maybe_sent()).at_host(&uri)),
            }
        })
    }
}

impl fmt::Debug for ReqwestTransport {
    // The client's own `Debug` shows its default headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransport").finish_non_exhaustive()
    }
}
