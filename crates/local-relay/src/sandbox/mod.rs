//! Sandboxes: temporary directories with files, and processes in them.
//!
//! ```text
//!   Sandbox ─┬─► Files: paths as commands see them, resolved and opened by a capability to the directory
//!            └─► Shell ─┬─ Namespaces: Idle ─► first command ─► Held by a Holder ─► commands enter ─► Closed
//!                       ├─ Unconfined: each command is a process group of the host
//!                       └─ NoCommands: refused
//!
//!   close: end the processes ─► remove the directory
//!   relay killed before that: a later relay removes the directory
//! ```
//!
//! Commands are hostile as far as files go: they may swap, link and nest files at any time. So every check is made on what was opened, and
//! nothing recurses or builds long paths.

mod directories;
mod entry;
mod exec;
mod files;
mod handle;
mod isolation;
mod namespaces;
mod owner;
mod processes;
mod remove_tree;

pub use exec::{Command, ExecError};
pub use files::FileError;
pub use handle::Sandbox;
pub use isolation::Isolation;

pub(crate) use directories::remove_abandoned;
pub(crate) use exec::quote;
pub(crate) use files::Files;
pub(crate) use isolation::{Confinement, leave_session_keyring};
