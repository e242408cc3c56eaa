use super::super::inheritance::Inheritance;
use super::super::line::Line;
use super::super::writer::{Append, Writer};
use super::super::{Position, Turn};
use super::RecorderEnd;
use super::waiting::Passing;

/// Where a recorder is. What is needed before the run is read, or instead, is boxed: a run is read for minutes.
#[derive(Debug)]
pub(super) enum Phase {
    /// What the last turn of the chat is. A claim of the own log may stand already, where the turn was taken by somebody else.
    LookingAtChat {
        claim: Option<Append>,
    },
    /// Whether the run of the last turn is over, and with it all before.
    LookingAtRun {
        at: Position,
        claim: Option<Append>,
        waits: bool,
    },
    /// Which turns are not over.
    LookingBack {
        at: Position,
        claim: Option<Append>,
        line: Box<Line>,
        open: Vec<String>,
    },
    /// The first claim. It comes before the turn, so that whoever finds the turn finds the log.
    Claiming {
        taking: Box<Taking>,
        claim: Append,
    },
    TakingTurn {
        taking: Box<Taking>,
        claim: Append,
        again: u32,
    },
    /// For the end of the run before it.
    Waiting {
        writer: Box<Writer>,
        /// Whether it was asked, and not heard yet, whether it is to stop.
        is_looking: bool,
        /// Whether to begin to wait with the next beat: what was waited for was over, and nobody could tell what follows.
        later: bool,
    },
    /// Its turn has come: whether it is to stop, what it carries along, and where it takes place.
    Passing {
        writer: Box<Writer>,
        passing: Box<Passing>,
    },
    /// It is being given its place.
    Starting {
        writer: Box<Writer>,
    },
    /// The place is being written.
    NotingPlace {
        writer: Box<Writer>,
    },
    /// Its messages are being sent.
    Sending {
        writer: Box<Writer>,
    },
    /// The start of the run is being written.
    Noting {
        writer: Box<Writer>,
    },
    /// Whether somebody wants it to stop.
    LookingForStop {
        writer: Box<Writer>,
        again: u32,
    },
    Writing {
        writer: Box<Writer>,
    },
    /// A later claim.
    TakingOver {
        claim: Append,
    },
    Inheriting {
        claim: Append,
        inheritance: Box<Inheritance>,
        /// How often a page is asked for again.
        again: u32,
    },
    /// What is taken over was not started: whether it waits.
    FindingTurn {
        writer: Box<Writer>,
        line: Box<Line>,
    },
    Over(RecorderEnd),
}

/// A turn that is being taken.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) at: Position,
    pub(super) turn: Turn,
    /// The runs before it that are not over, the nearest first.
    pub(super) open: Vec<String>,
}

impl Phase {
    pub(super) fn writer(&self) -> Option<&Writer> {
        match self {
            Self::Waiting { writer, .. }
            | Self::Passing { writer, .. }
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
            | Self::Passing { writer, .. }
            | Self::Starting { writer }
            | Self::NotingPlace { writer }
            | Self::Sending { writer }
            | Self::Noting { writer }
            | Self::LookingForStop { writer, .. }
            | Self::Writing { writer } => Some(writer),
            _ => None,
        }
    }

    /// Whoever writes, where that goes on beside what else is done.
    pub(super) fn writing(&mut self) -> Option<&mut Writer> {
        match self {
            Self::Passing { .. } | Self::LookingForStop { .. } => None,
            phase => phase.writer_mut(),
        }
    }

    /// Whether a run may exist soon of which nobody knows yet.
    pub(super) fn is_starting(&self) -> bool {
        matches!(
            self,
            Self::Starting { .. } | Self::NotingPlace { .. } | Self::Sending { .. }
        )
    }
}
