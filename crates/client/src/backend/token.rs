use std::fmt;

use http::header::{CACHE_CONTROL, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use twentyfirst_protocol::browser::TokenBody;
use twentyfirst_protocol::shown;
use twentyfirst_protocol::tokens::{CreateToken, TokenLifetime};
use twentyfirst_transport::Body;

use super::Refusal;
use super::decide::Decide;
use super::handler::{Core, Handler, handler};
use super::on_error::OnError;
use super::respond::{json, other_method};
use super::unread::Unread;
use crate::client::AgentClient;
use crate::error::Error;

/// Issues tokens to browsers: the route for the option `tokenUrl` of `createAgentChat` in `@21st-sdk/react`.
///
/// It responds to `POST {"agent"?, "userId"?}` with `{"token", "expiresAt"}`. An empty body counts as `{}`. Any other body that
/// is not a JSON object is refused with 400, and so are an `agent` or a `userId` that are present and not strings.
///
/// Your function decides which users may have a token. It finds the user by the session in the request, such as a cookie or an
/// extension added by an earlier layer, and returns the token to create, or a [`Refusal`]. The values in the body are
/// [read](TokenRequest::read) only when your function does so, and have no effect unless it uses them.
///
/// ```
/// use twentyfirst_client::backend::{Refusal, TokenHandler, TokenRequest};
/// use twentyfirst_client::AgentClient;
/// use twentyfirst_client::protocol::tokens::CreateToken;
///
/// #[derive(Clone)]
/// struct User {
///     id: String,
/// }
///
/// fn tokens(client: AgentClient) -> TokenHandler {
///     TokenHandler::new(client, async |request: TokenRequest| {
///         // Put there by the layer that reads the session.
///         let Some(user) = request.head.extensions.get::<User>().cloned() else {
///             return Err(Refusal::unauthorized("please sign in"));
///         };
///         let token = CreateToken::new().agent("my-agent").user_id(&user.id);
///         match request.read().await?.agent.as_deref() {
///             Some("my-agent") | None => Ok(token),
///             Some(_) => Err(Refusal::forbidden("there is only my-agent")),
///         }
///     })
/// }
/// ```
///
/// # Failures
/// A refusal is sent with its status. If the relay refuses or cannot be reached, the status is 500, as in the published handler.
/// Both are `{"error": message}`, without the key.
///
/// # Differences from the published handler
/// [`for_anyone`](Self::for_anyone) corresponds to `createTokenHandler` of `@21st-sdk/nextjs/server`. That one treats an
/// unreadable body as `{}` and issues a token for every agent; here it is refused. Responses with tokens have `cache-control:
/// no-store`.
#[derive(Clone)]
pub struct TokenHandler {
    core: Core<TokenRequest, CreateToken>,
}

/// A browser's request for a token.
///
/// `Debug` shows neither headers nor extensions, as they may hold a session.
#[non_exhaustive]
pub struct TokenRequest {
    /// The request's method, headers and extensions, such as your session.
    pub head: Parts,
    pub(super) body: Unread<()>,
}

impl TokenRequest {
    /// Reads the body of the request.
    ///
    /// # Errors
    /// 408, 413 or 400, if the body arrives too slowly, exceeds the [limits](super::RequestLimits), or is invalid.
    pub async fn read(self) -> Result<TokenBody, Refusal> {
        let read = |body, _: &_| Ok((TokenBody::read(body)?, ()));
        self.body.read(read).await
    }
}

impl TokenHandler {
    /// Creates a handler that issues the tokens returned by `decide`.
    ///
    /// The closure is called once for each request, and may run many times at once. Its futures outlive the call, so clone what
    /// they need into them. Dropping the handler's future drops the closure's.
    pub fn new<F, Fut>(client: AgentClient, decide: F) -> Self
    where
        F: Fn(TokenRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<CreateToken, Refusal>> + Send + 'static,
    {
        Self {
            core: Core::new(client, Decide::new(decide)),
        }
    }

    /// Creates a handler that issues a token to anyone: for the agent in the request, or all agents, and for the user id in the
    /// request. The published handler does the same.
    ///
    /// Use it for development, or on servers where an earlier layer authorizes requests and nothing depends on the user id.
    pub fn for_anyone(client: AgentClient, lifetime: TokenLifetime) -> Self {
        Self::new(client, move |request: TokenRequest| async move {
            let TokenBody { agent, user_id, .. } = request.read().await?;
            let mut create = CreateToken::new().expires_in(lifetime);
            // An empty name counts as none.
            create.agents = agent
                .filter(|agent| !agent.is_empty())
                .map(|agent| vec![agent]);
            create.user_id = user_id.filter(|user_id| !user_id.is_empty());
            Ok(create)
        })
    }

    /// Sets a function that is called with the error of each failed call to the relay before it becomes a [`Refusal`], for your
    /// log.
    #[must_use]
    pub fn on_error(mut self, on_error: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.core.on_error = OnError::new(on_error);
        self
    }
}

impl Handler for TokenHandler {
    async fn respond(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Ok(other_method(&head.method, "OPTIONS, POST"));
        }
        let body = self.core.unread(body);
        let create = self.core.decide.ask(TokenRequest { head, body }).await?;
        let token = self.core.client.execute(&create).await;
        let token = token.map_err(|error| {
            self.core.on_error.report(&error);
            refusal(&error)
        })?;
        let mut response = json(StatusCode::OK, &token);
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, no_store);
        Ok(response)
    }
}

/// Creates the refusal for a failed call: always a 500, as from the published handler. It has the relay's message only if that is
/// about the request (4xx).
fn refusal(error: &Error) -> Refusal {
    let message = match error.api_error() {
        Some(api_error) if api_error.status().is_client_error() => {
            shown(api_error.message().trim_end())
        }
        _ => Refusal::from(error).message().to_owned(),
    };
    Refusal::internal(message)
}

handler!(TokenHandler);

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest").finish_non_exhaustive()
    }
}
