//! What makes a handler a service of tower.

/// Implements [`tower_service::Service`] for a handler that is `Clone` and has
/// `async fn handle<B>(&self, request: http::Request<B>) -> http::Response<Body>`.
macro_rules! service {
    ($handler:ty) => {
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
    };
}

pub(super) use service;
