//! The state machines that an instance drives.

use twentyfirst_protocol::run_log::register::{Duty, Register, Supervisor};
use twentyfirst_protocol::run_log::{LogId, Recorder};

pub(crate) enum Machine {
    Finder(Supervisor),
    Register(Box<Register>),
    Duty {
        duty: Box<Duty>,
        /// The recorder that it waits for.
        recorder: Option<usize>,
    },
    Recorder(Box<Recording>),
}

pub(crate) struct Recording {
    pub(crate) recorder: Recorder,
    pub(crate) run: String,
    /// The duty that waits for it.
    pub(crate) duty: Option<usize>,
    pub(crate) is_over: bool,
    /// Whether its place is not in a register yet.
    pub(crate) waits_for_place: bool,
    pub(crate) was_alone: bool,
}

impl Machine {
    pub(crate) fn finder() -> Self {
        Self::Finder(Supervisor::new())
    }

    /// Returns whether it is a recorder of this log that is still running.
    pub(crate) fn records(&self, log: &LogId) -> bool {
        let Self::Recorder(recording) = self else {
            return false;
        };
        !recording.is_over && !recording.recorder.is_alone() && LogId::run(&recording.run) == *log
    }
}
