//! A closure as a transport.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::ResponseFuture;
use crate::body::Body;
use crate::error::Error;

/// Creates a transport from an async closure: a test double for a server, or your own HTTP client.
///
/// The closure is called once for each request, and its futures may run concurrently. The closure need not be `Clone`. Its futures
/// outlive the call, so they must own what they use of its state: clone it into them.
///
/// ```
/// use http::Response;
/// use twentyfirst_transport::{Transport, from_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let echo = from_fn(async |request| Ok(Response::new(request.into_body())));
///
/// let response = echo.send(http::Request::new("hello".into())).await?;
/// assert_eq!(response.into_body().collect_up_to(5).await?, "hello");
/// # Ok(())
/// # }
/// ```
pub fn from_fn<F, Fut>(function: F) -> FromFn<F>
where
    F: Fn(Request<Body>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<Body>, Error>> + Send + 'static,
{
    FromFn {
        function: Arc::new(function),
    }
}

/// A transport that calls a closure. Created by [`from_fn`].
pub struct FromFn<F> {
    function: Arc<F>,
}

impl<F, Fut> Service<Request<Body>> for FromFn<F>
where
    F: Fn(Request<Body>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<Body>, Error>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        ResponseFuture::new((self.function)(request))
    }
}

impl<F> Clone for FromFn<F> {
    fn clone(&self) -> Self {
        Self {
            function: Arc::clone(&self.function),
        }
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}
