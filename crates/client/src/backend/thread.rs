use std::fmt;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::browser::ThreadBody;
use twentyfirst_protocol::threads::{CreateThread, ListThreads};
use twentyfirst_transport::Body;

use super::Refusal;
use super::decide::Decide;
use super::handler::{Core, Handler, handler};
use super::on_error::OnError;
use super::respond::{json, other_method};
use super::unread::Unread;
use crate::client::AgentClient;
use crate::error::Error;

/// Lists and creates threads for browsers.
///
/// | request | response |
/// |---|---|
/// | `GET ?sandboxId=` | `{"threads": [{id, name, status, createdAt}]}`, newest first |
/// | `POST {"sandboxId", "name"?}` | the new thread: `{id, name, status, createdAt}` |
///
/// Your function must check that the sandbox belongs to the user, because a request can name any sandbox.
///
/// ```
/// use twentyfirst_client::AgentClient;
/// use twentyfirst_client::backend::{Refusal, ThreadHandler, ThreadRequest};
/// # fn sandbox_of(head: &twentyfirst_client::transport::http::request::Parts) -> Option<twentyfirst_client::SandboxId> { None }
///
/// fn threads(client: AgentClient) -> ThreadHandler {
///     ThreadHandler::new(client, async |request: ThreadRequest| {
///         // From the session, not from the request.
///         let Some(sandbox_id) = sandbox_of(&request.head) else {
///             return Err(Refusal::unauthorized("please sign in"));
///         };
///         match request.read().await?.sandbox_id {
///             Some(other) if other != sandbox_id => Err(Refusal::not_found("there is no such sandbox")),
///             _ => Ok(sandbox_id),
///         }
///     })
/// }
/// ```
#[derive(Clone)]
pub struct ThreadHandler {
    core: Core<ThreadRequest, SandboxId>,
}

/// A browser's request for the threads of a sandbox: `GET` to list them, or `POST` to create one.
///
/// `Debug` shows neither headers nor extensions, as they may hold a session.
#[non_exhaustive]
pub struct ThreadRequest {
    /// The request's method, headers and extensions, such as your session.
    pub head: Parts,
    /// Keeps the name of the thread to create.
    pub(super) body: Unread<Option<String>>,
}

impl ThreadRequest {
    /// Reads the content of the request: the query for listing threads, the body for creating one.
    ///
    /// # Errors
    /// 408, 413 or 400, if the body arrives too slowly, exceeds the [limits](super::RequestLimits), or is invalid.
    pub async fn read(self) -> Result<ThreadBody, Refusal> {
        // Routers respond to `HEAD` with the route of `GET`.
        if matches!(self.head.method, Method::GET | Method::HEAD) {
            return Ok(ThreadBody::of_query(
                self.head.uri.query().unwrap_or_default(),
            )?);
        }
        Self::read_body(&self.body).await
    }

    async fn read_body(body: &Unread<Option<String>>) -> Result<ThreadBody, Refusal> {
        let read = |bytes, _: &_| {
            let body = ThreadBody::read(bytes)?;
            let name = body.name.clone();
            Ok((body, name))
        };
        body.read(read).await
    }
}

impl ThreadHandler {
    /// Creates a handler for the threads of the sandboxes returned by `decide`.
    ///
    /// The closure may run many times at once. Its futures outlive the call, so clone what they need into them. They are dropped
    /// if the browser leaves in the meantime.
    pub fn new<F, Fut>(client: AgentClient, decide: F) -> Self
    where
        F: Fn(ThreadRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<SandboxId, Refusal>> + Send + 'static,
    {
        Self {
            core: Core::new(client, Decide::new(decide)),
        }
    }

    /// Sets a function that is called with the error of each failed call to the relay before it becomes a [`Refusal`], for your
    /// log.
    #[must_use]
    pub fn on_error(mut self, on_error: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.core.on_error = OnError::new(on_error);
        self
    }

    async fn list(&self, request: ThreadRequest) -> Result<Response<Body>, Refusal> {
        let sandbox_id = self.core.decide.ask(request).await?;
        let threads = self.core.execute(&ListThreads::new(sandbox_id)).await?;
        Ok(json(
            StatusCode::OK,
            &serde_json::json!({ "threads": threads }),
        ))
    }

    async fn create(&self, request: ThreadRequest) -> Result<Response<Body>, Refusal> {
        let body = request.body.clone();
        let mut create = CreateThread::new(self.core.decide.ask(request).await?);
        // A body can be read once. If the function has read it, the name was kept.
        create.name = match body.kept() {
            Some(name) => name.clone(),
            None => ThreadRequest::read_body(&body).await?.name,
        };
        let thread = self.core.execute(&create).await?;
        Ok(json(StatusCode::OK, &thread))
    }
}

impl Handler for ThreadHandler {
    async fn respond(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        let body = self.core.unread(body);
        match head.method {
            Method::GET => self.list(ThreadRequest { head, body }).await,
            Method::POST => self.create(ThreadRequest { head, body }).await,
            _ => Ok(other_method(&head.method, "GET, OPTIONS, POST")),
        }
    }
}

handler!(ThreadHandler);

impl fmt::Debug for ThreadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadRequest")
            .field("method", &self.head.method)
            .finish_non_exhaustive()
    }
}
