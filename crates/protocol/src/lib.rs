//! Requests, answers, errors and the UI message stream of 21st Agents, without IO.
//!
//! This crate knows what is said to the relay and what comes back. It opens no socket, reads no clock, draws no random
//! number and starts no task: whoever uses it brings an HTTP client, async or not. It works in both directions, so a
//! server can speak with the same types.
//!
//! # One exchange
//!
//! An [`Operation`] is a plain struct. It makes a request, and reads the answer:
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
//! // Your HTTP client sends it, and this is what comes back:
//! let (head, body) = http::Response::new(r#"{"id":"sbx_abc123","status":"active"}"#).into_parts();
//! let sandbox = get.decode(&head, body.as_bytes())?;
//! assert_eq!(sandbox.status.as_str(), "active");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`StreamingOperation`] looks at the head of the answer and leaves its body open; an [`UploadOperation`] sends a body
//! that it does not hold.
//!
//! # More than one
//!
//! A [`flow`] is a state machine for what takes several exchanges, a wait, or a choice after a failure. It says what to do
//! next and is told what came of it. There is one each to try an exchange again where that is safe, to start a run
//! ([`StartRun`](runs::StartRun)), to follow it until its end ([`FollowRun`](runs::FollowRun)), and to cancel it
//! ([`CancelFlow`](runs::CancelFlow)). A [`RunRef`](runs::RunRef) names a run.
//!
//! A [`Session`] is what an application stores of a conversation to continue it.
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
//! # An answer that replays
//!
//! A [`run_log`] records the answer of a run so that it replays from its start, on any server, and survives the server that read it:
//! entries and their codec, who may write, and what readers do, for any store that appends and reads.
//!
//! # Where things are
//!
//! | module | the relay's routes |
//! |---|---|
//! | [`sandboxes`], [`files`], [`git`], [`processes`] | `/v1/sandboxes` |
//! | [`threads`] | `/v1/sandboxes/{sandboxId}/threads` |
//! | [`runs`] | `/v1/chat` |
//! | [`tokens`] | `/v1/tokens` |
//! | [`vaults`] | `/v1/mcp/vaults` |
//!
//! [`browser`] has what browsers send to a server between them and the relay.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used
)]

mod body;
mod content_coding;
mod error;
mod ids;
mod open;
mod operation;
mod options;
mod prospect;
mod rate_limit;
mod relay;
mod relay_access;
mod retry_after;
mod route;
mod secret;
mod session;
mod setters;
mod time;
mod tolerant;
mod utf_8;
mod words;

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
pub use relay::{ApiKey, BaseUrl};
pub use relay_access::RelayAccess;
pub use retry_after::RetryAfter;
pub use route::{Query, Route};
pub use secret::{Redactor, Secret, Secrets};
pub use session::Session;
pub use time::Timestamp;

/// The examples of the readme, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
