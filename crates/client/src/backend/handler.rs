//! The common parts of all handlers.

use std::sync::Arc;

use http::{Request, Response};
use twentyfirst_protocol::Operation;
use twentyfirst_transport::{Body, Runtime};

use super::decide::Decide;
use super::on_error::OnError;
use super::unread::Unread;
use super::{Refusal, RequestLimits};
use crate::client::AgentClient;

/// The fields that every handler has. `R` is the request that the user's function decides on, and `T` is its decision.
pub(super) struct Core<R, T> {
    pub(super) client: AgentClient,
    pub(super) decide: Decide<R, T>,
    pub(super) on_error: OnError,
    pub(super) limits: RequestLimits,
}

impl<R, T> Core<R, T> {
    pub(super) fn new(client: AgentClient, decide: Decide<R, T>) -> Self {
        Self {
            client,
            decide,
            on_error: OnError::default(),
            limits: RequestLimits::new(),
        }
    }

    pub(super) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.client.relay().runtime
    }

    pub(super) fn unread<Kept>(&self, body: Body) -> Unread<Kept> {
        Unread::new(body, &self.limits, self.runtime())
    }

    /// Executes an operation. On failure, returns the refusal that a browser may see.
    pub(super) async fn execute<O: Operation>(&self, operation: &O) -> Result<O::Output, Refusal> {
        let output = self.client.execute(operation).await;
        output.map_err(|error| self.on_error.refuse(&error))
    }
}

// Implemented by hand: the derive would require `R: Clone` and `T: Clone`.
impl<R, T> Clone for Core<R, T> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            decide: self.decide.clone(),
            on_error: self.on_error.clone(),
            limits: self.limits.clone(),
        }
    }
}

/// A handler of requests.
pub(super) trait Handler: Clone + Send + Sync + 'static {
    /// Responds to one request.
    fn respond(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, Refusal>> + Send;
}

/// Adds the public methods and traits to a [`Handler`] with a field `core`.
macro_rules! handler {
    ($handler:ty) => {
        impl $handler {
            /// Sets the limits for reading a request: the size of its body, and the time to read it.
            #[must_use]
            pub fn limits(mut self, limits: $crate::backend::RequestLimits) -> Self {
                self.core.limits = limits;
                self
            }

            /// Responds to one request. It never fails: errors are responses, too.
            ///
            /// # Cancel safety
            /// Drop the future when the browser leaves.
            pub fn handle<B>(
                &self,
                request: ::http::Request<B>,
            ) -> impl Future<Output = ::http::Response<::twentyfirst_transport::Body>> + Send + use<'_, B>
            where
                B: ::http_body::Body<Data = ::bytes::Bytes> + Send + 'static,
                B::Error: Into<Box<dyn ::std::error::Error + Send + Sync>>,
            {
                let request = request.map(::twentyfirst_transport::Body::wrap);
                // Boxed, and with nothing beside the box: servers reserve space for this future as long as the connection lives.
                let respond =
                    Box::pin($crate::backend::handler::Handler::respond(self, request));
                async move { respond.await.unwrap_or_else(::http::Response::from) }
            }
        }

        impl<B> ::tower_service::Service<::http::Request<B>> for $handler
        where
            B: ::http_body::Body<Data = ::bytes::Bytes> + Send + 'static,
            B::Error: Into<Box<dyn ::std::error::Error + Send + Sync>>,
        {
            type Response = ::http::Response<::twentyfirst_transport::Body>;
            type Error = ::std::convert::Infallible;
            type Future = ::std::pin::Pin<
                Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>,
            >;

            fn poll_ready(
                &mut self,
                _: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<Result<(), Self::Error>> {
                ::std::task::Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: ::http::Request<B>) -> Self::Future {
                let handler = self.clone();
                Box::pin(async move { Ok(handler.handle(request).await) })
            }
        }

        impl ::std::fmt::Debug for $handler {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($handler)).finish_non_exhaustive()
            }
        }
    };
}

pub(super) use handler;
