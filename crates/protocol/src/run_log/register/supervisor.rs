use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::super::{Entry, Found, LogId, Logged, Position};
use super::pulse::Pulse;
use super::{LOOK, roster_days};
use crate::flow::Now;

/// The state machine that finds registers without a writer.
///
/// ```text
///   Read, the rosters ──► Last, each register ──► Adopt, what is silent ──► Wait ──► Read …
/// ```
#[derive(Debug, Default)]
pub struct Supervisor {
    /// The position up to which the roster of each day was read.
    rosters: BTreeMap<u64, Position>,
    /// The registers that are watched, and the last day in whose roster each was found.
    watched: BTreeMap<String, Watched>,
    /// The registers that this instance writes.
    own: BTreeSet<String>,
    /// The rest of this round.
    round: VecDeque<Look>,
    /// The query that is under way.
    asked: Option<Look>,
    again: Option<Instant>,
}

#[derive(Debug)]
struct Watched {
    pulse: Pulse,
    listed: u64,
}

#[derive(Debug, Clone)]
enum Look {
    Roster(u64),
    Register(String),
}

/// A step that a [`Supervisor`] requests from its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
// Deliberately exhaustive: a driver must heed all fields of its variants.
pub enum SupervisorStep {
    /// Read the entries of this log above this position, without waiting: [`Supervisor::handle_page`].
    Read(LogId, Position),
    /// Read the last entry of this log: [`Supervisor::handle_last`].
    Last(LogId),
    /// [Take this register over](super::Register::take_over), and poll again. It is not watched until [`Supervisor::let_go`].
    Adopt {
        /// The id of the register.
        register: String,
        /// The last position in it.
        after: Position,
        /// The last day in whose roster it is.
        listed: u64,
    },
    /// Poll again at this instant.
    Wait {
        /// The instant.
        until: Instant,
    },
}

impl Supervisor {
    /// Creates a supervisor of all registers in the rosters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops watching this register, since this instance writes it.
    pub fn writes(&mut self, register: impl Into<String>) {
        let register = register.into();
        self.watched.remove(&register);
        self.own.insert(register);
    }

    /// Watches this register again, since this instance no longer writes it and it is not over.
    pub fn let_go(&mut self, register: &str, now: Now) {
        if self.own.remove(register) {
            let listed = roster_days(now.wall).next_back().unwrap_or_default();
            let pulse = Pulse::default();
            let watched = Watched { pulse, listed };
            self.watched.insert(register.to_owned(), watched);
        }
    }

    /// Forgets this register, which this instance wrote and which is over.
    pub fn is_over(&mut self, register: &str) {
        self.own.remove(register);
    }

    /// Returns the next step.
    pub fn poll(&mut self, now: Now) -> SupervisorStep {
        if let Some(asked) = self.asked.take() {
            // The driver reported no result of the last query, so it is repeated.
            self.round.push_front(asked);
        }
        if self.round.is_empty() {
            match self.again {
                Some(again) if now.mono < again => return SupervisorStep::Wait { until: again },
                _ => self.begin_round(now),
            }
        }
        while let Some(look) = self.round.pop_front() {
            let step = match &look {
                Look::Roster(day) => {
                    let after = self.rosters.get(day).copied().unwrap_or(Position::START);
                    SupervisorStep::Read(LogId::roster(*day), after)
                }
                Look::Register(register) => {
                    let Some(watched) = self.watched.get(register) else {
                        continue;
                    };
                    if let Some(after) = watched.pulse.stopped_at() {
                        let (register, listed) = (register.clone(), watched.listed);
                        self.writes(register.clone());
                        return SupervisorStep::Adopt {
                            register,
                            after,
                            listed,
                        };
                    }
                    SupervisorStep::Last(LogId::register(register))
                }
            };
            self.asked = Some(look);
            return step;
        }
        let until = *self.again.get_or_insert(now.mono + LOOK);
        SupervisorStep::Wait { until }
    }

    fn begin_round(&mut self, now: Now) {
        self.again = Some(now.mono + LOOK);
        let days: Vec<u64> = roster_days(now.wall).collect();
        self.rosters.retain(|day, _| days.contains(day));
        self.round.extend(days.into_iter().map(Look::Roster));
        let watched = self.watched.keys().cloned();
        self.round.extend(watched.map(Look::Register));
    }

    /// Handles the entries above the requested position.
    pub fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>) {
        let Some(Look::Roster(day)) = self.asked.take() else {
            return;
        };
        let Found::Some(entries) = found else {
            return;
        };
        let Some((last, _)) = entries.last() else {
            return;
        };
        self.rosters.insert(day, *last);
        for (_, entry) in &entries {
            // Entries of a newer version are left to instances of that version.
            let Ok(Entry::Listed(listed)) = Logged::decode(entry).map(|logged| logged.entry) else {
                continue;
            };
            let register = listed.register;
            if self.own.contains(&register) {
                continue;
            }
            let watched = self.watched.entry(register.clone()).or_insert_with(|| {
                self.round.push_back(Look::Register(register));
                Watched {
                    pulse: Pulse::default(),
                    listed: day,
                }
            });
            watched.listed = watched.listed.max(day);
        }
        // There may be more entries.
        self.round.push_front(Look::Roster(day));
    }

    /// Handles the last entry of the requested log.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>, now: Now) {
        let Some(Look::Register(register)) = self.asked.take() else {
            return;
        };
        let Some(watched) = self.watched.get_mut(&register) else {
            return;
        };
        let (at, entry) = match found {
            Found::Some(last) => last,
            // The register has expired or the store has lost it, so there is nothing to take over.
            Found::Nothing => {
                self.watched.remove(&register);
                return;
            }
            Found::Unavailable => return watched.pulse.saw_no_response(),
        };
        match Logged::decode(&entry).map(|logged| logged.entry) {
            // An entry that cannot be read is left to instances that can read it.
            Ok(Entry::End(_)) | Err(_) => {
                self.watched.remove(&register);
            }
            Ok(entry) => {
                let is_released = matches!(entry, Entry::Release);
                watched.pulse.saw(at, is_released, now.mono);
                // It is adopted in this round, not in the next.
                if watched.pulse.stopped_at().is_some() {
                    self.round.push_front(Look::Register(register));
                }
            }
        }
    }
}
