use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::super::{Append, Appended, Claim, Entry, Found, Keep, Limits, LogId, Logged, Position};
use super::pulse::Pulse;
use super::{LOOK, Obligation};
use crate::runs::RunRef;

/// The state machine that decides what to do about a run that another instance was responsible for.
///
/// ```text
///   Last, of the run's log ─┬─ none ─┬─ its place is known ─► Follow
///      ▲                    │        └─ not ─► claim it ─► Close: nothing had begun, and nothing begins
///      │                    ├─ claimed by an instance that has not written in the register ─► Close: that one is responsible
///      │                    ├─ End ─► End
///      │                    └─ silent for 15 s, or released ─► TakeOver
///      └──── every 5 s ─────┘
/// ```
#[derive(Debug)]
pub struct Duty {
    obligation: Obligation,
    by: String,
    /// The instances whose claims this obligation covers.
    writers: Vec<String>,
    pulse: Pulse,
    /// The epoch whose claim was examined.
    checked: Option<u64>,
    phase: Phase,
    asks: VecDeque<DutyStep>,
    again: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    Looking,
    /// Reads the claim of the log whose last entry is this.
    Checking {
        at: Position,
        last: Last,
    },
    /// Claims the log, so that nobody can begin the run any more.
    Claiming,
    Over(DutyStep),
}

#[derive(Debug, Clone, Copy)]
enum Last {
    End,
    Release,
    Other,
}

/// A step that a [`Duty`] requests from its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
// Deliberately exhaustive: a driver must heed all fields of its variants.
pub enum DutyStep {
    /// Read the last entry of this log: [`Duty::handle_last`].
    Last(LogId),
    /// Read the first entry of this log above this position, without waiting: [`Duty::handle_page`].
    First(LogId, Position),
    /// Append this to this log: [`Duty::handle_append`].
    Append(LogId, Append),
    /// [Take the run over](super::super::Recorder::take_over) after this position, and poll again when that is over.
    TakeOver {
        /// The position.
        after: Position,
    },
    /// Poll again at this instant.
    Wait {
        /// The instant.
        until: Instant,
    },
    /// The run has ended: report its end, and close the obligation. This is the last step.
    End,
    /// The log has vanished: follow this run at the relay, report its end, and close the obligation. This is the last step.
    Follow(RunRef),
    /// There is nothing to do: close the obligation. This is the last step.
    Close,
}

impl Duty {
    /// Creates the duty for an obligation of a register that the instances `writers` have written. `by` is this instance.
    #[must_use]
    pub fn new(obligation: Obligation, writers: Vec<String>, by: impl Into<String>) -> Self {
        let log = LogId::run(&obligation.run);
        Self {
            obligation,
            by: by.into(),
            writers,
            pulse: Pulse::default(),
            checked: None,
            phase: Phase::Looking,
            asks: [DutyStep::Last(log)].into(),
            again: None,
        }
    }

    /// Returns the obligation.
    #[must_use]
    pub fn obligation(&self) -> &Obligation {
        &self.obligation
    }

    fn log(&self) -> LogId {
        LogId::run(&self.obligation.run)
    }

    /// Returns the next step.
    pub fn poll(&mut self, now: Instant) -> DutyStep {
        if let Some(ask) = self.asks.pop_front() {
            return ask;
        }
        if let Phase::Over(step) = &self.phase {
            return step.clone();
        }
        let until = *self.again.get_or_insert(now + LOOK);
        if now < until {
            return DutyStep::Wait { until };
        }
        self.again = None;
        self.phase = Phase::Looking;
        DutyStep::Last(self.log())
    }

    /// Handles the last entry of the run's log.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>, now: Instant) {
        if !matches!(self.phase, Phase::Looking) {
            return;
        }
        let (at, entry) = match found {
            Found::Unavailable => return self.pulse.saw_no_response(),
            Found::Some(last) => last,
            Found::Nothing => {
                match self.obligation.place.clone() {
                    Some(place) => self.phase = Phase::Over(DutyStep::Follow(place)),
                    // Nothing had begun. The claim refuses an instance that was only slow.
                    None => {
                        let obligation = &self.obligation;
                        let claim = Claim::new(&self.by, &obligation.owner, &obligation.chat);
                        let append = Append::new(
                            Position::START.next_claim(),
                            Logged::new(0, Entry::Claim(claim)).encode(),
                            Keep::existing(Limits::default().live_ttl)
                                .or_create()
                                .over(),
                        );
                        self.asks.push_back(DutyStep::Append(self.log(), append));
                        self.phase = Phase::Claiming;
                    }
                }
                return;
            }
        };
        let last = match Logged::decode(&entry).map(|logged| logged.entry) {
            Ok(Entry::End(_)) => Last::End,
            Ok(Entry::Release) => Last::Release,
            Ok(_) => Last::Other,
            // An instance that can read the entry takes care of the run.
            Err(_) => return,
        };
        self.pulse.saw(at, matches!(last, Last::Release), now);
        if self.checked == Some(at.epoch) {
            return self.decide(last);
        }
        // The claim of the last entry's epoch names its writer. It is read once for each epoch.
        let before = Position::new(at.epoch.saturating_sub(1), u64::MAX);
        self.asks.push_back(DutyStep::First(self.log(), before));
        self.phase = Phase::Checking { at, last };
    }

    /// Handles the first entry above the requested position.
    pub fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>) {
        let Phase::Checking { at, last } = self.phase else {
            return;
        };
        self.phase = Phase::Looking;
        let Found::Some(entries) = found else {
            return;
        };
        let Some((first, entry)) = entries.first() else {
            return;
        };
        let Ok(Entry::Claim(claim)) = Logged::decode(entry).map(|logged| logged.entry) else {
            return;
        };
        // The log has changed meanwhile; the next look starts again.
        if first.epoch != at.epoch {
            return;
        }
        if !self.writers.contains(&claim.by) {
            self.phase = Phase::Over(DutyStep::Close);
            return;
        }
        self.checked = Some(at.epoch);
        self.decide(last);
    }

    fn decide(&mut self, last: Last) {
        if matches!(last, Last::End) {
            self.phase = Phase::Over(DutyStep::End);
        } else if let Some(after) = self.pulse.stopped_at() {
            // Claims by this instance from here on are covered by this obligation too.
            if !self.writers.contains(&self.by) {
                self.writers.push(self.by.clone());
            }
            // The take-over has 15 s to show itself in the log.
            self.pulse.reset();
            self.asks.push_back(DutyStep::TakeOver { after });
        }
    }

    /// Handles the result of an append.
    pub fn handle_append(&mut self, appended: Appended) {
        if matches!(self.phase, Phase::Claiming) {
            self.phase = match appended {
                Appended::Yes | Appended::Missing => Phase::Over(DutyStep::Close),
                // The run was begun after all, or that is unknown.
                _ => Phase::Looking,
            };
        }
    }

    /// Checks the run again at once, after a take-over has ended.
    pub fn look_again(&mut self) {
        if !matches!(self.phase, Phase::Over(_)) {
            self.again = None;
            self.phase = Phase::Looking;
            self.asks.push_back(DutyStep::Last(self.log()));
        }
    }
}
