use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Entry, Found, LogId, Logged, Position, Reader, ReaderStep};

/// A watch over the log of a run until its last entry is the end, without reading the answer.
///
/// A claim may follow an end, if a successor could not write the end again. A [`Reader`] stops at the end, but instances that
/// read only the last entry, as all do that take a turn, do not see it. So this waits until the end was written again.
#[derive(Debug)]
pub struct Watch {
    log: LogId,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Reads the last entry.
    Looking,
    /// Watches the log. The flag says whether a take-over was requested.
    Watching(Box<Reader>, bool),
    /// The store has not responded.
    Pausing,
    Over,
}

/// A step that a [`Watch`] requests from its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
// Deliberately exhaustive: a driver must heed all fields of its variants.
pub enum WatchStep {
    /// Read the last entry of the log: [`Watch::handle_last`].
    Last,
    /// Read the entries above this position, waiting for up to `wait`: [`Watch::handle_page`].
    Read {
        /// The position.
        after: Position,
        /// The longest time to wait if there are none.
        wait: Duration,
    },
    /// The log seems to have no writer any more: an instance that can should [take it over](super::Recorder::take_over) after
    /// this position. Poll again.
    TakeOver {
        /// The last position that was read.
        after: Position,
    },
    /// Poll again after this delay.
    Wait(Duration),
    /// The run is over, its log does not exist, or the log cannot be read.
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

    /// Returns the next step.
    pub fn poll(&mut self, now: Instant) -> WatchStep {
        match &mut self.phase {
            Phase::Looking => WatchStep::Last,
            Phase::Watching(reader, has_requested) => match reader.poll(now) {
                ReaderStep::Read { after, wait } => WatchStep::Read { after, wait },
                ReaderStep::TakeOver { after } => {
                    *has_requested = true;
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

    /// Handles the last entry of the log.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>) {
        self.phase = match found {
            Found::Some((at, entry)) => behind(at, &entry),
            Found::Nothing => Phase::Over,
            Found::Unavailable => Phase::Pausing,
        };
    }

    /// Handles the entries above the requested position: none if the wait is over.
    pub fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>, now: Instant) {
        match (found, &mut self.phase) {
            (Found::Some(entries), Phase::Watching(reader, has_requested)) => {
                match entries.last() {
                    Some((at, entry)) => self.phase = behind(*at, entry),
                    // No take-over has followed, so the last entry may come from an instance that recorded without the store. The
                    // log in the store then continues below it, so its last entry is read again.
                    None if *has_requested => self.phase = Phase::Looking,
                    None => reader.handle_page(entries, now),
                }
            }
            (Found::Unavailable, _) => self.phase = Phase::Pausing,
            // The log does not exist any more, so there is nothing to wait for.
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
