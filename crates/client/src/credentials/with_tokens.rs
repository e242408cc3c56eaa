use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tower_service::Service;
use twentyfirst_transport::{Body, Error, ResponseFuture, Transport};

use super::TokenCache;

/// Adds tokens to requests, around any transport.
///
/// A request that the relay rejected with 401 had no effect there. So it is sent once more with another token, even a POST,
/// unless its body is a stream that cannot be repeated. Each of the two exchanges has its own timeouts and span.
#[derive(Clone)]
pub(crate) struct WithTokens<T> {
    transport: T,
    tokens: TokenCache,
}

impl<T> WithTokens<T> {
    pub(crate) fn new(transport: T, tokens: TokenCache) -> Self {
        Self { transport, tokens }
    }
}

impl<T: Transport + Clone> Service<Request<Body>> for WithTokens<T> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    // The inner transport is polled for readiness within the exchange, after the token was fetched. A token URL is called over the
    // same transport: with a limit of one request at a time, a permit taken here would block it for ever.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        ResponseFuture::new(exchange(
            self.transport.clone(),
            self.tokens.clone(),
            request,
        ))
    }
}

async fn exchange(
    transport: impl Transport,
    tokens: TokenCache,
    mut request: Request<Body>,
) -> Result<Response<Body>, Error> {
    let token = tokens.token().await.map_err(Error::not_sent)?;
    token.authorize(&mut request);
    let (head, body) = request.into_parts();
    let again = body.try_clone().map(|body| (head.clone(), body));
    let request = Request::from_parts(head, body);
    let response = transport.send(request).await?;
    if response.status() != StatusCode::UNAUTHORIZED {
        return Ok(response);
    }
    let Some((head, body)) = again else {
        // The next request must not use this token again.
        tokens.forget(&token);
        return Ok(response);
    };
    // "Not sent" also means "known to have had no effect", as here: the relay rejected the request.
    let new = tokens.replace(&token).await.map_err(Error::not_sent)?;
    // The source returned the same token again, which would be rejected again.
    if new == token {
        return Ok(response);
    }
    // Not kept open during the second exchange.
    drop(response);
    let mut request = Request::from_parts(head, body);
    new.authorize(&mut request);
    transport.send(request).await
}
