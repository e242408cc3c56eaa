//! Sandboxes: the machines in which agents run.

mod create;
mod delete;
mod exec;
mod get;

pub use create::CreateSandbox;
pub use delete::DeleteSandbox;
pub use exec::{Exec, ExecOutput};
pub use get::{GetSandbox, Sandbox, SandboxAgent, SandboxStatus};
