use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::ProcessId;

/// The state of a spawned process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
#[non_exhaustive]
pub enum ProcessState {
    /// It is being started.
    Starting,
    /// It is running.
    Running,
    /// It has ended.
    Exited(ExitStatus),
    /// Its end was not recorded: its machine has restarted, or its supervisor was killed.
    Gone,
}

/// The exit status of a spawned process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExitStatus {
    /// The exit code, as a shell reports it: 128 plus the signal's number for a process that was killed.
    pub code: i32,
    /// Whether its [time limit](super::Spawn::timeout) expired.
    #[serde(default)]
    pub timed_out: bool,
}

impl ExitStatus {
    /// Creates the status of a process that has ended with this code.
    pub fn new(code: i32) -> Self {
        Self {
            code,
            timed_out: false,
        }
    }

    /// Returns whether the exit code is 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// Returns the exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.signal().is_none().then_some(self.code)
    }

    /// Returns the signal that ended it: 15 for SIGTERM, 9 for SIGKILL.
    ///
    /// A shell reports a signal as a code from 129 to 192. A command that returns such a code itself looks the same, such as a
    /// `bash -c` whose own child was killed.
    pub fn signal(&self) -> Option<i32> {
        matches!(self.code, 129..=192).then(|| self.code - 128)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signal() {
            Some(signal) => write!(f, "signal {signal}")?,
            None => write!(f, "exit code {}", self.code)?,
        }
        if self.timed_out {
            f.write_str(" after its time limit")?;
        }
        Ok(())
    }
}

/// The description of a spawned process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its id.
    pub id: ProcessId,
    /// Its state.
    pub state: ProcessState,
    /// The first 4 KiB of the command.
    pub command: String,
    /// The number of the process on its machine, which is also its group's; `None` if it has not begun.
    pub pid: Option<u32>,
    /// The start time, by the clock of the machine.
    pub started_at: Option<SystemTime>,
}
