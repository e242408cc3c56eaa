use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::block::Block;
use super::register::Noted;
use super::{Ended, Entry, Keep, Logged, Position, Reader};
use crate::runs::RunRef;
use crate::ui::Chunk;

/// The writer of a run's log.
///
/// ```text
///   push ─► block ─► queue ─► in flight ──── appended ────► delivered
///                                │  unavailable: retry, for up to 5 s
///                                ├─ vanished, full, unavailable for longer ─► delivered without the store
///                                └─ fenced ─► over: another instance has claimed the run
/// ```
///
/// One entry is in flight at a time, so no entry can be accepted after one that was refused. Chunks that arrive meanwhile go into
/// the next block. **An entry is delivered only after it was appended**: a browser has never seen anything that a successor does
/// not know.
#[derive(Debug)]
pub(super) struct Writer {
    /// The position of the next entry.
    next: Position,
    /// The number of chunks before the next entry.
    chunks: u64,
    /// The number of bytes of chunks in the log.
    bytes: usize,
    block: Block,
    queue: VecDeque<Entry>,
    in_flight: Option<InFlight>,
    /// The time of the last entry that was begun.
    last_entry: Option<Instant>,
    /// The time of the last entry that is in the store.
    last_appended: Option<Instant>,
    store: Store,
    limits: Arc<Limits>,
    has_overflowed: bool,
    /// Whether the log is closed for further entries.
    is_closed: bool,
    /// The way in which writing ended, once it has.
    ended: Option<WriterEnd>,
}

/// The limits of a writer, in bytes and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The time for which chunks wait to be logged together: 20 ms. The first chunk after a pause does not wait.
    pub block_time: Duration,
    /// The number of bytes of chunks that are logged without waiting: 16 KiB.
    pub block_size: usize,
    /// The bytes that may wait for the store before reading the run should pause: 256 KiB.
    pub unacknowledged: usize,
    /// The bytes of chunks that a log holds: 32 MiB. Beyond that it overflows.
    pub log_size: usize,
    /// The time without entries after which a beat is written: 5 s.
    pub beat: Duration,
    /// The time for which a store may be unavailable before the run continues without it: 5 s.
    pub patience: Duration,
    /// The time for which the log of a running run is kept: 10 min from each entry.
    pub live_ttl: Duration,
    /// The time for which the log is kept when the run is over: 5 min.
    pub ended_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_time: Duration::from_millis(20),
            block_size: 16 * 1024,
            unacknowledged: 256 * 1024,
            log_size: 32 * 1024 * 1024,
            beat: Duration::from_secs(5),
            patience: Duration::from_secs(5),
            live_ttl: Duration::from_secs(10 * 60),
            ended_ttl: Duration::from_secs(5 * 60),
        }
    }
}

/// An entry on its way into a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Append {
    /// The position of the entry.
    pub at: Position,
    /// The encoded entry.
    pub entry: Bytes,
    /// The way in which the store keeps the log from then on.
    pub keep: Keep,
}

impl Append {
    /// Creates an append at this position.
    #[must_use]
    pub const fn new(at: Position, entry: Bytes, keep: Keep) -> Self {
        Self { at, entry, keep }
    }
}

/// The result of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Appended {
    /// The entry is in the log.
    Yes,
    /// There is an entry at or above this position: another writer has claimed the log.
    Fenced,
    /// The log does not exist, or not any more.
    Missing,
    /// The store has no space.
    Full,
    /// The store does not respond. The entry may be in the log.
    Unavailable,
}

/// A step that a [`Writer`] requests from its driver.
#[derive(Debug)]
pub(super) enum WriterStep {
    /// Append this to the log of the run in the store: [`Writer::handle_append`].
    Append(Append),
    /// Pass this to the readers of this instance, and poll again.
    Deliver {
        /// The append.
        append: Append,
        /// The event in it that others wait for.
        mark: Mark,
    },
    /// Poll again after the next push, or at this instant.
    Wait {
        /// The instant.
        until: Option<Instant>,
    },
    /// Nothing more is written.
    Over(WriterEnd),
}

/// The event in an entry, besides chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Beat,
    /// The run is about to start.
    Starting,
    /// The run has started.
    Started,
}

impl Mark {
    fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Beat => Self::Beat,
            Entry::Starting(_) => Self::Starting,
            Entry::Started(_) => Self::Started,
            _ => Self::None,
        }
    }
}

/// The way in which writing ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum WriterEnd {
    /// The end of the run was written.
    Ended,
    /// The run goes on, and its log was released.
    Released,
    /// Somebody else has claimed the log.
    Fenced,
}

#[derive(Debug)]
struct InFlight {
    append: Append,
    mark: Mark,
    last: Option<WriterEnd>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Ready to be appended, now or at this instant.
    Ready(Option<Instant>),
    Sent,
    Appended,
}

/// The state of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Responds,
    /// It has not responded since then.
    Silent {
        since: Instant,
        pause: Duration,
    },
    /// The run continues without it.
    GivenUp,
}

impl Writer {
    /// Creates a writer after a claim at this position, and after so many chunks of so many bytes.
    pub(super) fn behind(claim: Position, chunks: u64, bytes: usize, limits: Arc<Limits>) -> Self {
        Self {
            next: claim.next(),
            chunks,
            bytes,
            block: Block::default(),
            queue: VecDeque::new(),
            in_flight: None,
            last_entry: None,
            last_appended: None,
            store: Store::Responds,
            limits,
            has_overflowed: false,
            is_closed: false,
            ended: None,
        }
    }

    /// Marks the log as overflowed already.
    pub(super) fn overflowed(mut self, has_overflowed: bool) -> Self {
        self.has_overflowed = has_overflowed;
        self
    }

    /// Continues without the store.
    pub(super) fn without_store(mut self) -> Self {
        self.store = Store::GivenUp;
        self
    }

    /// Returns whether the store was given up, so that other instances know nothing of later entries.
    pub(super) fn is_alone(&self) -> bool {
        self.store == Store::GivenUp
    }

    /// Returns whether so much waits for the store that reading the run should pause.
    pub(super) fn is_full(&self) -> bool {
        let in_flight = self
            .in_flight
            .as_ref()
            .map_or(0, |flying| flying.append.entry.len());
        let queued = self.queue.iter().map(|entry| match entry {
            Entry::Data(chunks) => chunks.lines().len(),
            _ => 0,
        });
        in_flight + queued.sum::<usize>() + self.block.size() >= self.limits.unacknowledged
    }

    pub(super) fn starting(&mut self, run: RunRef) {
        self.entry(Entry::Starting(run));
    }

    pub(super) fn started(&mut self, run: RunRef) {
        self.entry(Entry::Started(run));
    }

    /// Writes these changes to a register.
    pub(super) fn note(&mut self, noted: Noted) {
        self.entry(Entry::Noted(noted));
    }

    /// Returns whether nothing waits for the store.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.queue.is_empty()
    }

    pub(super) fn push(&mut self, chunk: &Chunk<'_>) {
        // After an overflow the answer has a hole, so later chunks would be of no use.
        if !self.is_closed && !self.has_overflowed {
            self.block.push(chunk);
        }
    }

    pub(super) fn end(&mut self, ended: Ended) {
        self.entry(Entry::End(ended));
        self.is_closed = true;
    }

    pub(super) fn release(&mut self) {
        self.entry(Entry::Release);
        self.is_closed = true;
    }

    fn entry(&mut self, entry: Entry) {
        // An end or a release is the last entry.
        if self.is_closed {
            return;
        }
        // The chunks so far come before the entry.
        self.close_block();
        self.queue.push_back(entry);
    }

    fn close_block(&mut self) {
        if !self.block.is_empty() {
            self.queue.push_back(Entry::Data(self.block.take()));
        }
    }

    pub(super) fn handle_append(&mut self, appended: Appended, now: Instant) {
        let Some(flying) = &mut self.in_flight else {
            return;
        };
        match appended {
            Appended::Yes => {
                // The next silence of the store has its whole time again.
                self.store = Store::Responds;
                flying.state = State::Appended;
                self.last_appended = self.last_entry;
            }
            Appended::Fenced => {
                // The entry is not delivered: this instance's readers get what the other instance writes.
                self.in_flight = None;
                self.ended = Some(WriterEnd::Fenced);
            }
            // A log that has vanished is never created again, since it would lack its beginning.
            Appended::Missing | Appended::Full => self.give_up(),
            Appended::Unavailable => {
                // The entry may be in the log. Appending it again is safe: the store accepts a repetition at the same position.
                let (since, pause) = match self.store {
                    Store::Silent { since, pause } => (since, (pause * 2).min(LONGEST_PAUSE)),
                    _ => (now, FIRST_PAUSE),
                };
                // The next attempt would come too late, so waiting for it would only delay the readers.
                if now.saturating_duration_since(since) + pause > self.limits.patience {
                    self.give_up();
                } else {
                    flying.state = State::Ready(Some(now + pause));
                    self.store = Store::Silent { since, pause };
                }
            }
        }
    }

    fn give_up(&mut self) {
        self.store = Store::GivenUp;
        if let Some(flying) = &mut self.in_flight {
            flying.state = State::Appended;
        }
    }

    pub(super) fn poll(&mut self, now: Instant) -> WriterStep {
        loop {
            if let Some(flying) = &mut self.in_flight {
                match flying.state {
                    State::Ready(Some(until)) if now < until => {
                        return WriterStep::Wait { until: Some(until) };
                    }
                    State::Ready(_) => {
                        flying.state = State::Sent;
                        // The append is kept, since a retry must repeat it byte for byte.
                        return WriterStep::Append(flying.append.clone());
                    }
                    // Nothing else is sent meanwhile: if this append is fenced, no later entry may be in the log.
                    State::Sent => return WriterStep::Wait { until: None },
                    State::Appended => {
                        if let Some(flying) = self.in_flight.take() {
                            self.ended = flying.last;
                            return WriterStep::Deliver {
                                append: flying.append,
                                mark: flying.mark,
                            };
                        }
                    }
                }
            }
            if let Some(end) = self.ended {
                return WriterStep::Over(end);
            }
            let due = match self.next_entry(now) {
                Ok(entry) => {
                    self.begin(entry, now);
                    continue;
                }
                Err(due) => due,
            };
            return WriterStep::Wait { until: Some(due) };
        }
    }

    /// Returns the next entry to write, or the time to look again.
    fn next_entry(&mut self, now: Instant) -> Result<Entry, Instant> {
        // All times count from the last entry, so the first chunk after a pause does not wait.
        let last_entry = self.last_entry;
        let since = |pause: Duration| last_entry.map_or(now, |last| last + pause);
        if let Some(entry) = self.queue.pop_front() {
            if self.queue.is_empty() {
                // Chunks are not queued here, and little else is written, so the queue's memory is freed while the run is read.
                self.queue = VecDeque::new();
            }
            return Ok(self.within_limit(entry));
        }
        if !self.block.is_empty() {
            let due = since(self.limits.block_time);
            if now < due && self.block.size() < self.limits.block_size {
                return Err(due);
            }
            let entry = Entry::Data(self.block.take());
            return Ok(self.within_limit(entry));
        }
        match since(self.limits.beat) {
            due if now < due => Err(due),
            _ => Ok(Entry::Beat),
        }
    }

    /// Returns whether the last entry is so old that a beat is due.
    pub(super) fn wants_beat(&self, now: Instant) -> bool {
        let last = self.last_entry;
        last.is_none_or(|last| now.saturating_duration_since(last) >= self.limits.beat)
    }

    /// Returns whether others may consider the log abandoned, since its last entry in the store is so old. A log that was never
    /// in the store is unknown to others.
    pub(super) fn may_be_taken_over(&self, now: Instant) -> bool {
        let last = self.last_appended;
        last.is_some_and(|last| now.saturating_duration_since(last) >= Reader::SILENCE)
    }

    /// Returns the entry, or an overflow in its place.
    fn within_limit(&mut self, entry: Entry) -> Entry {
        let Entry::Data(chunks) = &entry else {
            return entry;
        };
        let size = chunks.lines().len();
        if self.bytes + size <= self.limits.log_size {
            self.bytes += size;
            return entry;
        }
        // Readers get the rest of the answer from the relay's stored message, so these chunks can be dropped.
        self.has_overflowed = true;
        self.queue.retain(|entry| !matches!(entry, Entry::Data(_)));
        self.block = Block::default();
        Entry::Overflow
    }

    fn begin(&mut self, entry: Entry, now: Instant) {
        let last = match entry {
            Entry::End(_) => Some(WriterEnd::Ended),
            Entry::Release => Some(WriterEnd::Released),
            _ => None,
        };
        let keep = match last {
            // An ended log is only replayed for late readers, so the store may evict it first.
            Some(WriterEnd::Ended) => Keep::existing(self.limits.ended_ttl).over(),
            _ => Keep::existing(self.limits.live_ttl),
        };
        let mark = Mark::of(&entry);
        let logged = Logged::new(self.chunks, entry);
        self.chunks = logged.chunks_after();
        let append = Append {
            at: self.next,
            entry: logged.encode(),
            keep,
        };
        // The position is taken even if the append is given up, so no later entry can take its place.
        self.next = self.next.next();
        self.last_entry = Some(now);
        self.in_flight = Some(InFlight {
            append,
            mark,
            last,
            state: match self.store {
                // Without the store, entries go straight to the readers of this instance.
                Store::GivenUp => State::Appended,
                _ => State::Ready(None),
            },
        });
    }
}

/// The first delay before an append is retried.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest delay.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
