//! Agents, which answer messages, and the runs that they get.

mod agent;
mod echo;
mod run;
mod script;
mod shell;

pub use agent::{Agent, RunResult};
pub use run::{Run, ToolCall};
pub use script::{Script, ScriptError};

pub(crate) use run::RunRequest;
