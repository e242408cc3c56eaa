use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tower_service::Service;
use twentyfirst_transport::{Body, Error, ResponseFuture, Transport};

use super::TokenCache;

/// Puts tokens into requests, around any transport.
///
/// A request that the relay answers with 401 had no effect there: it is sent once more with a new token, also a POST, unless
/// its body streams and is gone. Both exchanges have their own timeouts and their own spans.
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

    // Readiness is asked for within the exchange, after the token.
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
    let answer = transport.send(request).await?;
    if answer.status() != StatusCode::UNAUTHORIZED {
        return Ok(answer);
    }
    let Some((head, body)) = again else {
        tokens.forget(&token);
        return Ok(answer);
    };
    // "Not sent" is the word for what is known to have had no effect.
    let new = tokens.replace(&token).await.map_err(Error::not_sent)?;
    if new == token {
        return Ok(answer);
    }
    drop(answer);
    let mut request = Request::from_parts(head, body);
    new.authorize(&mut request);
    transport.send(request).await
}
