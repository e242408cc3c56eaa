//! A sandbox: a temporary directory with files, and processes in it.

mod entry;
mod exec;
mod files;
mod group;
mod handle;
mod isolation;
mod keyring;
mod leftovers;
mod namespaces;
mod owner;
mod processes;
mod removal;
mod stragglers;

pub use exec::{Command, ExecError};
pub use files::FileError;
pub use handle::Sandbox;
pub use isolation::Isolation;

pub(crate) use exec::quote;
pub(crate) use files::Files;
pub(crate) use isolation::Confinement;
pub(crate) use keyring::leave_session_keyring;
pub(crate) use leftovers::sweep;
