//! Chats of browsers, passed through this server.

mod cancelling;
mod chat_request;
mod chat_run;
mod direct;
mod following;
mod handler;
mod kept_alive;
mod observing;
mod open_turn;
mod passing;
mod recorded;
mod route;
mod supervised;
mod tail;

pub use chat_request::{ChatRequest, ChatTurn};
pub use chat_run::{ChatRun, Observed};
pub use handler::ChatHandler;
pub use open_turn::OpenTurn;
pub use recorded::{EndedRun, OpenRun};
pub use twentyfirst_protocol::run_log::TurnOrder;
