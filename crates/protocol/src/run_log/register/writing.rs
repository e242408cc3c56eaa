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

/// Writes a register: the runs that this instance answers for.
///
/// ```text
///   begin ─► claim ─► list it in the roster of the day ─► writing ─► End, when it was retired and nothing is open
///   take_over ─► claim ─► read what stands there ─► Inherited ─┘  ├─► Release
///                                                                 └─► Over: fenced, or the store has lost it
/// ```
///
/// One append is in flight at a time; what is noted meanwhile goes into the next one together. A store that does not respond is asked
/// again until it does: what was noted is not lost before this machine is.
#[derive(Debug)]
pub struct Register {
    id: String,
    phase: Phase,
    book: Book,
    /// What was noted and is not on its way.
    pending: Noted,
    asks: VecDeque<RegisterStep>,
    /// The last day in whose roster it stands.
    listed: Option<u64>,
    list_after: Option<Instant>,
    begun: Option<Instant>,
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
        /// How often a page is asked for again.
        again: u32,
    },
    /// The roster of this day is read, and then written.
    Listing {
        writer: Box<Writer>,
        day: u64,
        is_appending: bool,
    },
    Writing(Box<Writer>),
    Over(RegisterEnd),
}

/// What a [`Register`] wants.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
// Deliberately exhaustive: the fields of its variants, since a driver must heed all of them.
pub enum RegisterStep {
    /// Read the last entry of this log: [`Register::handle_last`].
    Last(LogId),
    /// Read what stands in this log above this position, without waiting: [`Register::handle_page`].
    Read(LogId, Position),
    /// Append this to this log: [`Register::handle_append`].
    Append(LogId, Append),
    /// This stands in the register now; poll again.
    Noted(Noted),
    /// These are open in a register that was taken over, and these instances had claimed it before: each is a
    /// [`Duty`](super::Duty) now. Poll again.
    Inherited {
        /// What is open.
        open: Vec<Obligation>,
        /// Who has claimed the register before.
        writers: Vec<String>,
    },
    /// Poll again when something was noted, or at this moment.
    Wait {
        /// The moment.
        until: Option<Instant>,
    },
    /// Nothing more is written.
    Over(RegisterEnd),
}

/// How writing a register has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterEnd {
    /// Everything is closed.
    Closed,
    /// It was let go: others answer for what is open.
    Released,
    /// Another instance has claimed it, and answers for what is open.
    Fenced,
    /// The store has lost it, or has no room: what is open has to be opened in another.
    Failed,
    /// It cannot be read here, and was let go.
    Unreadable(EntryError),
}

/// After how many notes, and how much time, another register should be begun, so that none takes long to read.
const MOST_NOTES: usize = 1000;
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);

/// How long it is kept when everything is closed: as long as a slow reader of the roster needs to see that.
const ENDED_TTL: Duration = Duration::from_secs(10 * 60);

/// How often a page of a register is asked for again where the store does not respond.
const AGAIN: u32 = 3;

/// How long to wait until a store that does not respond is asked again.
const PAUSE: Duration = Duration::from_secs(1);

fn limits() -> Arc<Limits> {
    Arc::new(Limits {
        // It goes on until it is fenced: nobody waits for it longer than for a run.
        patience: Duration::from_secs(u64::MAX / 4),
        live_ttl: REGISTER_TTL,
        ended_ttl: ENDED_TTL,
        ..Limits::default()
    })
}

impl Register {
    /// Begins a register of this id, which no other has, written by this instance.
    pub fn begin(id: impl Into<String>, by: &str) -> Self {
        let keep = Keep::existing(REGISTER_TTL).or_create();
        Self::claiming(id.into(), by, Position::START, keep, None)
    }

    /// Goes on with a register that others have written up to this position or further, and that stands in the roster of this day.
    pub fn take_over(id: impl Into<String>, by: &str, after: Position, listed: u64) -> Self {
        let mut this = Self::claiming(
            id.into(),
            by,
            after,
            Keep::existing(REGISTER_TTL),
            Some(listed),
        );
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

    /// Opens an obligation. Its run may be claimed when a [`Noted`](RegisterStep::Noted) tells that it stands there.
    pub fn open(&mut self, obligation: Obligation) {
        self.pending.opened.push(obligation);
    }

    /// Notes where a run takes place.
    pub fn place(&mut self, run: impl Into<String>, place: RunRef) {
        self.pending.placed.push(Placed::new(run, place));
    }

    /// Closes an obligation.
    pub fn close(&mut self, run: impl Into<String>) {
        self.pending.closed.push(run.into());
    }

    /// Ends the register as soon as nothing in it is open: what is new goes into another.
    pub fn retire(&mut self) {
        self.is_retired = true;
    }

    /// Lets the register go when what was noted stands there, so that others take over what is open at once.
    pub fn release(&mut self) {
        self.wants_release = true;
    }

    /// Returns whether another register should be begun for what is new.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        let is_old = |begun| now.saturating_duration_since(begun) >= LONGEST;
        self.notes >= MOST_NOTES || self.begun.is_some_and(is_old)
    }

    /// What to do next.
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
            // Nothing is written before it is listed: nobody would find it.
            if self.listed.is_none() {
                return RegisterStep::Wait {
                    until: self.list_after,
                };
            }
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

    /// The last entry of the roster that was asked for.
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

    /// What came of an append.
    pub fn handle_append(&mut self, appended: Appended, now: Now) {
        self.phase = match self.take_phase() {
            Phase::Claiming { claim } => match appended {
                // A new one: nothing stands below.
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
                // Another register was listed there meanwhile.
                Appended::Fenced => {
                    self.ask(RegisterStep::Last(LogId::roster(day)));
                    Phase::Listing {
                        writer,
                        day,
                        is_appending: false,
                    }
                }
                // It may stand there, and is listed twice then.
                _ => return self.list_later(writer, now),
            },
            Phase::Writing(mut writer) => {
                writer.handle_append(appended, now.mono);
                Phase::Writing(writer)
            }
            phase => phase,
        };
    }

    /// What stands above the position that was asked for.
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
            // The claim stands, and is left behind: in its epoch nobody writes.
            _ => {
                self.phase = Phase::Over(RegisterEnd::Failed);
                return;
            }
        };
        let mut writers = self.book.writers().to_vec();
        for (at, entry) in &entries {
            if *at <= claim.at {
                // The claim itself is not one from before.
                writers = self.book.writers().to_vec();
            }
            if let Err(error) = self.book.read(*at, entry) {
                return self.leave(claim, error);
            }
        }
        if self.book.at() < claim.at {
            return self.read_on(claim, AGAIN);
        }
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

    /// Lets a register go that cannot be read here, as one that a newer version has written: whoever can read it takes it over.
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
