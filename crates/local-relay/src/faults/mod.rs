//! What goes wrong on purpose: switches for whoever tests a program against the relay.

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
