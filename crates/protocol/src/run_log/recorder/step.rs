use std::time::Instant;

use super::super::{Append, EntryError, LogId, Position};
#[cfg(doc)]
use super::super::{Recording, Watch};
#[cfg(doc)]
use super::Recorder;
use crate::runs::RunRef;
use crate::ui::{Chunk, RawJson};

/// A step that a [`Recorder`] requests from its driver. Each is requested once.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
// Deliberately exhaustive: a driver must heed all fields of its variants.
pub enum RecorderStep {
    /// Read the last entry of this log: [`Recorder::handle_last`].
    Last(LogId),
    /// Read the entries of this log above this position, without waiting: [`Recorder::handle_page`].
    Read(LogId, Position),
    /// Append this to this log: [`Recorder::handle_append`].
    Append(LogId, Append),
    /// Pass this entry to the readers of this instance, and poll again.
    Deliver(Append),
    /// [Watch] the log of this run until it is over, and take it over if nobody records it:
    /// [`Recorder::handle_over`]. Keep polling meanwhile.
    WaitFor(String),
    /// End this run as if a user had stopped it, because it gives way, and poll again at once.
    Stop(String),
    /// Create the place of the run, a sandbox and a thread: [`Recorder::handle_placed`] or [`Recorder::handle_not_started`].
    Start {
        /// The place of the previous turn, for a run that names no place of its own.
        place: Option<RunRef>,
        /// The requests of the turns that it has cancelled, oldest first. They are sent again together with this one.
        carried: Vec<RawJson<'static>>,
    },
    /// Send the messages: [`Recorder::handle_started`] or [`Recorder::handle_not_started`]. This comes at most once, after
    /// [`Start`](Self::Start).
    Send,
    /// Follow this run after these chunks, and [push](Recorder::push) the next ones.
    Follow(RunRef, Vec<Chunk<'static>>),
    /// Cancel this run, and poll again at once: a request to stop it came while it was starting.
    Cancel(RunRef),
    /// Poll again after the next event, or at this instant.
    Wait {
        /// The instant.
        until: Option<Instant>,
    },
    /// Nothing more is recorded.
    Over(RecorderEnd),
}

/// The way in which recording ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecorderEnd {
    /// The chat is answering another turn. Nothing was started.
    Busy,
    /// The chat is answering, and the [limit](Recording::order) of waiting turns is reached. Nothing was started.
    Full,
    /// The chat may be answering, and an entry of its earlier turns cannot be read, so the turn has no known place in the queue.
    /// Nothing was started.
    ChatUnreadable(EntryError),
    /// The end of the run is in the log.
    Ended,
    /// The log was released; the run goes on.
    Released,
    /// Another instance records the run.
    Fenced,
    /// The log has vanished or cannot be reached, so it cannot be taken over.
    Gone,
    /// An entry cannot be read, after the run has taken its turn. It may wait, go on or be over.
    Unreadable(EntryError),
}

/// The result of a read from the store.
///
/// Deliberately exhaustive: a driver must distinguish these three cases, and there are no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// The value that was found.
    Some(T),
    /// There is no such log.
    Nothing,
    /// The store does not respond.
    Unavailable,
}
