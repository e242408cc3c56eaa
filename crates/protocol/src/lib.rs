//! Requests, answers, errors and the UI message stream of 21st Agents, without IO.

mod body;
mod error;
mod flow;
mod ids;
mod open;
mod operation;
mod relay;
mod route;
mod secret;
mod time;

pub mod files;
pub mod git;
pub mod runs;
pub mod sandboxes;
pub mod sse;
pub mod threads;
pub mod tokens;
pub mod ui;
pub mod vaults;

pub use body::Body;
pub use error::{
    ApiError, ErrorCode, InvalidRequest, NotUnderstood, Problem, ResponseError, RetryAfter,
};
pub use flow::{ExchangeError, Failure, Flow, Now, Sent, Slot, Step};
pub use http;
pub use ids::{CredentialId, MachineId, SandboxId, ThreadId, VaultId};
pub use operation::{
    Endpoint, Head, Operation, Safety, StreamingOperation, UploadOperation, decode_json,
    decode_with,
};
pub use relay::{ApiKey, BaseUrl};
pub use route::{Query, Route};
pub use secret::Secret;
pub use time::Timestamp;
