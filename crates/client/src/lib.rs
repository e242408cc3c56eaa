//! Server SDK for 21st Agents: create sandboxes, run agents in them, and follow each run to its end.
//!
//! ```no_run
//! use twentyfirst_client::AgentClient;
//!
//! # async fn example() -> Result<(), twentyfirst_client::Error> {
//! let client = AgentClient::from_env()?;
//! let mut run = client.run("my-agent", "Find bugs in /src").await?;
//! let text = run.text().await;
//! let deleted = client.sandboxes().delete(run.sandbox_id()).await; // in any case: a sandbox costs money
//! println!("{}", text?);
//! deleted
//! # }
//! ```
//!
//! The [`guide`] continues from here: sessions, failures, costs, web backends, tests, and the JavaScript SDK's snippets in Rust.
//!
//! # Calls
//! A method of the client returns a [`Call`]. Set its options, then await it. Every call is available at three levels:
//!
//! - a method for everyday use: `client.sandboxes().exec(&sandbox, "ls").cwd("/srv").await?` or, for several calls on one
//!   sandbox, `client.sandbox(id).exec("ls").await?`;
//! - the operation as a value, one of [`protocol`] or your own: `client.execute(&Exec::new(&sandbox, "ls").cwd("/srv"))`;
//! - any request: [`AgentClient::send`].
//!
//! Requests that are safe to repeat are retried, and every request has time limits. Set both for a client or for one call with
//! [`AgentClient::with_options`]. No task continues after a call: dropping a future or a stream closes its connection at once and
//! sends nothing.
//!
//! The root of the crate has the types that nearly every program names. All other types of the protocol have a single path in
//! [`protocol`], such as [`protocol::sandboxes::CreateSandbox`].
//!
//! # Runs
//! A run survives its connection: see [`Run`], and [`FollowPolicy`] for the ways to follow it. [`Run::outcome`] returns its end
//! and its cost, and [`Run::cancel`] ends it. Store a [`Session`] to continue a conversation, and a [`RunRef`] to follow or
//! cancel a run from another process: see [`Threads::follow`]. [`Call::in_background`] starts a run without reading its answer.
//!
//! An answer can be read as a value of a type: `json`, with the feature `schemars`. With the feature `tracing` each run, operation
//! and attempt has a span, and with the feature `metrics` runs are measured: see the module `telemetry`.
//!
//! # Sandboxes
//! [`transfer`] copies files and directories between a disk and a sandbox. [`spawn`](SandboxHandle::spawn) starts a command that
//! takes longer than a call. Its [`Process`] can be followed, waited for, killed and given input, also from another process.
//!
//! # Browsers
//! The routes of a web server whose browsers chat through it, or get their tokens from it, are in [`backend`]. A program that must
//! not have a key can use tokens, which the client fetches and renews: [`AgentClientBuilder::token_url`].
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `http` (default) | requests over hyper and rustls, in a tokio runtime: no transport of your own is needed |
//! | `tokio` | timers and tasks of tokio, for a transport of your own; `http` enables it |
//! | `blocking` | the client without async, over ureq and threads: the module `blocking` |
//! | `reqwest` | requests over your `reqwest::Client`: `transport::ReqwestTransport` |
//! | `axum` | responses and extractors for routes of axum: [`backend`](backend#in-axum) |
//! | `redis` | run logs in Redis or Valkey: [`run_log`] |
//! | `schemars` | answers as values of a type, by its JSON Schema |
//! | `cassette` | exchanges recorded to a file and played back: the module `cassette` |
//! | `tracing`, `metrics` | spans and metrics: the module `telemetry` |
//!
//! Without default features there is no hyper, no rustls and no tokio. The client then needs your own [`transport`] and runtime: see
//! [`AgentClientBuilder::transport`], [`AgentClientBuilder::runtime`] and the example `own_transport`. The feature `blocking` brings
//! both, without an async runtime.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod backend;
#[cfg(feature = "blocking")]
pub mod blocking;
mod builder;
mod call;
#[cfg(feature = "cassette")]
pub mod cassette;
mod client;
mod credentials;
mod driver;
mod error;
mod files;
mod git;
pub mod guide;
mod in_sandbox;
mod process;
mod relay;
mod run;
mod sandboxes;
#[cfg(any(feature = "metrics", feature = "tracing"))]
pub mod telemetry;
#[cfg(not(any(feature = "metrics", feature = "tracing")))]
#[path = "telemetry/off.rs"]
mod telemetry;
mod thread_lists;
mod threads;
mod tokens;
mod trace;
pub mod transfer;
mod typed;
mod vaults;

pub use builder::AgentClientBuilder;
pub use call::Call;
pub use client::AgentClient;
pub use credentials::{TokenError, TokenUrl};
pub use error::Error;
pub use files::{Files, SandboxFiles};
pub use git::{Git, SandboxGit};
pub use process::{Output, Process};
pub use run::Run;
pub use sandboxes::{SandboxHandle, Sandboxes};
#[cfg(feature = "schemars")]
pub use schemars;
pub use threads::{SandboxThreads, Threads};
pub use tokens::Tokens;
pub use twentyfirst_protocol as protocol;
pub use twentyfirst_protocol::retry::RetryPolicy;
pub use twentyfirst_protocol::runs::{
    FollowPolicy, Outcome, RunEnd, RunEvent, RunOptions, RunRef, StartRun,
};
pub use twentyfirst_protocol::sandboxes::Sandbox;
pub use twentyfirst_protocol::ui::{Chunk, UiMessage};
pub use twentyfirst_protocol::{CallOptions, SandboxId, Session, ThreadId};
pub use twentyfirst_run_log as run_log;
pub use twentyfirst_stream as stream;
pub use twentyfirst_transport as transport;
pub use typed::Typed;
pub use vaults::Vaults;

/// The examples of the workspace's readme, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct WorkspaceReadme;

#[cfg(doctest)]
mod must_use;

/// The examples of the readme, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
