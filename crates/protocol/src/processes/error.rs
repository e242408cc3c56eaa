use std::time::Duration;

use super::ProcessId;
use crate::flow::ExchangeError;
use crate::shown;

/// The error of a call about a spawned process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// A request failed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The script in the sandbox failed: a tool is missing, or the disk is full.
    #[error(
        "the script in the sandbox failed with exit code {exit_code}: {}",
        shown(message)
    )]
    #[non_exhaustive]
    Script {
        /// The exit code of the script.
        exit_code: i32,
        /// The standard error of the script.
        message: String,
    },
    /// The script's output does not have the expected form. It may have been cut.
    #[error("the output of the script in the sandbox is invalid: {}", shown(.0))]
    InvalidResponse(String),
    /// No process of this id was spawned in the sandbox, or its files were removed.
    #[error("there is no process {0}")]
    Unknown(ProcessId),
    /// The process was being started, and the start did not finish.
    #[error("process {0} was not started")]
    NotStarted(ProcessId),
    /// The end of the process was not recorded: its machine has restarted, or its supervisor was killed.
    #[error("process {0} is lost: its machine has restarted, or it was killed with its supervisor")]
    Gone(ProcessId),
    /// The id belongs to a process with another command.
    #[error("process {0} was spawned with another command: choose another id")]
    OtherCommand(ProcessId),
    /// The process is running, so its files cannot be removed; or it is still running after it was killed.
    #[error("process {0} is running")]
    Running(ProcessId),
    /// The process has ended and takes no input.
    #[error("process {0} has ended and takes no input")]
    Ended(ProcessId),
    /// The process was spawned without standard input.
    #[error("process {0} has no standard input: spawn it with `stdin(true)`")]
    NoStdin(ProcessId),
    /// The standard input of the process was closed.
    #[error("the standard input of process {0} is closed")]
    StdinClosed(ProcessId),
    /// Nothing listens on the port.
    #[error("nothing listened on port {port} within {} s", waited.as_secs_f64())]
    #[non_exhaustive]
    PortClosed {
        /// The port.
        port: u16,
        /// The time waited.
        waited: Duration,
    },
    /// The listening ports of the sandbox are unknown: it has no `/proc/net/tcp`.
    #[error("cannot check whether something listens on port {0}: the sandbox has no /proc/net/tcp")]
    PortUnknown(u16),
}
