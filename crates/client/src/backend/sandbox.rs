use std::fmt;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use twentyfirst_transport::Body;

use super::Refusal;
use super::decide::Decide;
use super::handler::{Core, Handler, handler};
use super::new_sandbox::NewSandbox;
use super::on_error::OnError;
use super::respond::{json, other_method};
use super::run_to_completion::run_to_completion;
use crate::client::AgentClient;
use crate::error::Error;

/// Creates sandboxes for browsers: it responds to `POST` with `{"sandboxId"}`.
///
/// Your function decides which users may have a sandbox, and for which agent, since a sandbox costs money. The request's body is
/// not read.
///
/// ```
/// use twentyfirst_client::backend::{NewSandbox, Refusal, SandboxHandler, SandboxRequest};
/// use twentyfirst_client::AgentClient;
/// use twentyfirst_client::protocol::sandboxes::CreateSandbox;
/// # #[derive(Clone)]
/// # struct Database;
/// # impl Database {
/// #     async fn store(&self, user: &str, sandbox: &twentyfirst_client::SandboxId) -> Result<(), Refusal> { Ok(()) }
/// # }
///
/// #[derive(Clone)]
/// struct User {
///     id: String,
/// }
///
/// fn sandboxes(client: AgentClient, database: Database) -> SandboxHandler {
///     SandboxHandler::new(client, move |request: SandboxRequest| {
///         let database = database.clone();
///         async move {
///             // Put there by the layer that reads the session.
///             let Some(User { id: user }) = request.head.extensions.get().cloned() else {
///                 return Err(Refusal::unauthorized("please sign in"));
///             };
///             let sandbox = NewSandbox::new(CreateSandbox::new("my-agent"));
///             Ok(sandbox.on_created(move |sandbox_id| async move {
///                 database.store(&user, &sandbox_id).await
///             }))
///         }
///     })
/// }
/// ```
///
/// If a browser leaves while it waits, a sandbox may remain that costs money until its time to live is over. Use
/// [`NewSandbox::on_created`] to avoid that.
#[derive(Clone)]
pub struct SandboxHandler {
    core: Core<SandboxRequest, NewSandbox>,
}

/// A browser's request for a sandbox.
///
/// `Debug` shows neither headers nor extensions, as they may hold a session.
#[derive(Clone)]
#[non_exhaustive]
pub struct SandboxRequest {
    /// The request's method, headers and extensions, such as your session.
    pub head: Parts,
}

impl SandboxHandler {
    /// Creates a handler that creates the sandboxes returned by `decide`: a
    /// [`CreateSandbox`](crate::protocol::sandboxes::CreateSandbox) or a [`NewSandbox`].
    ///
    /// The closure may run many times at once. Its futures outlive the call, so clone what they need into them. They are dropped
    /// if the browser leaves in the meantime.
    pub fn new<F, Fut, S>(client: AgentClient, decide: F) -> Self
    where
        F: Fn(SandboxRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, Refusal>> + Send + 'static,
        S: Into<NewSandbox>,
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

    async fn create(&self, sandbox: NewSandbox) -> Result<Response<Body>, Refusal> {
        let NewSandbox { create, on_created } = sandbox;
        let sandbox = self.core.execute(&create).await?;
        let content = serde_json::json!({ "sandboxId": sandbox.id });
        if let Some(on_created) = on_created {
            on_created(sandbox.id).await?;
        }
        Ok(json(StatusCode::OK, &content))
    }
}

impl Handler for SandboxHandler {
    async fn respond(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let (head, _) = request.into_parts();
        if head.method != Method::POST {
            return Ok(other_method(&head.method, "OPTIONS, POST"));
        }
        let sandbox = self.core.decide.ask(SandboxRequest { head }).await?;
        if sandbox.on_created.is_none() {
            return self.create(sandbox).await;
        }
        // In a task, because a sandbox whose browser leaves before its owner is stored would cost money and belong to nobody.
        let handler = self.clone();
        let create = async move { handler.create(sandbox).await };
        run_to_completion(self.core.runtime(), create).await
    }
}

handler!(SandboxHandler);

impl fmt::Debug for SandboxRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxRequest")
            .field("method", &self.head.method)
            .finish_non_exhaustive()
    }
}
