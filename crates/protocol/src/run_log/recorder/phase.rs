use super::super::Position;
use super::super::inheritance::Inheritance;
use super::super::writer::{Append, Writer};
use super::RecorderEnd;
use crate::runs::RunRef;

/// Where a recorder is.
#[derive(Debug)]
pub(super) enum Phase {
    LookingAtChat,
    /// Whether the run of the last turn is over.
    LookingAtRun {
        turn: Position,
    },
    /// The first claim. It comes before the turn, so that whoever finds the turn finds the log.
    Claiming {
        turn: Position,
        claim: Append,
    },
    TakingTurn {
        append: Append,
        claim: Append,
        again: u32,
    },
    Starting {
        writer: Box<Writer>,
    },
    /// The start of the run is being written.
    Noting {
        writer: Box<Writer>,
        run: RunRef,
    },
    /// Whether somebody wants it to stop.
    LookingForStop {
        writer: Box<Writer>,
        run: RunRef,
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
        inheritance: Inheritance,
        /// How often a page is asked for again.
        again: u32,
    },
    Over(RecorderEnd),
}

impl Phase {
    pub(super) fn writer(&self) -> Option<&Writer> {
        match self {
            Self::Starting { writer }
            | Self::Noting { writer, .. }
            | Self::LookingForStop { writer, .. }
            | Self::Writing { writer } => Some(writer),
            _ => None,
        }
    }

    pub(super) fn writer_mut(&mut self) -> Option<&mut Writer> {
        match self {
            Self::Starting { writer }
            | Self::Noting { writer, .. }
            | Self::LookingForStop { writer, .. }
            | Self::Writing { writer } => Some(writer),
            _ => None,
        }
    }
}
