//! Server SDK for 21st Agents: create sandboxes, run agents in threads, and follow their answers as they stream.
//!
//! ```no_run
//! use twentyfirst_client::{AgentClient, StartRun};
//!
//! # async fn example() -> Result<(), twentyfirst_client::Error> {
//! let client = AgentClient::from_env()?;
//! let mut run = client.threads().run(StartRun::new("my-agent", "Find bugs in /src")).await?;
//! println!("{}", run.text().await?);
//! client.sandboxes().delete(run.sandbox_id()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Every call is there in three depths:
//!
//! - a method for the usual case: `client.sandboxes().exec(&sandbox.id, "ls")`;
//! - the operation for the rest: `client.execute(&Exec::new(&sandbox.id, "ls").cwd("/home/user"))`, from
//!   [`protocol`], where all of them are, or one of your own;
//! - any request: [`AgentClient::send`].
//!
//! A run survives its connection: see [`Run`], and [`Follow`] for the ways. [`Run::outcome`] tells what it came to, and
//! [`Run::cancel`] ends it. A [`Session`] is what an application stores to continue a conversation, and [`RunRef`] to follow or
//! cancel a run from another process: see [`Threads::follow`]. [`Threads::run_in_background`] starts one that nobody reads.
//!
//! Exchanges that fail are tried again where that is safe, every part of them has a time limit, and both can be set for a
//! client or for one call: [`AgentClient::with_options`]. With the feature `tracing` each run, each operation and each
//! attempt has a span, and with the feature `metrics` runs are counted: see the module `telemetry`.
//!
//! Where a key must not be, a client holds tokens instead, which it gets and renews:
//! [`AgentClientBuilder::token_url`]. The routes of a web server, for browsers that chat through it or get their
//! tokens from it, are in [`backend`].
//!
//! The client keeps no task behind a call: dropping a future or a stream closes it at once and sends nothing. It needs a
//! tokio runtime unless it is given another [`transport`].

#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod backend;
mod builder;
#[cfg(feature = "cassette")]
pub mod cassette;
mod client;
mod credentials;
mod driver;
mod error;
mod exact_length;
mod files;
mod git;
mod looks;
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
mod vaults;

pub use builder::AgentClientBuilder;
pub use client::AgentClient;
pub use credentials::{TokenError, TokenUrl};
pub use error::Error;
pub use files::Files;
pub use git::Git;
pub use run::Run;
pub use sandboxes::Sandboxes;
pub use threads::Threads;
pub use tokens::Tokens;
pub use twentyfirst_protocol as protocol;
pub use twentyfirst_protocol::retry::RetryPolicy;
pub use twentyfirst_protocol::runs::{
    CancelStatus, Cancelled, Created, Follow, FollowRun, Lost, LostReason, MessageState, Messages,
    Moment, OtherAgent, Outcome, RunEnd, RunOptions, RunRef, StartRun, Started,
};
pub use twentyfirst_protocol::sandboxes::{CreateSandbox, Exec};
pub use twentyfirst_protocol::threads::Thread;
pub use twentyfirst_protocol::tokens::{CreateToken, Token, TokenLifetime};
pub use twentyfirst_protocol::ui::{Chunk, Image, UiMessage};
pub use twentyfirst_protocol::{CallOptions, SandboxId, Session, ThreadId};
pub use twentyfirst_run_log as run_log;
pub use twentyfirst_stream as stream;
pub use twentyfirst_transport as transport;
pub use vaults::Vaults;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
