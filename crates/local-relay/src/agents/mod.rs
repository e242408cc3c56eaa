//! Agents: what answers to messages.

mod agent;
mod echo;
mod run;
mod script;
mod shell;

pub use agent::{Agent, RunResult};
pub use run::{Run, ToolCall};
pub use script::{Script, ScriptError};

pub(crate) use run::RunRequest;
