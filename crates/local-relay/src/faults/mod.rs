//! What goes wrong on purpose: switches for whoever tests a program against the relay.

mod active;
mod fault;

pub(crate) use active::{Due, Faults};
pub use fault::{After, Fault};
