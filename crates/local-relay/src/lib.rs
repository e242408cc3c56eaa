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
//! // The Rust client takes the relay itself, `AgentClient::of(&relay)`; any other client of the relay takes these two.
//! println!("{} {}", relay.url(), relay.api_key());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What keeps commands in their sandboxes
//! Namespaces of Linux, made with util-linux: a command reads the system, writes only its own files, and has no rights
//! outside, also where the relay runs as root. It uses the network of this machine, with all that listens on loopback.
//! See the table at [`Isolation`] for what is kept apart and what is not.
//!
//! Where there are no namespaces, [`LocalRelay::isolation`] and a line on standard error tell what there is in their
//! place: commands that nothing confines, or none at all where the relay runs as root.
//!
//! # Testing what goes wrong
//! A [`Fault`] is a switch for one thing that happens to clients of the relay: connections that are cut, streams that
//! fall silent, refusals, events that cannot be read, runs that die or are not stored. It is given to the builder or to
//! the running relay, and tells how often it has struck.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//! use twentyfirst_local_relay::{Fault, LocalRelay};
//!
//! let cut = Fault::cut_after(100);
//! let relay = LocalRelay::builder().fault(cut.clone()).start()?;
//!
//! // In place of your program: a chat without a client.
//! let body = r#"{"sandboxId":"s","messages":[{"role":"user","parts":[{"type":"text","text":"Hello"}]}]}"#;
//! let mut socket = TcpStream::connect(relay.address())?;
//! write!(
//!     socket,
//!     "POST /v1/chat/echo HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {}\r\n\
//!      content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
//!     relay.api_key(),
//!     body.len(),
//! )?;
//! let mut answer = String::new();
//! socket.read_to_string(&mut answer)?;
//!
//! assert!(answer.starts_with("HTTP/1.1 200 OK") && !answer.contains("[DONE]"));
//! assert_eq!(cut.struck(), 1);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What is not as at the relay
//! - There is no billing, no provider and no model. A sandbox says `local` where the relay names its provider, and the
//!   relay's own files (`.env` and others) are not in it.
//! - The reader who has started a run stores it, also after leaving. At the relay a reader who has joined can be faster,
//!   and then only the end is stored: see [`Fault::joined_reader_stores`].
//! - Nothing goes wrong by itself: see [`Fault`].
//! - An agent waits for a reader who is more than 8 MiB behind.
//! - The values of credentials are forgotten at once; vaults are managed and checked, and not used.
//! - Of web pages, only those of this machine are let in: see [`LocalRelayBuilder::allow_origin`].
//! - Delays are short: see [`LocalRelayBuilder::done_delay`], [`LocalRelayBuilder::hold_back`] and [`Agent::start_up`].

#![cfg_attr(docsrs, feature(doc_cfg))]
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

/// The examples of the readme, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
