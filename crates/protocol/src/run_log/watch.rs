use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Entry, Found, LogId, Logged, Position, Reader, ReaderStep};

/// Watches the log of a run until its last entry is the end: for who does not want to know what it says.
///
/// Behind an end a claim may stand, of a successor that has not come to write the end again. A [`Reader`] is over there; whoever looks at
/// the last entry only, as all do who take a turn, is not. So this waits until somebody has written it.
#[derive(Debug)]
pub struct Watch {
    log: LogId,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// What the last entry is.
    Looking,
    /// And whether it was told that nobody seems to write.
    Watching(Box<Reader>, bool),
    /// The store has not responded.
    Pausing,
    Over,
}

/// What a [`Watch`] wants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
// Deliberately exhaustive: the fields of its variants, since a driver must heed all of them.
pub enum WatchStep {
    /// Read the last entry of the log: [`Watch::handle_last`].
    Last,
    /// Read what stands above this position, and wait for it so long: [`Watch::handle_page`].
    Read {
        /// The position.
        after: Position,
        /// How long to wait where there is nothing.
        wait: Duration,
    },
    /// Nobody seems to write any more: whoever can should [take over](super::Recorder::take_over) behind this position. Poll again.
    TakeOver {
        /// The last position that was read.
        after: Position,
    },
    /// Poll again when so much time has passed.
    Wait(Duration),
    /// The run is over, or there is no log of it, or it cannot be read.
    Over,
}

impl Watch {
    /// Watches the log of this run.
    #[must_use]
    pub fn of(run: &str) -> Self {
        Self {
            log: LogId::run(run),
            phase: Phase::Looking,
        }
    }

    /// Returns the log.
    #[must_use]
    pub fn log(&self) -> &LogId {
        &self.log
    }

    /// What to do next.
    pub fn poll(&mut self, now: Instant) -> WatchStep {
        match &mut self.phase {
            Phase::Looking => WatchStep::Last,
            Phase::Watching(reader, has_told) => match reader.poll(now) {
                ReaderStep::Read { after, wait } => WatchStep::Read { after, wait },
                ReaderStep::TakeOver { after } => {
                    *has_told = true;
                    WatchStep::TakeOver { after }
                }
                ReaderStep::Chunk { .. } | ReaderStep::Over(_) => WatchStep::Over,
            },
            Phase::Pausing => {
                self.phase = Phase::Looking;
                WatchStep::Wait(Duration::from_secs(1))
            }
            Phase::Over => WatchStep::Over,
        }
    }

    /// The last entry of the log.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>) {
        self.phase = match found {
            Found::Some((at, entry)) => behind(at, &entry),
            Found::Nothing => Phase::Over,
            Found::Unavailable => Phase::Pausing,
        };
    }

    /// What stands above the position that was asked for: nothing if the wait is over.
    pub fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>, now: Instant) {
        match (found, &mut self.phase) {
            (Found::Some(entries), Phase::Watching(reader, has_told)) => match entries.last() {
                Some((at, entry)) => self.phase = behind(*at, entry),
                // What was read, as what an instance has recorded without the store, may not be where it goes on.
                None if *has_told => self.phase = Phase::Looking,
                None => reader.handle_page(entries, now),
            },
            (Found::Unavailable, _) => self.phase = Phase::Pausing,
            (_, _) => self.phase = Phase::Over,
        }
    }
}

fn behind(at: Position, entry: &Bytes) -> Phase {
    match Logged::decode(entry) {
        Ok(logged) if !matches!(logged.entry, Entry::End(_)) => {
            Phase::Watching(Box::new(Reader::behind(at, &logged)), false)
        }
        Ok(_) | Err(_) => Phase::Over,
    }
}
