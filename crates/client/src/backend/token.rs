use std::fmt;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use twentyfirst_protocol::shown;
use twentyfirst_protocol::tokens::{CreateToken, TokenLifetime};
use twentyfirst_transport::Body;

use super::Refusal;
use super::decide::Decide;
use super::on_error::OnError;
use super::request::{BODY_LIMIT, Sent, json, other_method, read_body};
use super::service::service;
use crate::client::AgentClient;
use crate::error::Error;

/// Gives browsers tokens: the route that `createAgentChat` of `@21st-sdk/react` calls its `tokenUrl`.
///
/// It answers `POST {"agent"?, "userId"?}` with `{"token", "expiresAt"}`. An empty body counts as `{}`. Any other that is not a
/// JSON object is refused with 400, as are an `agent` and a `userId` that are there and no text.
///
/// Your function decides who may have a token: from the session that the request carries, as a cookie or as what a layer
/// before this one has put into its extensions. It answers with the token to create, or with a [`Refusal`].
///
/// ```
/// use twentyfirst_client::backend::{Refusal, TokenHandler, TokenRequest};
/// use twentyfirst_client::{AgentClient, CreateToken};
///
/// #[derive(Clone)]
/// struct User {
///     id: String,
/// }
///
/// fn tokens(client: AgentClient) -> TokenHandler {
///     TokenHandler::new(client, async |request: TokenRequest| {
///         // Put there by the layer that reads the session.
///         let Some(user) = request.head.extensions.get::<User>() else {
///             return Err(Refusal::unauthorized("please sign in"));
///         };
///         match request.agent.as_deref() {
///             Some("my-agent") | None => Ok(CreateToken::new().agent("my-agent").user_id(&user.id)),
///             Some(_) => Err(Refusal::forbidden("there is only my-agent")),
///         }
///     })
/// }
/// ```
///
/// What the browser says of itself is in the [`TokenRequest`], and counts only as far as your function takes it over.
///
/// # When it fails
/// A refusal is answered with its status; a relay that refuses or cannot be reached with 500, as the published handler
/// does. Both are `{"error": message}`, without the key.
///
/// # Beside the published handler
/// [`for_anyone`](Self::for_anyone) is `createTokenHandler` of `@21st-sdk/nextjs/server`, which takes a body that it cannot read for `{}` and gives a token
/// for every agent: here it is refused. A body of more than 10 MB is answered
/// with 413, and tokens carry `cache-control: no-store`.
#[derive(Clone)]
pub struct TokenHandler {
    client: AgentClient,
    decide: Decide<TokenRequest, CreateToken>,
    on_error: OnError,
}

/// What a browser asks for.
///
/// `Debug` shows neither headers nor extensions, as a session may be in them.
#[derive(Clone)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The request's method, headers and extensions: where your session is.
    pub head: Parts,
    /// The slug of the agent that it wants to chat with. Anybody can ask for any.
    pub agent: Option<String>,
    /// Who it says to be. Anybody can say anything: take the user from your session instead.
    pub user_id: Option<String>,
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
            client,
            decide: Decide::new(decide),
            on_error: OnError::default(),
        }
    }

    /// Gives a token to anyone who asks: for the agent that they name, or all of them, and as the user that they say they
    /// are. That is what the published handler does.
    ///
    /// For development, and for servers where something before it decides who gets here and nothing depends on the user's
    /// id.
    pub fn for_anyone(client: AgentClient, lifetime: TokenLifetime) -> Self {
        Self::new(client, move |request| {
            let mut create = CreateToken::new().expires_in(lifetime);
            // An empty name counts as none.
            create.agents = request
                .agent
                .filter(|agent| !agent.is_empty())
                .map(|agent| vec![agent]);
            create.user_id = request.user_id.filter(|user_id| !user_id.is_empty());
            std::future::ready(Ok(create))
        })
    }

    /// Sees why a call to the relay failed, before it becomes a [`Refusal`]: for your log.
    #[must_use]
    pub fn on_error(mut self, on_error: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_error = OnError::new(on_error);
        self
    }

    /// Answers one request. It never fails: what goes wrong is an answer, too.
    ///
    /// Dropping the future closes the exchange with the relay at once and sends nothing.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.answer(request.map(Body::wrap)).await
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if request.method() != Method::POST {
            return other_method(request.method(), "OPTIONS, POST");
        }
        self.exchange(request).await.unwrap_or_else(Response::from)
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        let body = read_body(body, BODY_LIMIT).await?;
        // What cannot be read does not count as absent: without an agent a token may be good for all of them.
        let sent = Sent::read(if body.is_empty() { b"{}" } else { &body })?;
        let request = TokenRequest {
            agent: sent.id("agent")?,
            user_id: sent.id("userId")?,
            head,
        };
        let create = self.decide.ask(request).await?;
        let token = self.client.tokens().create(&create).await;
        let token = token.map_err(|error| {
            self.on_error.show(&error);
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

service!(TokenHandler);

impl fmt::Debug for TokenHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenHandler").finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest")
            .field("agent", &self.agent)
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}
