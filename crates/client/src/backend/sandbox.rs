use std::fmt;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use twentyfirst_protocol::sandboxes::CreateSandbox;
use twentyfirst_transport::Body;

use super::Refusal;
use super::decide::Decide;
use super::on_error::OnError;
use super::request::{json, other_method};
use super::service::service;
use crate::client::AgentClient;
use crate::error::Error;

/// Creates sandboxes for browsers: `POST` is answered with `{"sandboxId"}`.
///
/// Your function decides who may have one, and for which agent: a sandbox costs. Nothing of the request's body is read.
///
/// ```
/// use twentyfirst_client::backend::{Refusal, SandboxHandler};
/// use twentyfirst_client::{AgentClient, CreateSandbox};
/// use twentyfirst_client::transport::http::request::Parts;
///
/// fn sandboxes(client: AgentClient) -> SandboxHandler {
///     SandboxHandler::new(client, async |head: Parts| {
///         if !head.headers.contains_key("cookie") {
///             return Err(Refusal::unauthorized("please sign in"));
///         }
///         Ok(CreateSandbox::new("my-agent"))
///     })
/// }
/// ```
///
/// A browser that leaves while it waits may leave a sandbox behind, which costs until its time to live is over.
#[derive(Clone)]
pub struct SandboxHandler {
    client: AgentClient,
    decide: Decide<Parts, CreateSandbox>,
    on_error: OnError,
}

impl SandboxHandler {
    /// Creates what `decide` gives, from the request's method, headers and extensions.
    pub fn new<F, Fut>(client: AgentClient, decide: F) -> Self
    where
        F: Fn(Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<CreateSandbox, Refusal>> + Send + 'static,
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
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.answer(request.into_parts().0)
            .await
            .unwrap_or_else(Response::from)
    }

    async fn answer(&self, head: Parts) -> Result<Response<Body>, Refusal> {
        if head.method != Method::POST {
            return Ok(other_method(&head.method, "OPTIONS, POST"));
        }
        let create = self.decide.ask(head).await?;
        let sandbox = self.client.execute(&create).await;
        let sandbox = sandbox.map_err(|error| self.on_error.refuse(&error))?;
        let answer = serde_json::json!({ "sandboxId": sandbox.id });
        Ok(json(StatusCode::OK, &answer))
    }
}

service!(SandboxHandler);

impl fmt::Debug for SandboxHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxHandler").finish_non_exhaustive()
    }
}
