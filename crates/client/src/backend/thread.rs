use std::fmt;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::threads::CreateThread;
use twentyfirst_protocol::ui::Text;
use twentyfirst_transport::Body;

use super::Refusal;
use super::decide::Decide;
use super::on_error::OnError;
use super::request::{BODY_LIMIT, Sent, json, other_method, percent_decode, read_body};
use super::service::service;
use crate::client::AgentClient;
use crate::error::Error;

/// Lists and creates threads for browsers.
///
/// | request | answer |
/// |---|---|
/// | `GET ?sandboxId=` | `{"threads": [{id, name, status, createdAt}]}`, the newest first |
/// | `POST {"sandboxId", "name"?}` | the new thread: `{id, name, status, createdAt}` |
///
/// Your function decides whose sandbox it is: anybody can name any.
///
/// ```
/// use twentyfirst_client::AgentClient;
/// use twentyfirst_client::backend::{Refusal, ThreadHandler, ThreadRequest};
/// # fn sandbox_of(head: &twentyfirst_client::transport::http::request::Parts) -> Option<twentyfirst_client::SandboxId> { None }
///
/// fn threads(client: AgentClient) -> ThreadHandler {
///     ThreadHandler::new(client, async |request: ThreadRequest| {
///         // From the session, not from the request.
///         match sandbox_of(&request.head) {
///             Some(sandbox_id) if request.sandbox_id.is_none_or(|id| id == sandbox_id) => Ok(sandbox_id),
///             _ => Err(Refusal::not_found("there is no such sandbox")),
///         }
///     })
/// }
/// ```
#[derive(Clone)]
pub struct ThreadHandler {
    client: AgentClient,
    decide: Decide<ThreadRequest, SandboxId>,
    on_error: OnError,
}

/// What a browser asks of the threads of a sandbox: to list them, `GET`, or to create one, `POST`.
///
/// `Debug` shows neither headers nor extensions, as a session may be in them.
#[derive(Clone)]
#[non_exhaustive]
pub struct ThreadRequest {
    /// The request's method, headers and extensions: where your session is.
    pub head: Parts,
    /// The sandbox that it names. Anybody can name any.
    pub sandbox_id: Option<SandboxId>,
    /// The name of the thread to create.
    pub name: Option<String>,
}

impl fmt::Debug for ThreadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadRequest")
            .field("method", &self.head.method)
            .field("sandbox_id", &self.sandbox_id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl ThreadHandler {
    /// Lists the threads of the sandbox that `decide` gives, or creates one in it.
    ///
    /// The closure may run many times at once. Its futures outlive the call, so what they need of what it holds is cloned
    /// into them. They are dropped when the browser leaves meanwhile.
    pub fn new<F, Fut>(client: AgentClient, decide: F) -> Self
    where
        F: Fn(ThreadRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<SandboxId, Refusal>> + Send + 'static,
    {
        Self {
            client,
            decide: Decide::new(decide),
            on_error: OnError::default(),
        }
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
        let (head, body) = request.map(Body::wrap).into_parts();
        let result = match head.method {
            Method::GET => self.list(head).await,
            Method::POST => self.create(head, body).await,
            _ => Ok(other_method(&head.method, "GET, OPTIONS, POST")),
        };
        result.unwrap_or_else(Response::from)
    }

    async fn list(&self, head: Parts) -> Result<Response<Body>, Refusal> {
        let sandbox_id = query_value(head.uri.query().unwrap_or_default(), "sandboxId")?;
        let sandbox_id = sandbox_id.map(SandboxId::new).transpose()?;
        let request = ThreadRequest {
            head,
            sandbox_id,
            name: None,
        };
        let sandbox_id = self.decide.ask(request).await?;
        let threads = self.client.threads().list(&sandbox_id).await;
        let threads = threads.map_err(|error| self.on_error.refuse(&error))?;
        let answer = serde_json::json!({ "threads": threads });
        Ok(json(StatusCode::OK, &answer))
    }

    async fn create(&self, head: Parts, body: Body) -> Result<Response<Body>, Refusal> {
        let body = read_body(body, BODY_LIMIT).await?;
        let sent = Sent::read(&body)?;
        // A page that cuts a name by UTF-16 units cuts characters in two.
        let name = sent.text("name")?.map(Text::into_string_lossy);
        let request = ThreadRequest {
            head,
            sandbox_id: sent.id("sandboxId")?.map(SandboxId::new).transpose()?,
            name: name.clone(),
        };
        let mut create = CreateThread::new(self.decide.ask(request).await?);
        create.name = name;
        let thread = self.client.execute(&create).await;
        let thread = thread.map_err(|error| self.on_error.refuse(&error))?;
        Ok(json(StatusCode::OK, &thread))
    }
}

/// The first value of this name in a query, as `URLSearchParams` finds it.
fn query_value(query: &str, name: &str) -> Result<Option<String>, Refusal> {
    let decode = |text: &str| percent_decode(&text.replace('+', " "));
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(key).is_ok_and(|key| key == name) {
            return decode(value).map(Some);
        }
    }
    Ok(None)
}

service!(ThreadHandler);

impl fmt::Debug for ThreadHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadHandler").finish_non_exhaustive()
    }
}
