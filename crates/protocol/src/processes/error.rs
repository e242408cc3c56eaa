use std::time::Duration;

use super::ProcessId;
use crate::flow::ExchangeError;
use crate::shown;

/// Why a call about a spawned process has no result.
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
        /// Its exit code.
        exit_code: i32,
        /// What it wrote to standard error.
        message: String,
    },
    /// What the script wrote is not what it writes. The output may have been cut.
    #[error("the output of the script in the sandbox is not understood: {}", shown(.0))]
    InvalidResponse(String),
    /// No process of this id was spawned in the sandbox, or its files were removed.
    #[error("there is no process {0}")]
    Unknown(ProcessId),
    /// It was being started, and nothing came of it.
    #[error("process {0} was not started")]
    NotStarted(ProcessId),
    /// It was not seen to end: its machine has restarted, or its supervisor was killed.
    #[error("process {0} is gone: its machine has restarted, or it was killed with its supervisor")]
    Gone(ProcessId),
    /// The id belongs to a process with another command.
    #[error("process {0} was spawned with another command: choose another id")]
    OtherCommand(ProcessId),
    /// It runs, so its files cannot be removed; or it runs although it was killed.
    #[error("process {0} is running")]
    Running(ProcessId),
    /// It has ended and takes no input.
    #[error("process {0} has ended and takes no input")]
    Ended(ProcessId),
    /// It was spawned without standard input.
    #[error("process {0} has no standard input: spawn it with `stdin(true)`")]
    NoStdin(ProcessId),
    /// Its standard input was closed.
    #[error("the standard input of process {0} is closed")]
    StdinClosed(ProcessId),
    /// Nothing listens on the port.
    #[error("nothing listened on port {port} for {} s", waited.as_secs_f64())]
    #[non_exhaustive]
    PortClosed {
        /// The port.
        port: u16,
        /// How long was waited.
        waited: Duration,
    },
    /// The sandbox does not tell who listens: it has no `/proc/net/tcp`.
    #[error("the sandbox has no /proc/net/tcp, which tells whether something listens on port {0}")]
    PortUnknown(u16),
}
