use super::super::backlog::Backlog;
use super::super::inheritance::Inheritance;
use super::super::writer::{Append, Writer};
use super::super::{Position, Turn};
use super::RecorderEnd;
use super::waiting::Preparation;

/// The phase of a recorder. State that is not needed while the run is read is boxed: a run is read for minutes, and the recorder
/// should stay small for that time.
#[derive(Debug)]
pub(super) enum Phase {
    /// Reads the last turn of the chat. The run's own log may be claimed already, if somebody else took the turn.
    LookingAtChat {
        claim: Option<Append>,
    },
    /// Checks if the run of the last turn is over. Then all turns are over.
    LookingAtRun {
        at: Position,
        claim: Option<Append>,
        waits: bool,
    },
    /// Finds the turns that are not over.
    LookingBack {
        at: Position,
        claim: Option<Append>,
        backlog: Box<Backlog>,
        open: Vec<String>,
    },
    /// Writes the first claim. It comes before the turn, so that every instance that finds the turn also finds the log.
    Claiming {
        taking: Box<Taking>,
        claim: Append,
    },
    TakingTurn {
        taking: Box<Taking>,
        claim: Append,
        again: u32,
    },
    /// Waits until the run of the previous turn is over.
    Waiting {
        writer: Box<Writer>,
        /// Whether a check for a stop is under way.
        is_looking: bool,
        /// Whether to wait for that run again only after the next beat: its end was reported, but could not be confirmed.
        later: bool,
    },
    /// The turn has come. Checks for a stop, collects the requests to carry along, and finds the place.
    Preparing {
        writer: Box<Writer>,
        preparation: Box<Preparation>,
    },
    /// The place of the run is being created.
    Starting {
        writer: Box<Writer>,
    },
    /// The place is being written.
    NotingPlace {
        writer: Box<Writer>,
    },
    /// The messages are being sent.
    Sending {
        writer: Box<Writer>,
    },
    /// The start of the run is being written.
    Noting {
        writer: Box<Writer>,
    },
    /// Checks if the run should stop.
    LookingForStop {
        writer: Box<Writer>,
        again: u32,
    },
    Writing {
        writer: Box<Writer>,
    },
    /// Writes a later claim.
    TakingOver {
        claim: Append,
    },
    Inheriting {
        claim: Append,
        inheritance: Box<Inheritance>,
        /// The number of retries for a page.
        again: u32,
    },
    /// The run that is taken over was not started. Checks if its turn waits.
    FindingTurn {
        writer: Box<Writer>,
        backlog: Box<Backlog>,
    },
    Over(RecorderEnd),
}

/// A turn that is being taken.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) at: Position,
    pub(super) turn: Turn,
    /// The runs before it that are not over, latest first.
    pub(super) open: Vec<String>,
}

impl Phase {
    pub(super) fn writer(&self) -> Option<&Writer> {
        match self {
            Self::Waiting { writer, .. }
            | Self::Preparing { writer, .. }
            | Self::Starting { writer }
            | Self::NotingPlace { writer }
            | Self::Sending { writer }
            | Self::Noting { writer }
            | Self::LookingForStop { writer, .. }
            | Self::Writing { writer } => Some(writer),
            _ => None,
        }
    }

    pub(super) fn writer_mut(&mut self) -> Option<&mut Writer> {
        match self {
            Self::Waiting { writer, .. }
            | Self::Preparing { writer, .. }
            | Self::Starting { writer }
            | Self::NotingPlace { writer }
            | Self::Sending { writer }
            | Self::Noting { writer }
            | Self::LookingForStop { writer, .. }
            | Self::Writing { writer } => Some(writer),
            _ => None,
        }
    }

    /// Returns the writer in the phases in which it is polled: not while a query decides whether the run is started or stopped.
    pub(super) fn writing(&mut self) -> Option<&mut Writer> {
        match self {
            Self::Preparing { .. } | Self::LookingForStop { .. } => None,
            phase => phase.writer_mut(),
        }
    }

    /// Returns whether a run may be starting that is not in the log yet.
    pub(super) fn is_starting(&self) -> bool {
        matches!(
            self,
            Self::Starting { .. } | Self::NotingPlace { .. } | Self::Sending { .. }
        )
    }
}
