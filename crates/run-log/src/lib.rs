//! Stores for the run log of 21st Agents. A run log keeps the answers of agents, so that any instance of a server can replay them from
//! their start.
//!
//! [`twentyfirst_protocol::run_log`] defines the content of a log and the rules for its writers. A store does not know these rules: it
//! appends an entry at a position, if the position is above all others in the log, and reads entries.
//!
//! ```text
//!   instance 1 ── append 1-0, 1-1, 1-2 … ──►┌─────────────┐──► read after 1-2, wait ── instance 2 ──► a browser
//!                                           │   RunLog    │
//!   instance 1, woken late ── append 1-3 ──►│ 1-0 … 1-2   │──► read after 0-0 ─────── instance 3 ──► another
//!                              ✗ Fenced     │ 2-0         │
//!   instance 2 ── append 2-0: a claim ─────►└─────────────┘
//! ```
//!
//! | store | for |
//! |---|---|
//! | [`MemoryLog`] | one instance, and tests: no runtime, no server, bounded memory |
//! | `RedisLog`, feature `redis` | any number of instances: Redis 6.2 or later, or Valkey; with the feature `redis-cluster` also a cluster |
//! | your own | implement [`RunLog`], and test it with the checks of the module `contract`, feature `contract` |
//!
//! [`AnyRunLog`] wraps any of them in one type.
//!
//! # An example
//! ```
//! use std::time::Duration;
//!
//! use twentyfirst_run_log::{AppendError, Keep, LogId, MemoryLog, Position, RunLog};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryLog::new(tokio::time::sleep);
//! let run = LogId::run("run_1");
//! let keep = Keep::existing(Duration::from_secs(600));
//!
//! let claim = Position::START.next_claim();
//! store.append(&run, claim, "mine".into(), keep.or_create()).await?;
//! store.append(&run, claim.next(), "Hello".into(), keep).await?;
//!
//! // A claim of the next epoch fences the writer of the first one.
//! store.append(&run, claim.next_claim(), "mine now".into(), keep).await?;
//! let late = store.append(&run, claim.next().next(), ", world".into(), keep).await;
//! assert!(matches!(late, Err(AppendError::Fenced)));
//!
//! let page = store.read(&run, Position::START, 100, Duration::ZERO).await?;
//! assert_eq!(page.entries.len(), 3);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod any;
mod error;
mod log;
mod memory;

#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "redis")]
mod redis_log;

pub use twentyfirst_protocol::run_log::{Keep, LogId, Position};

pub use self::any::AnyRunLog;
pub use self::error::{AppendError, Cause, ReadError};
pub use self::log::{Page, RunLog};
pub use self::memory::MemoryLog;
#[cfg(feature = "redis")]
pub use self::redis_log::{ConnectError, Eviction, RedisLog, RedisLogBuilder};

/// Compiles and runs the examples of the readme.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
