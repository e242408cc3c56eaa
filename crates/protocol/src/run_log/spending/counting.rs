use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::{Append, Appended, Entry, EntryError, Found, Keep, LogId, Logged, Position};
use super::{Account, Period, Spent};

/// The cost of a run, in its [own log](LogId::cost).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Cost {
    /// The cost.
    pub spent: Spent,
    /// The time of the first report, in seconds since 1970. It decides the period in which the run counts.
    pub at: u64,
    /// The epoch of the last entry of each account's log at that time. The run is in none of them up to there.
    pub behind: BTreeMap<String, u64>,
}

impl Cost {
    /// The time for which it is kept, and so the time within which a run may be reported again: 72 h.
    pub const TTL: Duration = Duration::from_secs(72 * 60 * 60);

    /// Decodes an entry of the [log of a run's cost](LogId::cost).
    ///
    /// # Errors
    /// Returns an error if the entry is of another kind.
    pub fn decode(entry: &Bytes) -> Result<Self, EntryError> {
        match Logged::decode(entry)?.entry {
            Entry::Cost(cost) => Ok(cost),
            _ => Err(WRONG_LOG),
        }
    }
}

/// A run that was counted, in the [log of an account](LogId::spent).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Counted {
    /// The id of the run.
    pub run: String,
    /// The total of the account, including this run.
    pub total: Spent,
}

impl Counted {
    /// Decodes an entry of the [log of an account](LogId::spent).
    ///
    /// # Errors
    /// Returns an error if the entry is of another kind.
    pub fn decode(entry: &Bytes) -> Result<Self, EntryError> {
        match Logged::decode(entry)?.entry {
            Entry::Counted(counted) => Ok(counted),
            _ => Err(WRONG_LOG),
        }
    }
}

const WRONG_LOG: EntryError = EntryError::Corrupt("it belongs in another log");

/// The state machine that counts the cost of a run once in the accounts of its chat and its owner.
///
/// If a count was interrupted, any instance can repeat it: it finds what was already done.
#[derive(Debug)]
pub struct Counting {
    run: String,
    period: Period,
    accounts: Vec<Account>,
    spent: Spent,
    now: SystemTime,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Reads the end of each account's log, before the cost is recorded.
    Looking {
        ends: Vec<End>,
    },
    /// Records the cost and these ends.
    Recording {
        ends: Vec<End>,
    },
    /// Reads a cost that another instance has recorded.
    Recorded,
    /// Counts the run in the first of these accounts.
    Counting {
        left: Vec<End>,
    },
    Over(CountingEnd),
}

/// The known part of an account's log.
#[derive(Debug, Clone)]
struct End {
    log: LogId,
    /// The run is not in the log up to here.
    checked: Position,
    top: Top,
}

/// The knowledge of the last entry of an account's log.
#[derive(Debug, Clone)]
enum Top {
    /// It is at the checked position: the total up to there.
    Checked(Spent),
    /// More entries may follow. After a fenced append, they do.
    Behind { is_fenced: bool },
    /// Nothing follows, but the total up to there was not read.
    Unread,
}

/// A step that a [`Counting`] requests from its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
// Deliberately exhaustive: a driver must heed all fields of its variants.
pub enum CountingStep {
    /// Read the last entry of this log: [`Counting::handle_last`].
    Last(LogId),
    /// Read the entries of this log above this position, without waiting: [`Counting::handle_page`].
    Read(LogId, Position),
    /// Append this to this log: [`Counting::handle_append`].
    Append(LogId, Append),
    /// There is nothing more to do.
    Over(CountingEnd),
}

/// The way in which a [`Counting`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CountingEnd {
    /// The run is counted in every account.
    Counted,
    /// The store has failed, so it is unknown whether the run is counted.
    Unavailable,
    /// An entry in the store cannot be read.
    Unreadable(EntryError),
}

impl Counting {
    /// Counts the cost of a run of this chat, in the period at `now`.
    #[must_use]
    pub fn new(
        run: &str,
        owner: &str,
        chat: &str,
        spent: Spent,
        period: Period,
        now: SystemTime,
    ) -> Self {
        Self {
            run: run.to_owned(),
            period,
            accounts: Account::of_run(owner, chat),
            spent,
            now,
            phase: Phase::Looking { ends: Vec::new() },
        }
    }

    /// Returns the next step.
    pub fn poll(&mut self) -> CountingStep {
        loop {
            match &mut self.phase {
                Phase::Looking { ends } => match self.accounts.get(ends.len()) {
                    Some(account) => {
                        let log = LogId::spent(account, self.period, self.now);
                        return CountingStep::Last(log);
                    }
                    None => {
                        let ends = std::mem::take(ends);
                        self.phase = Phase::Recording { ends };
                    }
                },
                Phase::Recording { ends } => {
                    let ends = ends.iter();
                    let cost = Cost {
                        spent: self.spent,
                        at: seconds(self.now),
                        behind: ends
                            .map(|end| (end.log.as_str().to_owned(), end.checked.epoch))
                            .collect(),
                    };
                    let append = Append::new(
                        Position::START.next_claim(),
                        Logged::new(0, Entry::Cost(cost)).encode(),
                        Keep::existing(Cost::TTL).or_create().over(),
                    );
                    return CountingStep::Append(self.record(), append);
                }
                Phase::Recorded => return CountingStep::Last(self.record()),
                Phase::Counting { left } => match left.first() {
                    Some(end) => return end.step(&self.run, self.spent, self.period),
                    None => self.phase = Phase::Over(CountingEnd::Counted),
                },
                Phase::Over(end) => return CountingStep::Over(end.clone()),
            }
        }
    }

    /// Handles the last entry of the requested log.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>) {
        let last = match found {
            Found::Some(last) => Some(last),
            Found::Nothing => None,
            Found::Unavailable => return self.fail(CountingEnd::Unavailable),
        };
        let handled = match &mut self.phase {
            Phase::Looking { ends } => {
                let Some(account) = self.accounts.get(ends.len()) else {
                    return;
                };
                let mut end = End::of(LogId::spent(account, self.period, self.now));
                end.checked = last.as_ref().map_or(Position::START, |(at, _)| *at);
                let handled = end.handle_last_entry(last);
                ends.push(end);
                handled
            }
            Phase::Recorded => match last {
                // The record has vanished meanwhile.
                None => return self.fail(CountingEnd::Unavailable),
                Some((_, entry)) => Cost::decode(&entry).map(|cost| self.follow(&cost)),
            },
            Phase::Counting { left } => match left.first_mut() {
                Some(end) => end.handle_last_entry(last),
                None => return,
            },
            Phase::Recording { .. } | Phase::Over(_) => return,
        };
        if let Err(error) = handled {
            self.fail(CountingEnd::Unreadable(error));
        }
    }

    /// Handles the result of an append.
    pub fn handle_append(&mut self, appended: Appended) {
        match (&mut self.phase, appended) {
            (Phase::Recording { ends }, Appended::Yes) => {
                let left = std::mem::take(ends);
                self.phase = Phase::Counting { left };
            }
            // Another instance reported the run first. Its cost and its time count, so that all instances write the same.
            (Phase::Recording { .. }, Appended::Fenced) => self.phase = Phase::Recorded,
            (Phase::Counting { left }, Appended::Yes) => {
                left.remove(0);
            }
            (Phase::Counting { left }, Appended::Fenced) => {
                // Another run, or this one, was counted meanwhile: the entries above are read before another try.
                if let Some(end) = left.first_mut() {
                    end.top = Top::Behind { is_fenced: true };
                }
            }
            (Phase::Recording { .. } | Phase::Counting { .. }, _) => {
                self.fail(CountingEnd::Unavailable);
            }
            (Phase::Looking { .. } | Phase::Recorded | Phase::Over(_), _) => {}
        }
    }

    /// Handles the entries above the requested position.
    pub fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>) {
        let Phase::Counting { left } = &mut self.phase else {
            return;
        };
        let Some(end) = left.first_mut() else {
            return;
        };
        let page = match found {
            Found::Some(page) => page,
            Found::Nothing => {
                // The log has vanished, so the account begins anew.
                end.checked = Position::START;
                end.top = Top::Unread;
                return;
            }
            Found::Unavailable => return self.fail(CountingEnd::Unavailable),
        };
        if page.is_empty() && matches!(end.top, Top::Behind { is_fenced: true }) {
            // The append was fenced, but no entry was found above: the store contradicts itself.
            return self.fail(CountingEnd::Unavailable);
        }
        match end.handle_entries(&page, &self.run) {
            Ok(true) => {
                left.remove(0);
            }
            Ok(false) => {}
            Err(error) => self.fail(CountingEnd::Unreadable(error)),
        }
    }

    /// Counts a cost that was recorded before.
    fn follow(&mut self, cost: &Cost) {
        self.spent = cost.spent;
        self.now = SystemTime::UNIX_EPOCH + Duration::from_secs(cost.at);
        let ends = self.accounts.iter().map(|account| {
            let mut end = End::of(LogId::spent(account, self.period, self.now));
            let behind = cost.behind.get(end.log.as_str()).copied();
            // The first reporter has looked up to there before it recorded the cost, so the run cannot be in it.
            end.checked = Position::new(behind.unwrap_or_default(), 0);
            end
        });
        let left = ends.collect();
        self.phase = Phase::Counting { left };
    }

    fn fail(&mut self, end: CountingEnd) {
        self.phase = Phase::Over(end);
    }

    fn record(&self) -> LogId {
        LogId::cost(&self.run, self.period)
    }
}

impl End {
    fn of(log: LogId) -> Self {
        Self {
            log,
            checked: Position::START,
            top: Top::Behind { is_fenced: false },
        }
    }

    fn step(&self, run: &str, spent: Spent, period: Period) -> CountingStep {
        // An append needs the total, and the proof that the run is not counted up to it.
        let log = self.log.clone();
        match &self.top {
            Top::Behind { .. } => CountingStep::Read(log, self.checked),
            Top::Unread => CountingStep::Last(log),
            Top::Checked(total) => {
                let counted = Counted {
                    run: run.to_owned(),
                    total: total.plus(spent),
                };
                let append = Append::new(
                    self.checked.next_claim(),
                    Logged::new(0, Entry::Counted(counted)).encode(),
                    // Not marked as over: if the store evicted a total, the budget would begin anew.
                    Keep::existing(period.ttl()).or_create(),
                );
                CountingStep::Append(log, append)
            }
        }
    }

    fn handle_last_entry(&mut self, last: Option<(Position, Bytes)>) -> Result<(), EntryError> {
        let Some((at, entry)) = last else {
            self.checked = Position::START;
            self.top = Top::Checked(Spent::default());
            return Ok(());
        };
        let total = Counted::decode(&entry)?.total;
        self.top = if at == self.checked {
            Top::Checked(total)
        } else {
            if at < self.checked {
                // The log has vanished, and others have begun it anew.
                self.checked = Position::START;
            }
            Top::Behind { is_fenced: false }
        };
        Ok(())
    }

    /// Returns whether the run is among these entries.
    fn handle_entries(
        &mut self,
        page: &[(Position, Bytes)],
        run: &str,
    ) -> Result<bool, EntryError> {
        if page.is_empty() {
            self.top = Top::Unread;
        }
        for (at, entry) in page {
            let counted = Counted::decode(entry)?;
            // Counted already, by another instance or by an append whose response was lost.
            if counted.run == run {
                return Ok(true);
            }
            self.checked = *at;
            self.top = Top::Checked(counted.total);
        }
        Ok(false)
    }
}

fn seconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
