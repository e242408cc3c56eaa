use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::writer::{Writer, WriterEnd, WriterStep};
use super::super::{
    Append, Appended, Claim, Ended, Entry, EntryError, Found, Keep, Limits, LogId, Logged, Position,
};
use super::{Book, Listed, Noted, Obligation, Placed, REGISTER_TTL, ROSTER_TTL, day};
use crate::flow::Now;
use crate::runs::RunRef;

/// The writer of a register: the runs that this instance is responsible for.
///
/// ```text
///   begin ─► claim ─► list it in the roster of the day ─► writing ─► End, when it is retired and nothing is open
///   take_over ─► claim ─► read its entries ─► Inherited ──────┘  ├─► Release
///                                                                └─► Over: fenced, or the store has lost it
/// ```
///
/// One append is in flight at a time; changes made meanwhile go into the next one together. If the store does not respond, the
/// append is retried until it does: changes are lost only with this process.
#[derive(Debug)]
pub struct Register {
    id: String,
    phase: Phase,
    book: Book,
    /// The changes that are not in flight yet.
    pending: Noted,
    asks: VecDeque<RegisterStep>,
    /// The last day in whose roster it is listed.
    listed: Option<u64>,
    /// The time before which listing is not tried again.
    list_after: Option<Instant>,
    begun: Option<Instant>,
    /// The number of entries with changes.
    notes: usize,
    is_retired: bool,
    wants_release: bool,
}

#[derive(Debug)]
enum Phase {
    Claiming {
        claim: Append,
    },
    Inheriting {
        claim: Append,
        /// The number of retries for a page.
        again: u32,
    },
    /// Reads the roster of this day, and then writes to it.
    Listing {
        writer: Box<Writer>,
        day: u64,
        is_appending: bool,
    },
    Writing(Box<Writer>),
    Over(RegisterEnd),
}

/// A step that a [`Register`] requests from its driver.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
// Deliberately exhaustive: a driver must heed all fields of its variants.
pub enum RegisterStep {
    /// Read the last entry of this log: [`Register::handle_last`].
    Last(LogId),
    /// Read the entries of this log above this position, without waiting: [`Register::handle_page`].
    Read(LogId, Position),
    /// Append this to this log: [`Register::handle_append`].
    Append(LogId, Append),
    /// These changes are in the register now; poll again.
    Noted(Noted),
    /// These obligations are open in a register that was taken over, and these instances had claimed it before. Create a
    /// [`Duty`](super::Duty) for each, and poll again.
    Inherited {
        /// The open obligations.
        open: Vec<Obligation>,
        /// The instances that have claimed the register before.
        writers: Vec<String>,
    },
    /// Poll again after the next change, or at this instant.
    Wait {
        /// The instant.
        until: Option<Instant>,
    },
    /// Nothing more is written.
    Over(RegisterEnd),
}

/// The way in which writing a register ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterEnd {
    /// Every obligation is closed.
    Closed,
    /// The register was released: others are responsible for its open obligations.
    Released,
    /// Another instance has claimed the register, and is responsible for its open obligations.
    Fenced,
    /// The store has lost the register, or has no space: the open obligations must be opened in another one.
    Failed,
    /// The register cannot be read by this version, and was released.
    Unreadable(EntryError),
}

/// The number of changes, and the time, after which another register should be begun, so that none takes long to read.
const MOST_NOTES: usize = 1000;
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);

/// The time for which a closed register is kept: long enough for a slow reader of the roster to see that it is closed.
const ENDED_TTL: Duration = Duration::from_secs(10 * 60);

/// The number of retries for a page of a register if the store does not respond.
const AGAIN: u32 = 3;

/// The delay before a store that does not respond is queried again.
const PAUSE: Duration = Duration::from_secs(1);

fn limits() -> Arc<Limits> {
    Arc::new(Limits {
        // A register never gives the store up, since its changes would be lost. It ends only if it is fenced or the store has
        // lost it.
        patience: Duration::from_secs(u64::MAX / 4),
        live_ttl: REGISTER_TTL,
        ended_ttl: ENDED_TTL,
        ..Limits::default()
    })
}

impl Register {
    /// Begins a register with this unique id, written by this instance.
    pub fn begin(id: impl Into<String>, by: &str) -> Self {
        let keep = Keep::existing(REGISTER_TTL).or_create();
        Self::claiming(id.into(), by, Position::START, keep, None)
    }

    /// Takes over a register that others have written up to this position or further, and that is listed in the roster of this
    /// day.
    pub fn take_over(id: impl Into<String>, by: &str, after: Position, listed: u64) -> Self {
        let mut this = Self::claiming(
            id.into(),
            by,
            after,
            Keep::existing(REGISTER_TTL),
            Some(listed),
        );
        // New obligations go into this instance's own register.
        this.is_retired = true;
        this
    }

    fn claiming(id: String, by: &str, after: Position, keep: Keep, listed: Option<u64>) -> Self {
        let claim = Logged::new(0, Entry::Claim(Claim::new(by, "", ""))).encode();
        let claim = Append::new(after.next_claim(), claim, keep);
        Self {
            asks: [RegisterStep::Append(LogId::register(&id), claim.clone())].into(),
            id,
            phase: Phase::Claiming { claim },
            book: Book::default(),
            pending: Noted::default(),
            listed,
            list_after: None,
            begun: None,
            notes: 0,
            is_retired: false,
            wants_release: false,
        }
    }

    /// Returns the id of the register.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Opens an obligation. Its run may be claimed once a [`Noted`](RegisterStep::Noted) step confirms that the obligation is in
    /// the register.
    pub fn open(&mut self, obligation: Obligation) {
        self.pending.opened.push(obligation);
    }

    /// Sets the place of a run.
    pub fn place(&mut self, run: impl Into<String>, place: RunRef) {
        self.pending.placed.push(Placed::new(run, place));
    }

    /// Closes an obligation.
    pub fn close(&mut self, run: impl Into<String>) {
        self.pending.closed.push(run.into());
    }

    /// Ends the register as soon as nothing in it is open: new obligations go into another.
    pub fn retire(&mut self) {
        self.is_retired = true;
    }

    /// Releases the register once all changes are in it, so that others take over the open obligations at once.
    pub fn release(&mut self) {
        self.wants_release = true;
    }

    /// Returns whether another register should be begun for new obligations.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        let is_old = |begun| now.saturating_duration_since(begun) >= LONGEST;
        self.notes >= MOST_NOTES || self.begun.is_some_and(is_old)
    }

    /// Returns the next step.
    pub fn poll(&mut self, now: Now) -> RegisterStep {
        loop {
            if let Some(ask) = self.asks.pop_front() {
                return ask;
            }
            let writer = match &mut self.phase {
                Phase::Writing(writer) => writer,
                Phase::Over(end) => return RegisterStep::Over(end.clone()),
                _ => return RegisterStep::Wait { until: None },
            };
            self.begun.get_or_insert(now.mono);
            // A register that only this process knows is useless to the others.
            if writer.is_alone() {
                self.phase = Phase::Over(RegisterEnd::Failed);
                continue;
            }
            let today = day(now.wall);
            let may_list = self.list_after.is_none_or(|after| after <= now.mono);
            if self.listed.is_none_or(|listed| listed < today) && may_list {
                self.list(today);
                continue;
            }
            // Nothing is written before the register is listed, because nobody would find it.
            if self.listed.is_none() {
                return RegisterStep::Wait {
                    until: self.list_after,
                };
            }
            // Changes collect in `pending` while an append is in flight, so that they share the next one.
            if writer.is_idle() {
                if !self.pending.is_empty() {
                    writer.note(mem::take(&mut self.pending));
                    self.notes += 1;
                } else if self.is_retired && self.book.open().next().is_none() {
                    writer.end(Ended::new("closed"));
                } else if mem::take(&mut self.wants_release) {
                    writer.release();
                }
            }
            match writer.poll(now.mono) {
                WriterStep::Append(append) => {
                    return RegisterStep::Append(LogId::register(&self.id), append);
                }
                WriterStep::Deliver { append, .. } => {
                    if writer.is_alone() {
                        continue;
                    }
                    let entry = Logged::decode(&append.entry).map(|logged| logged.entry);
                    if let Ok(Entry::Noted(noted)) = entry {
                        self.book.note(noted.clone());
                        return RegisterStep::Noted(noted);
                    }
                }
                WriterStep::Wait { until } => {
                    let until = until.into_iter().chain(self.list_after).min();
                    return RegisterStep::Wait { until };
                }
                WriterStep::Over(end) => {
                    self.phase = Phase::Over(match end {
                        WriterEnd::Ended => RegisterEnd::Closed,
                        WriterEnd::Released => RegisterEnd::Released,
                        WriterEnd::Fenced => RegisterEnd::Fenced,
                    });
                }
            }
        }
    }

    fn list(&mut self, day: u64) {
        self.phase = match self.take_phase() {
            Phase::Writing(writer) => {
                self.ask(RegisterStep::Last(LogId::roster(day)));
                Phase::Listing {
                    writer,
                    day,
                    is_appending: false,
                }
            }
            phase => phase,
        };
    }

    /// Handles the last entry of the requested roster.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>, now: Now) {
        let (writer, day) = match self.take_phase() {
            Phase::Listing {
                writer,
                day,
                is_appending: false,
            } => (writer, day),
            phase => {
                self.phase = phase;
                return;
            }
        };
        let at = match found {
            // Each entry of a roster has an epoch of its own, so of two instances that list at the same time one is fenced.
            Found::Some((at, _)) => at.next_claim(),
            Found::Nothing => Position::START.next_claim(),
            Found::Unavailable => return self.list_later(writer, now),
        };
        let listed = Logged::new(0, Entry::Listed(Listed::new(&self.id))).encode();
        let keep = Keep::existing(ROSTER_TTL).or_create();
        let append = Append::new(at, listed, keep);
        self.ask(RegisterStep::Append(LogId::roster(day), append));
        self.phase = Phase::Listing {
            writer,
            day,
            is_appending: true,
        };
    }

    fn list_later(&mut self, writer: Box<Writer>, now: Now) {
        self.list_after = Some(now.mono + PAUSE);
        self.phase = Phase::Writing(writer);
    }

    /// Handles the result of an append.
    pub fn handle_append(&mut self, appended: Appended, now: Now) {
        self.phase = match self.take_phase() {
            Phase::Claiming { claim } => match appended {
                // The register is new, so there is nothing to inherit.
                Appended::Yes if claim.at == Position::START.next_claim() => {
                    Phase::Writing(Box::new(Writer::behind(claim.at, 0, 0, limits())))
                }
                Appended::Yes => {
                    let log = LogId::register(&self.id);
                    self.ask(RegisterStep::Read(log, Position::START));
                    let again = AGAIN;
                    Phase::Inheriting { claim, again }
                }
                Appended::Fenced => Phase::Over(RegisterEnd::Fenced),
                _ => Phase::Over(RegisterEnd::Failed),
            },
            Phase::Listing {
                writer,
                day,
                is_appending: true,
            } => match appended {
                Appended::Yes => {
                    self.listed = Some(day);
                    self.list_after = None;
                    Phase::Writing(writer)
                }
                // Another register was listed at this position first.
                Appended::Fenced => {
                    self.ask(RegisterStep::Last(LogId::roster(day)));
                    Phase::Listing {
                        writer,
                        day,
                        is_appending: false,
                    }
                }
                // The append may have succeeded; then the register is listed twice, which does no harm.
                _ => return self.list_later(writer, now),
            },
            Phase::Writing(mut writer) => {
                writer.handle_append(appended, now.mono);
                Phase::Writing(writer)
            }
            phase => phase,
        };
    }

    /// Handles the entries above the requested position.
    pub fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>) {
        let (claim, again) = match self.take_phase() {
            Phase::Inheriting { claim, again } => (claim, again),
            phase => {
                self.phase = phase;
                return;
            }
        };
        let entries = match found {
            Found::Some(entries) if !entries.is_empty() => entries,
            Found::Unavailable if again > 0 => return self.read_on(claim, again - 1),
            // The claim stays in the log, but nobody writes in its epoch.
            _ => {
                self.phase = Phase::Over(RegisterEnd::Failed);
                return;
            }
        };
        let mut writers = self.book.writers().to_vec();
        for (at, entry) in &entries {
            if *at <= claim.at {
                // This instance's own claim is not one of the earlier ones.
                writers = self.book.writers().to_vec();
            }
            if let Err(error) = self.book.read(*at, entry) {
                return self.leave(claim, error);
            }
        }
        if self.book.at() < claim.at {
            return self.read_on(claim, AGAIN);
        }
        // Another instance has claimed the register after our claim.
        if self.book.at() != claim.at {
            self.phase = Phase::Over(RegisterEnd::Fenced);
            return;
        }
        if self.book.is_over() {
            self.phase = Phase::Over(RegisterEnd::Closed);
            return;
        }
        let open = self.book.open().cloned().collect();
        self.ask(RegisterStep::Inherited { open, writers });
        let writer = Writer::behind(claim.at, 0, 0, limits());
        self.phase = Phase::Writing(Box::new(writer));
    }

    fn read_on(&mut self, claim: Append, again: u32) {
        let log = LogId::register(&self.id);
        self.ask(RegisterStep::Read(log, self.book.at()));
        self.phase = Phase::Inheriting { claim, again };
    }

    /// Releases a register that cannot be read here, perhaps because a newer version has written it. An instance that can read it
    /// takes it over.
    fn leave(&mut self, claim: Append, error: EntryError) {
        let release = Logged::new(0, Entry::Release).encode();
        let append = Append::new(claim.at.next(), release, claim.keep);
        self.ask(RegisterStep::Append(LogId::register(&self.id), append));
        self.phase = Phase::Over(RegisterEnd::Unreadable(error));
    }

    fn take_phase(&mut self) -> Phase {
        mem::replace(&mut self.phase, Phase::Over(RegisterEnd::Failed))
    }

    fn ask(&mut self, step: RegisterStep) {
        self.asks.push_back(step);
    }
}
