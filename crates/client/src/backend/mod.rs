//! Routes of a web server through which browsers reach agents, without ever seeing the key.
//!
//! | handler | its routes |
//! |---|---|
//! | [`ChatHandler`] | the chat of `useChat`: send a message, replay and end its answer |
//! | [`TokenHandler`] | tokens, for pages that talk to the relay themselves |
//! | [`SandboxHandler`] | create a sandbox |
//! | [`ThreadHandler`] | list and create threads |
//!
//! Every handler is plain HTTP: `handle` takes an [`http::Request`] and gives an [`http::Response`], and each is a
//! [`tower_service::Service`] that never fails, which is what axum's `route_service` and anything else of tower or hyper
//! takes. They are cheap to clone.
//!
//! ```
//! use axum::Router;
//! use twentyfirst_client::backend::{ChatHandler, TokenHandler};
//!
//! fn routes(chats: ChatHandler, tokens: TokenHandler) -> Router {
//!     Router::new()
//!         .route_service("/api/chat", chats.clone())
//!         .route_service("/api/chat/{id}/stream", chats)
//!         .route_service("/api/token", tokens)
//! }
//! ```
//!
//! Each takes a function of yours, which decides what a request may do, and answers with a [`Refusal`] where it may not.
//!
//! The futures of that function outlive its call, so what it needs, such as a database, is cloned into each of them:
//! [`with_state`] does so. An `async |request|` closure lends it instead, and the compiler says that it does not implement `Fn`.
//!
//! ```
//! use twentyfirst_client::backend::{ThreadHandler, ThreadRequest, with_state};
//! # use twentyfirst_client::backend::Refusal;
//! use twentyfirst_client::{AgentClient, SandboxId};
//! # #[derive(Clone)]
//! # struct Database;
//! # impl Database {
//! #     async fn sandbox_of(&self, request: &ThreadRequest) -> Result<SandboxId, Refusal> { Err(Refusal::not_found("there is no such sandbox")) }
//! # }
//!
//! fn threads(client: AgentClient, database: Database) -> ThreadHandler {
//!     ThreadHandler::new(client, with_state(database, |database, request: ThreadRequest| async move {
//!         database.sandbox_of(&request).await
//!     }))
//! }
//! ```
//!
//! Where a handler refuses, or the relay does, it answers `{"error": message}` with a fitting status. The key is never in it, and
//! neither is what the relay says of failures of its own (5xx); `on_error`, which each of them has, sees the reason. `OPTIONS` is answered
//! with 204 and other methods than the handler's own with 405, both with `Allow`; a body that is too long with 413.
//!
//! # In axum
//! A handler is a service, which `route_service` takes with all its methods. Routes of your own stand beside it. With the feature `axum`,
//! [`Refusal`] and [`Error`](crate::Error) are responses of axum, and [`ChatRequest`], [`ThreadRequest`] and [`TokenRequest`] are extractors:
//! they read what a browser sends as the handlers do, with the same limits and refusals.
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! use axum::Router;
//! use axum::extract::{Extension, State};
//! use axum::routing::post;
//! use http::StatusCode;
//! use twentyfirst_client::AgentClient;
//! use twentyfirst_client::backend::{ChatHandler, ChatRequest, Refusal, RequestLimits};
//! # use twentyfirst_client::{RunRef, Session};
//! # async fn session_of(chat: &str) -> Result<Session, Refusal> { Err(Refusal::not_found("there is no such chat")) }
//! # async fn store(chat: &str, run: RunRef) -> Result<(), Refusal> { Ok(()) }
//!
//! /// Starts the next turn of a chat, and does not wait for its answer.
//! async fn ask(State(client): State<AgentClient>, request: ChatRequest) -> Result<StatusCode, Refusal> {
//!     let turn = request.read().await?;
//!     let session = session_of(&turn.id).await?;
//!     let run = client.threads().start(session.run(turn.messages));
//!     store(&turn.id, run.in_background().await?.run).await?;
//!     Ok(StatusCode::ACCEPTED)
//! }
//!
//! fn routes(client: AgentClient, chats: ChatHandler) -> Router {
//!     Router::new()
//!         .route("/api/ask", post(ask))
//!         // Other limits than the defaults, for `ask`. A handler has its own.
//!         .layer(Extension(RequestLimits::new().body(64 * 1024)))
//!         .route_service("/api/chat", chats)
//!         .with_state(client)
//! }
//! ```
//!
//! An extractor of yours that decides who asks stands before them. A route that gives an error as its response logs nothing: log the error
//! before `?` where you want to see the reason.
//!
//! | to know | use |
//! |---|---|
//! | what a run used and cost | [`Budget::spent`] of yours, from whichever instance; or [`ChatRun::observe`] |
//! | what a user, a chat or a run has spent | [`SpendingLimit::spent_by`], [`spent_in`](SpendingLimit::spent_in), [`spent_on`](SpendingLimit::spent_on) |
//! | to limit what they spend | [`ChatHandler::budget`] with a [`SpendingLimit`] or a [`Budget`] of yours |
//! | to limit what one run costs | [`RunOptions::max_budget_usd`](crate::RunOptions::max_budget_usd) |
//! | to limit what a sandbox costs | [`RunOptions::max_sandbox_budget_usd`](crate::RunOptions::max_sandbox_budget_usd), with an `an_sk_` key |
//!
//! # Before you mount them
//! They look at no `Origin`: where a cookie is your session, give it `SameSite=Lax` or `Strict`, or refuse requests of other sites
//! before they come here.
//!
//! The example `web_chat` is a whole server.

#[cfg(feature = "axum")]
mod axum;
mod budget;
mod chat;
mod decide;
mod handler;
mod new_sandbox;
mod on_error;
mod refusal;
mod request_limits;
mod respond;
mod sandbox;
mod stored;
mod thread;
mod run_to_completion;
mod token;
mod unread;
mod with_state;
mod within;

pub use budget::{Budget, BudgetError, Payer, Period, RunCost, SpendingLimit, Spent, Usd};
pub use chat::{
    ChatHandler, ChatRequest, ChatRun, ChatTurn, EndedRun, Observed, OpenRun, OpenTurn, TurnOrder,
};
pub use new_sandbox::NewSandbox;
pub use refusal::Refusal;
pub use request_limits::RequestLimits;
pub use sandbox::{SandboxHandler, SandboxRequest};
pub use thread::{ThreadHandler, ThreadRequest};
pub use token::{TokenHandler, TokenRequest};
pub use twentyfirst_protocol::browser::{ThreadBody, TokenBody};
pub use with_state::with_state;
