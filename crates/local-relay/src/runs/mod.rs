//! Runs: an agent at work, its readers, and the turn that is stored.
//!
//! ```text
//!   agent ─► Run ─► Journal ─┬─► Assembler: the message that is stored
//!                            └─► Feed ─┬─► Reader that started the run ─► response of POST
//!                                      └─► View ─► joined Reader ───────► response of GET
//!
//!   start-up ─► running ─┬─ the agent ends ─► stored ─► metadata, finish ─► done_delay ─► [DONE]
//!                        ├─ cancelled ──────────────────────────────────────────────────► [DONE]
//!                        ├─ runtime dead ─► until cancelled ────────────────────────────► [DONE]
//!                        └─ relay restarted: streams break off
//!                             ├─ a reader joins before the agent ends ─► stored as that reader saw it
//!                             └─ nobody joins ─► until cancelled
//! ```
//!
//! A run never depends on its readers: it continues after all of them have left. Only a reader that stays and falls 8 MiB behind makes
//! the agent wait.

mod feed;
mod journal;
mod reader;
mod recut;
mod rival;
mod start;
mod storage;
mod view;

pub(crate) use journal::Journal;
pub(crate) use reader::{joined, original};
pub(crate) use start::{NewRun, Stream, start};
