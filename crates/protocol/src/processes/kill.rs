use std::time::Duration;

use super::process_ref::tenths;
use super::{ExitStatus, ProcessError, ProcessRef, ProcessState, ScriptFlow};
use crate::error::{InvalidRequest, Problem};
use crate::options::CallOptions;
use crate::setters::setters;

/// The default time between SIGTERM and SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// The longest grace time. It leaves room for the `exec` that runs the script, which ends after 10 minutes.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// Ends a process with its group: sends SIGTERM, and then SIGKILL if a member of the group is still alive after the grace time.
///
/// If the process has already ended, the flow returns its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KillProcess {
    /// The process.
    pub process: ProcessRef,
    /// The time between the signals: 5 s by default, at most 5 minutes.
    pub grace: Duration,
}

impl KillProcess {
    /// Creates the operation for this process.
    pub fn new(process: ProcessRef) -> Self {
        Self {
            process,
            grace: GRACE,
        }
    }

    /// Returns the [flow](super#flows) that ends it.
    ///
    /// # Errors
    /// Returns an error if the grace time exceeds 5 minutes.
    pub fn flow(
        &self,
        options: &CallOptions,
        seed: u64,
    ) -> Result<ScriptFlow<ExitStatus>, InvalidRequest> {
        if self.grace > LONGEST {
            let rule = Problem::MustBe("at most 5 minutes");
            return Err(InvalidRequest::new("grace", rule));
        }
        let id = self.process.id.clone();
        let script = self
            .process
            .script("stop", &[&tenths(self.grace)], self.grace);
        ScriptFlow::new(script, options, seed, move |reply| {
            match reply.state(&id)? {
                ProcessState::Exited(status) => Ok(status),
                ProcessState::Gone => Err(ProcessError::Gone(id.clone())),
                ProcessState::Running => Err(ProcessError::Running(id.clone())),
                ProcessState::Starting => Err(ProcessError::NotStarted(id.clone())),
            }
        })
    }
}

setters! {
    KillProcess, kill_process_setters;

    /// Sets the time between the signals, in steps of 0.1 s: 5 s by default, at most 5 minutes. With 0, SIGKILL is sent at once,
    /// without SIGTERM.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}
