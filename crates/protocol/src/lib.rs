//! Requests, responses, errors and the UI message stream of 21st Agents, without IO.
//!
//! The crate opens no socket, reads no clock, draws no random number and starts no task: you bring the HTTP client, async or not.
//! It works in both directions: a server can use the same types.
//!
//! # One request
//!
//! An [`Operation`] is a plain struct. It creates the request and decodes the response:
//!
//! ```
//! use twentyfirst_protocol::sandboxes::GetSandbox;
//! use twentyfirst_protocol::{ApiKey, BaseUrl, Endpoint, Operation, SandboxId};
//!
//! let get = GetSandbox::new(SandboxId::new("sbx_abc123")?);
//!
//! let mut request = get.to_request()?;
//! *request.uri_mut() = BaseUrl::default().join(request.uri())?;
//! ApiKey::new("21st_sk_x")?.authorize(&mut request);
//! assert_eq!(request.uri(), "https://relay.an.dev/v1/sandboxes/sbx_abc123");
//!
//! // Your HTTP client sends the request. This is the response:
//! let (head, body) = http::Response::new(r#"{"id":"sbx_abc123","status":"active"}"#).into_parts();
//! let sandbox = get.decode(&head, body.as_bytes())?;
//! assert_eq!(sandbox.status.as_str(), "active");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`StreamingOperation`] decodes the response head and leaves the body to you. An [`UploadOperation`] sends a body that is not
//! held in memory.
//!
//! # Several requests
//!
//! A [`flow`] is a state machine for work that takes several requests, a wait, or a decision after a failure. It returns the next
//! step to take and accepts the result. There are flows to retry a request where that is safe, to start a run
//! ([`StartRun`](runs::StartRun)), to follow it to its end ([`FollowRun`](runs::FollowRun)), and to cancel it
//! ([`CancelFlow`](runs::CancelFlow)). A [`RunRef`](runs::RunRef) names a run.
//!
//! A [`Session`] is the value that an application stores to continue a conversation.
//!
//! # The answer of an agent
//!
//! ```text
//!   bytes ─► sse::Decoder ─► sse::Event ─► ui::Chunk ─► ui::Joiner ─► ui::Assembler ─► ui::UiMessage
//!            └────── ui::Decoder ──────────────┘
//! ```
//!
//! Each of these machines can be used alone: see [`sse`] and [`ui`].
//!
//! # Recording and replay
//!
//! A run log records the answer of a run. Readers replay it from its start on any instance of a server, even after the instance that
//! recorded it is gone. The module [`run_log`] defines the entries and their codec, the rules for writers and the behaviour of readers,
//! for any store that can append and read.
//!
//! # Modules
//!
//! | module | the relay's routes |
//! |---|---|
//! | [`sandboxes`], [`files`], [`git`], [`processes`] | `/v1/sandboxes` |
//! | [`threads`] | `/v1/sandboxes/{sandboxId}/threads` |
//! | [`runs`] | `/v1/chat` |
//! | [`tokens`] | `/v1/tokens` |
//! | [`vaults`] | `/v1/mcp/vaults` |
//!
//! [`browser`] reads the bodies that browsers send to your server.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used
)]

mod body;
mod environment;
mod error;
mod ids;
mod open;
mod operation;
mod options;
mod prospect;
mod rate_limit;
mod relay;
mod retry_after;
mod route;
mod scan;
mod secret;
mod session;
mod setters;
mod time;
mod tolerant;

pub mod browser;
pub mod files;
pub mod flow;
pub mod git;
pub mod processes;
pub mod retry;
pub mod run_log;
pub mod runs;
pub mod sandboxes;
pub mod sse;
pub mod threads;
pub mod tokens;
pub mod ui;
pub mod vaults;

pub use body::Body;
pub use error::{
    ApiError, ErrorCode, InvalidRequest, InvalidResponse, Problem, ResponseError, shown,
};
pub use http;
pub use ids::{CredentialId, IntoId, MachineId, SandboxId, ThreadId, VaultId};
pub use operation::{
    Endpoint, Head, Operation, Safety, StreamingOperation, UploadOperation, decode_json,
    decode_with,
};
pub use options::{CallOptions, Timeouts};
pub use rate_limit::RateLimit;
pub use relay::{ApiKey, BaseUrl, RelayAccess};
pub use retry_after::RetryAfter;
pub use route::{Query, Route};
pub use secret::{Redactor, Secret, Secrets};
pub use session::Session;
pub use time::Timestamp;

/// The examples of the readme, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
