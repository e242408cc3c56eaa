//! Faults: failures on purpose, for testing a program against the relay.
//!
//! ```text
//!   Fault ─► Faults::add ─► Active, in the relay
//!                             │
//!     request begins ─────────┼─► replacement: a response in place of its own
//!     body begins ────────────┼─► Due<Effect> ─► FaultyBody: cut, silence, end, event ─► Breaker ─► Connection
//!     run begins ─────────────┼─► Due<()> ─► Journal: dead runtime, restart
//!     reader joins ───────────┼─► replay, nothing; Due<()> ─► Rival: stores in place of the first reader
//!     turn is stored ─────────┴─► not stored
//! ```
//!
//! A [`Due`] fault is chosen when something begins, and counted only when it strikes. Between the two, other requests may use up its
//! strikes, or the faults may be cleared. So [`Due::strike`] is called at the moment itself, and nothing happens if it returns false.

mod active;
mod body;
mod connection;
mod fault;
mod progress;

pub(crate) use active::{Due, Faults};
pub(crate) use body::FaultyBody;
pub(crate) use connection::{Breaker, Connection};
pub use fault::{After, Fault};
pub(crate) use progress::Progress;
