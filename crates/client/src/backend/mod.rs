//! Routes of a web server through which browsers reach agents, without ever seeing the key.
//!
//! Every handler is plain HTTP: `handle` takes an [`http::Request`] and gives an [`http::Response`], and each is a
//! [`tower_service::Service`] that never fails, which is what axum's `route_service` and anything else of tower or hyper
//! takes. They are cheap to clone and keep no task of their own.
//!
//! Where a handler refuses, or the relay does, it answers `{"error": message}` with a fitting status: a [`Refusal`]. Neither the
//! key nor what the relay says of its own troubles is in it. `OPTIONS` is answered with 204 and other methods than the
//! handler's own with 405, both with `Allow`; a body that is too long with 413.

mod chat;
mod refusal;
mod request;
mod sandboxes;
mod service;
mod threads;
mod token;

pub use chat::{ChatHandler, ChatRequest, ChatRun, Observed};
pub use refusal::Refusal;
pub use sandboxes::SandboxHandler;
pub use threads::{ThreadsHandler, ThreadsRequest};
pub use token::{TokenHandler, TokenRequest};
