//! Routes of a web server through which browsers reach agents, without ever seeing the key.
//!
//! | handler | its routes |
//! |---|---|
//! | [`ChatHandler`] | the chat of `useChat`: send a message, replay and end its answer |
//! | [`TokenHandler`] | tokens, for pages that talk to the relay themselves |
//! | [`SandboxHandler`] | create a sandbox |
//! | [`ThreadHandler`] | list and create threads |
//!
//! Every handler is plain HTTP: `handle` takes an [`http::Request`] and returns an [`http::Response`]. Each is also a
//! [`tower_service::Service`] that never fails, so it works with axum's `route_service` and everything else of tower or hyper.
//! Handlers are cheap to clone.
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
//! Each handler takes a function of yours that decides what a request may do. It returns a [`Refusal`] for a request that is not
//! allowed.
//!
//! The futures of that function outlive its call, so its state, such as a database, must be cloned into each of them:
//! [`with_state`] does so. An `async |request|` closure works only without such state: it would borrow the state, and the compiler
//! would report that the closure does not implement `Fn`.
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
//! If a handler or the relay refuses a request, the response is `{"error": message}` with a fitting status. The message never
//! contains the key, nor what the relay says about its own failures (5xx); the `on_error` function of each handler gets the reason.
//! A handler responds to `OPTIONS` with 204 and to a method that it does not support with 405, both with `Allow`. A body that is
//! too long gets 413.
//!
//! # In axum
//! A handler is a service; pass it to `route_service`, which gives it all methods. You can add routes of your own. With the
//! feature `axum`, [`Refusal`] and [`Error`](crate::Error) are responses of axum, and [`ChatRequest`], [`ThreadRequest`] and
//! [`TokenRequest`] are extractors. They read a browser's request as the handlers do, with the same limits and refusals.
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
//!         // Limits for `ask` other than the defaults. A handler has its own.
//!         .layer(Extension(RequestLimits::new().body(64 * 1024)))
//!         .route_service("/api/chat", chats)
//!         .with_state(client)
//! }
//! ```
//!
//! Put your own extractor for authentication before them. If a route returns an error as its response, nothing logs it: log the
//! error before `?` to see the reason.
//!
//! # Costs
//!
//! | task | use |
//! |---|---|
//! | learn the usage and cost of a run | [`ChatHandler::on_end`], which misses none; your own [`Budget::spent`], to refuse by it; [`ChatRun::observe`], while it goes on |
//! | learn the spending of a user, a chat or a run | [`SpendingLimit::spent_by`], [`spent_in`](SpendingLimit::spent_in), [`spent_on`](SpendingLimit::spent_on) |
//! | limit the spending of users and chats | [`ChatHandler::budget`] with a [`SpendingLimit`] or your own [`Budget`] |
//! | limit the cost of one run | [`RunOptions::max_budget_usd`](crate::RunOptions::max_budget_usd) |
//! | limit the cost of a sandbox | [`RunOptions::max_sandbox_budget_usd`](crate::RunOptions::max_sandbox_budget_usd), with an `an_sk_` key |
//!
//! # Before you mount them
//! The handlers do not check `Origin`. If your session is a cookie, give it `SameSite=Lax` or `Strict`, or refuse requests from
//! other sites before they get here.
//!
//! The example `web_chat` is a whole server.

#[cfg(feature = "axum")]
mod axum;
mod budget;
mod catch_panic;
mod chat;
mod decide;
mod handler;
mod new_sandbox;
mod on_error;
mod refusal;
mod request_limits;
mod respond;
mod run_to_completion;
mod sandbox;
mod stored;
mod thread;
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
