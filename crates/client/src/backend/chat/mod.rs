//! Chats of browsers, passed through this server.

mod chat_request;
mod chat_run;
mod following;
mod handler;
mod observing;
mod passing;
mod recorded;

pub use chat_request::ChatRequest;
pub use chat_run::{ChatRun, Observed};
pub use handler::ChatHandler;
