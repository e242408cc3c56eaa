//! Sandboxes: the machines in which agents run.
//!
//! Where a relative path leads depends on who takes it:
//!
//! | | begins in |
//! |---|---|
//! | commands of [`Exec`], unless [`cwd`](Exec::cwd) says otherwise | `/root` |
//! | paths of [files](crate::files), of [`CreateSandbox::files`] too | `/root` |
//! | commands of [`CreateSandbox::setup`] | `/home/user` |
//! | agents, and `git clone` without a [path](crate::git::CloneRepository::path) | the relay's choice: name it, or use absolute paths |

mod create;
mod delete;
mod exec;
mod get;
mod preview;

pub use create::CreateSandbox;
pub use delete::DeleteSandbox;
pub use exec::{Exec, ExecOutput};
pub use get::{GetSandbox, Sandbox, SandboxAgent, SandboxStatus};
pub use preview::PreviewError;
