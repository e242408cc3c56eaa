use std::time::Instant;

use super::super::{Append, EntryError, LogId, Position};
#[cfg(doc)]
use super::super::{Recording, Watch};
#[cfg(doc)]
use super::Recorder;
use crate::runs::RunRef;
use crate::ui::{Chunk, RawJson};

/// What a [`Recorder`] wants. Each is told of once.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
// Deliberately exhaustive: the fields of its variants, since a driver must heed all of them.
pub enum RecorderStep {
    /// Read the last entry of this log: [`Recorder::handle_last`].
    Last(LogId),
    /// Read what stands in this log above this position, without waiting: [`Recorder::handle_page`].
    Read(LogId, Position),
    /// Append this to this log: [`Recorder::handle_append`].
    Append(LogId, Append),
    /// Give this to the readers of this instance, and poll again.
    Deliver(Append),
    /// [Watch] the log of this run until it is over, and take it over where nobody records it: [`Recorder::handle_over`]. Poll on
    /// meanwhile.
    WaitFor(String),
    /// Have this run end, as if somebody had asked for it, and poll again at once: it gives way.
    Stop(String),
    /// Give the run its place, a sandbox and a thread: [`Recorder::handle_placed`] or [`Recorder::handle_not_started`].
    Start {
        /// Where the turn before it took place: for a run that names no place of its own.
        place: Option<RunRef>,
        /// What the turns that it has ended had asked, the oldest first: it is asked again with this one.
        carried: Vec<RawJson<'static>>,
    },
    /// Send the messages: [`Recorder::handle_started`] or [`Recorder::handle_not_started`]. It comes at most once, behind
    /// [`Start`](Self::Start).
    Send,
    /// Follow this run behind these chunks, and [push](Recorder::push) what comes.
    Follow(RunRef, Vec<Chunk<'static>>),
    /// Cancel this run, and poll again at once: somebody has asked for it while it was starting.
    Cancel(RunRef),
    /// Poll again when something has come, or at this moment.
    Wait {
        /// The moment.
        until: Option<Instant>,
    },
    /// Nothing more is recorded.
    Over(RecorderEnd),
}

/// How recording has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecorderEnd {
    /// The chat is answering another turn. Nothing was started.
    Busy,
    /// The chat is answering, and as many turns wait as [may](Recording::order). Nothing was started.
    Full,
    /// The end of the run stands in the log.
    Ended,
    /// The log was let go; the run goes on.
    Released,
    /// Another instance records this run.
    Fenced,
    /// The log has vanished, or cannot be reached: it cannot be taken over.
    Gone,
    /// An entry cannot be read.
    Unreadable(EntryError),
}

/// What was found of a log.
///
/// Deliberately exhaustive: whoever reads a store must tell these three apart, and there is nothing else to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// This.
    Some(T),
    /// There is no such log.
    Nothing,
    /// The store does not respond.
    Unavailable,
}
