//! Sandboxes: the machines in which agents run.
//!
//! The directory in which a relative path starts:
//!
//! | | starts in |
//! |---|---|
//! | commands of [`Exec`], unless [`cwd`](Exec::cwd) says otherwise | `/root` |
//! | paths of [files](crate::files), also of [`CreateSandbox::files`] | `/root` |
//! | commands of [`CreateSandbox::setup`] | `/home/user` |
//! | agents, and `git clone` without a [path](crate::git::CloneRepository::path) | the relay's choice: set it, or use absolute paths |

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
