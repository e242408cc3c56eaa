use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::walk::Walk;
use super::{Claim, Ended, Entry, EntryError, Logged, Position};
use crate::runs::RunRef;

/// A reader of a run's log: it returns the chunks, from any of them on, and notices when the log has no writer any more.
///
/// ```text
///   Read ──► handle_page ──► Chunk, Chunk, … ──► Read …          until Over
///     │ nothing for three beats, or Release as the last entry
///     └────► TakeOver: an instance that can should claim the log; the reader continues
/// ```
#[derive(Debug)]
pub struct Reader {
    walk: Walk,
    entries: VecDeque<(Position, Bytes)>,
    /// The chunks of the current entry.
    current: VecDeque<Bytes>,
    /// The number of the next chunk in the log.
    next: u64,
    /// The number of the first chunk to return.
    first: u64,
    claim: Option<Claim>,
    run: Option<RunRef>,
    has_overflowed: bool,
    /// The time for which reads have found nothing.
    silence: Duration,
    /// Whether the last entry releases the log.
    is_released: bool,
    /// Whether a take-over was requested since the last read.
    has_requested: bool,
    /// The time of the read that is under way.
    asked: Option<Instant>,
    /// Boxed: set only at the end, so it should not enlarge the reader before.
    over: Option<Box<ReaderEnd>>,
}

/// A step that a [`Reader`] requests from its driver.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
// Deliberately exhaustive: a driver must heed all fields of its variants.
pub enum ReaderStep {
    /// Read the entries above this position, waiting for up to `wait`: [`Reader::handle_page`] or [`Reader::handle_missing`].
    Read {
        /// The position.
        after: Position,
        /// The longest time to wait if there are none.
        wait: Duration,
    },
    /// The next chunk of the answer.
    Chunk {
        /// The number of the chunk; the first is 0.
        index: u64,
        /// The chunk as JSON, on one line.
        json: Bytes,
    },
    /// The log seems to have no writer any more: an instance that can should [take it over](super::Recorder::take_over) after
    /// this position. Poll again; the reader reads on.
    TakeOver {
        /// The last position that was read.
        after: Position,
    },
    /// Nothing more comes.
    Over(ReaderEnd),
}

/// The way in which reading a log ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ReaderEnd {
    /// The run is over, and all of its chunks were read.
    Ended(Ended),
    /// The run is over, and the rest of its chunks exceeded the log's size limit: they are in the stored answer.
    Overflowed(Ended),
    /// The log has vanished.
    Missing,
    /// An entry cannot be read.
    Unreadable(EntryError),
}

impl Reader {
    /// The time without entries after which another instance should take over: three beats.
    pub const SILENCE: Duration = Duration::from_secs(15);

    /// The time for which one read waits.
    pub const WAIT: Duration = Duration::from_secs(5);

    /// Creates a reader that returns the chunks from this one on; the first is 0.
    #[must_use]
    pub fn from(first: u64) -> Self {
        Self {
            walk: Walk::default(),
            entries: VecDeque::new(),
            current: VecDeque::new(),
            next: 0,
            first,
            claim: None,
            run: None,
            has_overflowed: false,
            silence: Duration::ZERO,
            is_released: false,
            has_requested: false,
            asked: None,
            over: None,
        }
    }

    /// Creates a reader that watches a log after its last entry, to see if it still has a writer. It returns no chunks.
    #[must_use]
    pub fn behind(at: Position, last: &Logged) -> Self {
        // It has not read the log from its start, so it could not number chunks.
        let mut this = Self::from(u64::MAX);
        this.walk = Walk::behind(at, last.chunks_after());
        match &last.entry {
            Entry::End(ended) => this.over = Some(Box::new(ReaderEnd::Ended(ended.clone()))),
            Entry::Release => this.is_released = true,
            _ => {}
        }
        this
    }

    /// Creates a reader from entries that were read already. It knows the run and the claim, and skips the chunks.
    ///
    /// # Errors
    /// Returns an error if an entry cannot be read.
    pub fn glance(
        entries: impl IntoIterator<Item = (Position, Bytes)>,
    ) -> Result<Self, EntryError> {
        let mut this = Self::from(0);
        for (at, entry) in entries {
            this.entry(at, &entry)?;
            this.current.clear();
        }
        Ok(this)
    }

    /// Returns the position of the last entry that was read.
    #[must_use]
    pub fn at(&self) -> Position {
        self.walk.at()
    }

    /// Returns the run, once its start was read.
    #[must_use]
    pub fn run(&self) -> Option<&RunRef> {
        self.run.as_ref()
    }

    /// Returns the last claim that was read: the writer, and the chat.
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// Returns the next step.
    pub fn poll(&mut self, now: Instant) -> ReaderStep {
        loop {
            if let Some(json) = self.current.pop_front() {
                let index = self.next;
                self.next += 1;
                if index < self.first {
                    continue;
                }
                return ReaderStep::Chunk { index, json };
            }
            if let Some(end) = &self.over {
                return ReaderStep::Over((**end).clone());
            }
            if let Some((at, entry)) = self.entries.pop_front() {
                if let Err(error) = self.entry(at, &entry) {
                    self.over = Some(Box::new(ReaderEnd::Unreadable(error)));
                }
                continue;
            }
            // A release is reported after every read, and silence after every further 15 s: a take-over may come to nothing.
            let is_free = self.is_released && !self.has_requested;
            if is_free || self.silence >= Self::SILENCE {
                self.has_requested = true;
                self.silence = Duration::ZERO;
                return ReaderStep::TakeOver {
                    after: self.walk.at(),
                };
            }
            self.asked = Some(now);
            return ReaderStep::Read {
                after: self.walk.at(),
                wait: Self::WAIT,
            };
        }
    }

    fn entry(&mut self, at: Position, entry: &Bytes) -> Result<(), EntryError> {
        // A release counts only as the last entry: any later one shows that somebody writes again.
        self.is_released = false;
        match self.walk.next(at, entry)? {
            Entry::Data(chunks) => self.current.extend(chunks.iter()),
            Entry::Claim(claim) => self.claim = Some(claim),
            Entry::Started(run) => self.run = Some(run),
            Entry::Overflow => self.has_overflowed = true,
            Entry::End(ended) => {
                self.over = Some(Box::new(match self.has_overflowed {
                    true => ReaderEnd::Overflowed(ended),
                    false => ReaderEnd::Ended(ended),
                }));
                // Everything after the end is ignored: a successor may have written it again.
                self.entries.clear();
            }
            Entry::Release => self.is_released = true,
            // `Starting` and `Beat` say nothing to a reader. The walk rejects all other kinds.
            _ => {}
        }
        Ok(())
    }

    /// Handles the entries above the requested position: none if the wait is over.
    pub fn handle_page(&mut self, entries: Vec<(Position, Bytes)>, now: Instant) {
        // Only the result of the requested read counts.
        let Some(asked) = self.asked.take() else {
            return;
        };
        self.has_requested = false;
        if entries.is_empty() {
            // At most the wait is counted: a suspended process measures a longer time, in which the log need not have been silent.
            self.silence += now.saturating_duration_since(asked).min(Self::WAIT);
        } else {
            self.silence = Duration::ZERO;
        }
        self.entries.extend(entries);
    }

    /// Handles a log that does not exist any more.
    pub fn handle_missing(&mut self) {
        self.asked = None;
        self.over
            .get_or_insert_with(|| Box::new(ReaderEnd::Missing));
    }
}
