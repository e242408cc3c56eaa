//! Chats of browsers, passed through this server.

mod cancelling;
mod chat_request;
mod chat_run;
mod direct;
mod following;
mod handler;
mod observing;
mod passing;
mod recorded;
mod route;

pub use chat_request::ChatRequest;
pub use chat_run::{ChatRun, Observed};
pub use handler::ChatHandler;
