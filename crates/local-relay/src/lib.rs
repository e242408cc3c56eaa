//! A relay on loopback, for tests and offline work with 21st Agents clients.
//!
//! [`LocalRelay`] is a real HTTP server with the relay's routes, answers and error bodies. Its sandboxes are temporary
//! directories with real processes in them, its agents are closures or scripts of yours. It needs no key, no network
//! and no async runtime of the caller's; when it is dropped, nothing is left.
//!
//! ```
//! use twentyfirst_local_relay::{Agent, LocalRelay, Run};
//!
//! let relay = LocalRelay::builder()
//!     .agent("greeter", Agent::new(async |run: Run| {
//!         let host = run.sandbox().exec("hostname").await?;
//!         run.say(format!("You said {:?} to {}", run.text(), host.stdout.trim())).await;
//!         Ok(())
//!     }))
//!     .start()?;
//!
//! // Any client of the relay takes these two.
//! println!("{} {}", relay.url(), relay.api_key());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What is not as at the relay
//! - There is no billing, no provider and no model. A sandbox says `local` where the relay names its provider, and the
//!   relay's own files (`.env` and others) are not in it.
//! - Answers have no `ETag`, and runs with any text can be stored: the relay's database refuses NUL and half surrogate
//!   pairs, and the run fails.
//! - Always the reader who has started a run stores it, also after leaving. At the relay a reader who has joined can be
//!   faster, and then only the end is stored.
//! - An agent waits for a reader who is more than 8 MiB behind.
//! - The values of credentials are forgotten at once; vaults are managed and checked, and not used.
//! - Of web pages, only those of this machine are let in: see [`LocalRelayBuilder::allow_origin`].
//! - Delays are short: see [`LocalRelayBuilder::done_delay`], [`LocalRelayBuilder::hold_back`] and [`Agent::start_up`].

#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod agents;
mod answers;
mod auth;
mod chat;
mod faults;
mod files;
mod git;
mod records;
mod relay;
mod request;
mod router;
mod runs;
mod sandbox;
mod sandboxes;
mod server;
mod threads;
mod tokens;
mod vaults;

pub use agents::{Agent, Run, RunResult, Script, ScriptError, ToolCall};
pub use auth::Key;
pub use faults::{After, Fault};
pub use relay::{LocalRelay, LocalRelayBuilder};
pub use sandbox::{Command, ExecError, FileError, Isolation, Sandbox};
