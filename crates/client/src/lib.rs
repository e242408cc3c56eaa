//! Server SDK for 21st Agents: create sandboxes, run agents in threads, and follow their answers as they stream.
//!
//! ```no_run
//! use twentyfirst_client::AgentClient;
//!
//! # async fn example() -> Result<(), twentyfirst_client::Error> {
//! let client = AgentClient::from_env()?;
//! let mut run = client.run("my-agent", "Find bugs in /src").await?;
//! println!("{}", run.text().await?);
//! client.sandboxes().delete(run.sandbox_id()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The [`guide`] goes on from here: sessions, failures, costs, web backends, tests, and the JavaScript SDK's snippets in Rust.
//!
//! A method of the client is a [`Call`]: complete it with the setters of its operation, and await it. It is there in three depths:
//!
//! - a method for what is done every day: `client.sandboxes().exec(&sandbox, "ls").cwd("/srv").await?`, and where one sandbox is meant
//!   all along, `client.sandbox(id).exec("ls").await?`;
//! - the operation, to keep, to store or to send by other means: `client.execute(&Exec::new(&sandbox, "ls").cwd("/srv"))`, from
//!   [`protocol`], where all of them are, or one of your own;
//! - any request: [`AgentClient::send`].
//!
//! Here at the root is what nearly every program names. All other types of the protocol have their one path in [`protocol`], such as
//! [`protocol::sandboxes::CreateSandbox`].
//!
//! Files and directories travel between a disk and a sandbox ([`transfer`]), a command may outlive its call ([`Process`]), and an
//! answer is read as a value of a type (`json`, with the feature `schemars`).
//!
//! A run survives its connection: see [`Run`], and [`FollowPolicy`] for the ways. [`Run::outcome`] tells what it came to, and
//! [`Run::cancel`] ends it. A [`Session`] is what an application stores to continue a conversation, and [`RunRef`] to follow or
//! cancel a run from another process: see [`Threads::follow`]. [`Call::in_background`] starts one that nobody reads.
//!
//! A command that takes longer than a call is [spawned](SandboxHandle::spawn): a [`Process`] is followed, waited for, killed and given input,
//! also from another process.
//!
//! Exchanges that fail are tried again where that is safe, every part of them has a time limit, and both can be set for a
//! client or for one call: [`AgentClient::with_options`]. With the feature `tracing` each run, each operation and each
//! attempt has a span, and with the feature `metrics` runs are counted: see the module `telemetry`.
//!
//! Where a key must not be, a client holds tokens instead, which it gets and renews:
//! [`AgentClientBuilder::token_url`]. The routes of a web server, for browsers that chat through it or get their
//! tokens from it, are in [`backend`].
//!
//! The client keeps no task behind a call: dropping a future or a stream closes it at once and sends nothing.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `http` (default) | requests over hyper and rustls: the client then needs no transport of yours, and a tokio runtime |
//! | `tokio` | timers and tasks of tokio, for a transport of your own; `http` brings it |
//! | `blocking` | the client without async, over ureq and threads: the module `blocking` |
//! | `reqwest` | requests over a `reqwest::Client` of yours: `transport::ReqwestTransport` |
//! | `axum` | responses and extractors for routes of axum: [`backend`](backend#in-axum) |
//! | `redis` | logs of answers in Redis or Valkey: [`run_log`] |
//! | `schemars` | answers as values whose JSON Schema is made of their type |
//! | `cassette` | exchanges recorded to a file and played from it: the module `cassette` |
//! | `tracing`, `metrics` | spans and metrics: the module `telemetry` |
//!
//! Without default features there is no hyper, no rustls and no tokio. The client then takes a [`transport`] and a runtime of yours: see
//! [`AgentClientBuilder::transport`] and [`AgentClientBuilder::runtime`], and the example `own_transport`. With the feature `blocking` it can
//! have those that need no async runtime.

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
mod looks;
mod process;
mod relay;
mod run;
mod sandboxes;
#[cfg(any(feature = "metrics", feature = "tracing"))]
pub mod telemetry;
#[cfg(not(any(feature = "metrics", feature = "tracing")))]
#[path = "telemetry/off.rs"]
mod telemetry;
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
