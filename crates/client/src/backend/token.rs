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

/// Gives browsers tokens: the route that `createAgentChat` of `@21st-sdk/react` calls its `tokenUrl`.
///
/// It answers `POST {"agent"?, "userId"?}` with `{"token", "expiresAt"}`. An empty body counts as `{}`. Any other that is not a
/// JSON object is refused with 400, as are an `agent` and a `userId` that are there and no text.
///
/// Your function decides who may have a token: from the session that the request carries, as a cookie or as what a layer
/// before this one has put into its extensions. It gives the token to create, or a [`Refusal`]. What the browser asks for is
/// [read](TokenRequest::read) when you ask for it, and counts only as far as your function takes it over.
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
/// # When it fails
/// A refusal is answered with its status; a relay that refuses or cannot be reached with 500, as the published handler
/// does. Both are `{"error": message}`, without the key.
///
/// # Beside the published handler
/// [`for_anyone`](Self::for_anyone) is `createTokenHandler` of `@21st-sdk/nextjs/server`, which takes a body that it cannot read for `{}` and gives a token
/// for every agent: here it is refused. Tokens carry `cache-control: no-store`.
#[derive(Clone)]
pub struct TokenHandler {
    core: Core<TokenRequest, CreateToken>,
}

/// A browser asks for a token.
///
/// `Debug` shows neither headers nor extensions, as a session may be in them.
#[non_exhaustive]
pub struct TokenRequest {
    /// The request's method, headers and extensions: where your session is.
    pub head: Parts,
    pub(super) body: Unread<()>,
}

impl TokenRequest {
    /// Reads what the browser asks for.
    ///
    /// # Errors
    /// 408, 413 or 400, where it comes too slowly, is over the [limits](super::RequestLimits), or is not what belongs there.
    pub async fn read(self) -> Result<TokenBody, Refusal> {
        let read = |body, _: &_| Ok((TokenBody::read(body)?, ()));
        self.body.read(read).await
    }
}

impl TokenHandler {
    /// Gives a token to whom `decide` gives one.
    ///
    /// The closure is called once for each request, and may run many times at once. Its futures outlive the call, so what
    /// they need of what it holds is cloned into them. Dropping the handler's future drops the closure's.
    pub fn new<F, Fut>(client: AgentClient, decide: F) -> Self
    where
        F: Fn(TokenRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<CreateToken, Refusal>> + Send + 'static,
    {
        Self {
            core: Core::new(client, Decide::new(decide)),
        }
    }

    /// Gives a token to anyone who asks: for the agent that they name, or all of them, and as the user that they say they
    /// are. That is what the published handler does.
    ///
    /// For development, and for servers where something before it decides who gets here and nothing depends on the user's
    /// id.
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

    /// Sees why a call to the relay failed, before it becomes a [`Refusal`]: for your log.
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
            self.core.on_error.show(&error);
            refusal(&error)
        })?;
        let mut response = json(StatusCode::OK, &token);
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, no_store);
        Ok(response)
    }
}

/// The published handler answers 500 to every failure, and tells what the relay said.
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
