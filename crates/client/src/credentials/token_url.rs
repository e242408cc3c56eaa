use std::fmt;

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Uri};
use twentyfirst_protocol::tokens::{CreateToken, Token};
use twentyfirst_protocol::{
    ApiError, BaseUrl, InvalidRequest, Operation, Problem, ResponseError, Secret, Secrets,
};
use twentyfirst_transport::{Body, RouteTemplate, Transport};

use super::TokenError;

/// A route that issues tokens, such as a [`TokenHandler`](crate::backend::TokenHandler) on your server. It responds to `POST
/// {"agent"?}` with `{"token", "expiresAt"}`.
///
/// ```
/// use twentyfirst_client::transport::http::header::{AUTHORIZATION, HeaderValue};
/// use twentyfirst_client::{AgentClient, TokenUrl};
///
/// # fn example(session: &str) -> Result<AgentClient, Box<dyn std::error::Error>> {
/// let tokens = TokenUrl::new("https://app.example/api/agent/token")
///     .agent("my-agent")
///     .header(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {session}"))?);
/// let client = AgentClient::builder().token_url(tokens).build()?;
/// # Ok(client)
/// # }
/// ```
///
/// If the route issues no token, the call that needs one is retried as its [`RetryPolicy`](crate::RetryPolicy) says. It fails at
/// once if the route refuses with a 4xx other than 408, 425 and 429.
#[derive(Clone)]
#[must_use]
pub struct TokenUrl {
    url: String,
    agent: Option<String>,
    headers: HeaderMap,
}

/// The longest response that is read, in bytes.
const LONGEST_RESPONSE: usize = 64 * 1024;

impl TokenUrl {
    /// Creates a token URL. Like the base URL it must be `https`; `http` is allowed for this machine only.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            agent: None,
            headers: HeaderMap::new(),
        }
    }

    /// Sets the agent for which tokens are requested, by its slug. Without one the route decides.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = Some(agent.into());
        self
    }

    /// Adds a header by which the route identifies the caller, such as a cookie or an authorization. It is sent to this URL only,
    /// and treated as a secret.
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.append(name, value);
        self
    }

    /// Returns the function that fetches tokens from this URL.
    pub(crate) fn fetch(
        self,
        plain_http: bool,
        transport: impl Transport + Clone,
        user_agent: HeaderValue,
    ) -> Result<super::Fetch, InvalidRequest> {
        let url = self.parse(plain_http)?;
        let content = match &self.agent {
            Some(agent) => serde_json::json!({ "agent": agent }),
            None => serde_json::json!({}),
        };
        let content = content.to_string();
        let mut headers = self.headers;
        let json = HeaderValue::from_static("application/json");
        headers.insert(CONTENT_TYPE, json);
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        headers
            .entry(ACCEPT_ENCODING)
            .or_insert(HeaderValue::from_static("identity"));
        headers.entry(USER_AGENT).or_insert(user_agent);
        Ok(Box::new(move || {
            let mut request = Request::new(Body::from(content.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = url.clone();
            *request.headers_mut() = headers.clone();
            request.extensions_mut().insert(RouteTemplate("{tokenUrl}"));
            Box::pin(exchange(transport.clone(), request))
        }))
    }

    fn parse(&self, plain_http: bool) -> Result<Uri, InvalidRequest> {
        let wrong = |rule| InvalidRequest::new("token_url", Problem::MustBe(rule));
        let absolute = "an absolute http or https URL";
        let url: Uri = self.url.parse().map_err(|_| wrong(absolute))?;
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else {
            return Err(wrong(absolute));
        };
        // The same rules for hosts as for the base URL.
        let origin = BaseUrl::new(&format!("{scheme}://{authority}"))
            .map_err(|error| InvalidRequest::new("token_url", error.problem().clone()))?;
        if !(origin.is_https() || origin.is_loopback() || plain_http) {
            return Err(wrong(
                "https, since tokens would travel in clear, unless `dangerous_plain_http` is set",
            ));
        }
        Ok(url)
    }
}

async fn exchange(
    transport: impl Transport,
    mut request: Request<Body>,
) -> Result<Token, TokenError> {
    let mut secrets = Secrets::default();
    secrets.add_url(&request.uri().to_string());
    let headers = request.headers().values();
    for value in headers.filter(|value| value.is_sensitive()) {
        secrets.add_header(&String::from_utf8_lossy(value.as_bytes()));
    }
    request.extensions_mut().insert(secrets.clone());
    let response = transport
        .send(request)
        .await
        .map_err(TokenError::exchange)?;
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let body = body.read_beginning(LONGEST_RESPONSE).await.bytes;
        secrets.add_json(&body);
        let secrets: Vec<&str> = secrets.iter().map(Secret::expose).collect();
        let error = ResponseError::Api(Box::new(ApiError::new(&head, &body))).redacted(&secrets);
        return Err(match &error {
            ResponseError::Api(error) => TokenError::refused(head.status, error.message()),
            _ => TokenError::not_a_token(),
        });
    }
    let body = body.collect_up_to(LONGEST_RESPONSE).await;
    let body = body.map_err(TokenError::exchange)?;
    CreateToken::new()
        .decode(&head, &body)
        .map_err(|_| TokenError::not_a_token())
}

impl<T: Into<String>> From<T> for TokenUrl {
    fn from(url: T) -> Self {
        Self::new(url)
    }
}

/// Shows neither the query, which may hold a secret, nor the headers, nor a URL with a password, which is invalid.
impl fmt::Debug for TokenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split(['?', '#']).next();
        let url = url.filter(|url| !url.contains('@'));
        f.debug_struct("TokenUrl")
            .field("url", &url.unwrap_or_default())
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}
