//! A relay on loopback, for tests and offline work with 21st Agents clients.
//!
//! [`LocalRelay`] is a real HTTP server with the relay's routes, responses and errors. Its sandboxes are temporary directories with
//! real processes, and its agents are your closures or scripts. It needs no key, no network, and no async runtime from the caller.
//! Dropping it ends its processes and removes its files.
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
//! // The Rust client connects with `AgentClient::of(&relay)`. Any other client of the relay can connect with these two.
//! println!("{} {}", relay.url(), relay.api_key());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Isolation of commands
//! Commands run in Linux namespaces, made with util-linux. A command can read the system, writes only the files of its sandbox, and has
//! no rights outside, even if the relay runs as root. It uses the network of this machine, including everything that listens on
//! loopback. The table at [`Isolation`] has the details.
//!
//! Without namespaces, commands are unconfined, or refused if the relay runs as root. [`LocalRelay::isolation`] returns the mode in use,
//! and a line on standard error reports it.
//!
//! # Testing failures
//! A [`Fault`] makes one thing go wrong on purpose: it cuts connections, silences streams, refuses requests, sends malformed events,
//! kills runs or keeps them from being stored. Add it to the builder or to the running relay. [`Fault::struck`] counts its strikes.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//! use twentyfirst_local_relay::{Fault, LocalRelay};
//!
//! let cut = Fault::cut_after(100);
//! let relay = LocalRelay::builder().fault(cut.clone()).start()?;
//!
//! // Stands in for your program: a chat over a plain socket.
//! let body = r#"{"sandboxId":"s","messages":[{"role":"user","parts":[{"type":"text","text":"Hello"}]}]}"#;
//! let mut socket = TcpStream::connect(relay.address())?;
//! write!(
//!     socket,
//!     "POST /v1/chat/echo HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {}\r\n\
//!      content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
//!     relay.api_key(),
//!     body.len(),
//! )?;
//! let mut response = String::new();
//! socket.read_to_string(&mut response)?;
//!
//! assert!(response.starts_with("HTTP/1.1 200 OK") && !response.contains("[DONE]"));
//! assert_eq!(cut.struck(), 1);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Differences from the relay
//! - There is no billing, no provider and no model. The provider of a sandbox is `local`, and a sandbox does not contain the relay's own
//!   files (`.env` and others).
//! - A run is stored whole, even if the reader that started it has left. At the relay, a joined reader can be faster, and then only the
//!   end is stored: see [`Fault::joined_reader_stores`].
//! - Nothing goes wrong without a [`Fault`].
//! - An agent waits for a reader that is more than 8 MiB behind.
//! - The values of credentials are dropped at once. Vaults can be managed. Runs check that their vaults exist, and do not use them.
//! - Only web pages of this machine have access: see [`LocalRelayBuilder::allow_origin`].
//! - Delays are short: see [`LocalRelayBuilder::done_delay`], [`LocalRelayBuilder::hold_back`] and [`Agent::start_up`].

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod agents;
mod auth;
mod chat;
mod faults;
mod files;
mod git;
mod records;
mod relay;
mod request;
mod responses;
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

/// Compiles and runs the examples of the readme.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
