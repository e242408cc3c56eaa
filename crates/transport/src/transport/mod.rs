//! The interface between a client and its transport.

mod from_fn;
mod shared;

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

pub use self::from_fn::{FromFn, from_fn};
pub use self::shared::SharedTransport;
use crate::body::Body;
use crate::error::{BoxError, Error};
use crate::timeouts::Handover;

/// A transport: it sends a request to a server and returns the response.
///
/// Every [`tower_service::Service`] that takes an `http::Request<Body>`, returns an `http::Response`, and is
/// `Clone + Send + Sync` is one: [`HttpTransport`](crate::HttpTransport), tower's layers around it, your own
/// client. [`from_fn`] creates one from a closure. There is nothing to implement.
///
/// A transport sends a request at most once, follows no redirect, keeps no cookies and does not decode
/// content. If it fails, it returns an [`Error`]; errors of other types count as "maybe sent".
///
/// # Layers of tower
/// An [`Error`] survives layers that box it. A request that waits for a concurrency limit was not sent, and
/// [`WithTimeouts`](crate::WithTimeouts) around the layers reports that. tower releases the permit when the head of the response
/// arrives, so an open stream holds none.
///
/// `Elapsed`, the error of tower's timeout, counts as "maybe sent" and [not as a timeout](Error::is_timeout), because this crate does
/// not know its type. Map it to [`io::ErrorKind::TimedOut`](std::io::ErrorKind::TimedOut), or set
/// [`StageTimeouts`](crate::StageTimeouts) instead.
pub trait Transport: Send + Sync + 'static {
    /// Sends one request and waits for the head of its response. The response's body arrives as it is read.
    ///
    /// # Errors
    /// A response with any status is `Ok`. An [`Error`] means that there was no response; its
    /// [`maybe_sent`](Error::maybe_sent) says whether the request may have arrived anyway.
    ///
    /// # Cancel safety
    /// Nothing happens before the future is polled. Dropping it aborts the exchange at once and sends nothing
    /// more; the bytes sent so far may have had an effect.
    fn send(&self, request: Request<Body>) -> ResponseFuture;
}

impl<S, B> Transport for S
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn send(&self, request: Request<Body>) -> ResponseFuture {
        // A shared transport is always ready: it waits for the service within.
        if let Some(shared) = (self as &dyn Any).downcast_ref::<SharedTransport>() {
            return shared.send_within(request);
        }
        // Clone: a service is called through `&mut`, and readiness belongs to the clone that was polled for it.
        let mut service = self.clone();
        let handover = request.extensions().get::<Handover>().cloned();
        ResponseFuture::new(async move {
            if let Some(handover) = &handover {
                handover.set_held();
            }
            poll_fn(|cx| service.poll_ready(cx))
                .await
                .map_err(|error| Error::from_not_ready(error.into()))?;
            if let Some(handover) = &handover {
                handover.set_passed();
            }
            match service.call(request).await {
                Ok(response) => Ok(response.map(Body::wrap)),
                Err(error) => Err(Error::from_call(error.into())),
            }
        })
    }
}

/// The future of a response, from [`Transport::send`].
///
/// Dropping it aborts the exchange at once.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    future: Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>,
}

impl ResponseFuture {
    /// Boxes a future, so that your own service can name its type.
    pub fn new<F>(future: F) -> Self
    where
        F: Future<Output = Result<Response<Body>, Error>> + Send + 'static,
    {
        Self {
            future: Box::pin(future),
        }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.future.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
