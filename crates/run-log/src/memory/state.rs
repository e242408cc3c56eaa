use std::collections::HashMap;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use twentyfirst_protocol::run_log::{Keep, LogId, Position};

use super::entries::Entries;
use crate::AppendError;

/// The least time between two sweeps. A sweep goes over all logs, so an append does not do it each time.
const SWEEP: Duration = Duration::from_secs(1);

/// The longest time to live. Without it, `now + ttl` could overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The bytes of a log without its entries and its name: the log, its slot in the map twice (a map grows by doubling), and its
/// allocations.
const LOG: usize = 2 * (size_of::<LogId>() + size_of::<Box<Log>>()) + size_of::<Log>() + 64;

/// All logs, and the accounting of their memory.
pub(super) struct State {
    /// Boxed, because the map may have twice as many slots as logs.
    logs: HashMap<LogId, Box<Log>>,
    taken: usize,
    pub(super) limit: usize,
    last_sweep: Option<Instant>,
    /// A lower bound of the next expiry. Sweeps before it are skipped.
    next_expiry: Option<Instant>,
    /// The wakers to call once the lock is free.
    woken: Vec<Waker>,
    next_ticket: u64,
}

struct Log {
    entries: Entries,
    /// The bytes of the log without its entries.
    own: usize,
    expires: Instant,
    is_over: bool,
    /// The waiting readers, sorted by ticket. Most logs have one or none, so a list takes less than a map.
    waiting: Vec<(u64, Waker)>,
}

/// The entries of a log above a position.
pub(super) enum Found {
    Entries(Vec<(Position, Bytes)>),
    /// There is none, and the log expires after `left`.
    NothingYet {
        left: Duration,
    },
}

/// The store has no room for an entry.
#[derive(Debug, thiserror::Error)]
#[error(
    "the entry does not fit into the memory limit of {limit} bytes, and too few logs are over to make room: raise the limit with `MemoryLog::with_limit`"
)]
struct OutOfRoom {
    limit: usize,
}

impl State {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            logs: HashMap::new(),
            taken: 0,
            limit,
            last_sweep: None,
            next_expiry: None,
            woken: Vec::new(),
            next_ticket: 0,
        }
    }

    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }

    pub(super) fn append(
        &mut self,
        id: &LogId,
        at: Position,
        entry: &Bytes,
        keep: Keep,
        now: Instant,
    ) -> Result<(), AppendError> {
        self.sweep_if_due(now);
        let expires = now + keep.ttl.min(LONGEST);
        if let Some(log) = self.living(id, now) {
            // Before room is made: a repeated append needs none, so it succeeds in a full store.
            if log.entries.last_position().is_some_and(|last| last >= at) {
                return log.repeat(at, entry, keep, expires);
            }
        } else if !keep.create {
            return Err(AppendError::Missing);
        }
        // No log has this position: reads begin after it.
        if at == Position::START {
            return Err(AppendError::Fenced);
        }
        self.make_room(self.cost(id, at, entry), id, now)?;

        let log = self.logs.entry(id.clone()).or_insert_with(|| {
            let own = LOG + id.as_str().len();
            self.taken += own;
            Box::new(Log {
                entries: Entries::default(),
                own,
                expires,
                is_over: false,
                waiting: Vec::new(),
            })
        });
        let before = log.taken();
        log.entries.push(at, entry);
        self.taken = self.taken - before + log.taken();
        log.expires = expires;
        // May be too early, when the log is renewed later. Then a sweep finds nothing, and computes it anew.
        self.next_expiry = Some(self.next_expiry.map_or(expires, |next| next.min(expires)));
        log.is_over = keep.is_over;
        self.woken.extend(log.take_waiting());
        Ok(())
    }

    /// Finds up to `limit` entries above `after`. Returns `None` if there is no log.
    pub(super) fn find(
        &mut self,
        id: &LogId,
        after: Position,
        limit: usize,
        now: Instant,
    ) -> Option<Found> {
        let log = self.living(id, now)?;
        let entries = log.entries.above(after, limit.max(1));
        if entries.is_empty() {
            let left = log.expires.saturating_duration_since(now);
            return Some(Found::NothingYet { left });
        }
        Some(Found::Entries(entries))
    }

    pub(super) fn last(&mut self, id: &LogId, now: Instant) -> Option<(Position, Bytes)> {
        self.living(id, now)?.entries.last()
    }

    /// Returns ready if the log has an entry above `after` or is gone. Otherwise registers `waker` for that moment.
    ///
    /// A ticket identifies the reader, so that a read which is polled again replaces its waker and does not add another. The replaced
    /// one is left in `waker`, to be dropped once the lock is free.
    pub(super) fn poll_changed(
        &mut self,
        id: &LogId,
        after: Position,
        ticket: &mut Option<u64>,
        waker: &mut Option<Waker>,
    ) -> Poll<()> {
        let Some(log) = self.logs.get_mut(id) else {
            return Poll::Ready(());
        };
        if log.entries.last_position().is_some_and(|last| last > after) {
            return Poll::Ready(());
        }
        let ticket = *ticket.get_or_insert_with(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        if let Some(new) = waker.take() {
            match log.waiter(ticket) {
                Ok(index) => *waker = Some(std::mem::replace(&mut log.waiting[index].1, new)),
                Err(index) => {
                    // A `Vec` would begin with room for four, and most logs have one reader.
                    if log.waiting.is_empty() {
                        log.waiting.reserve_exact(1);
                    }
                    log.waiting.insert(index, (ticket, new));
                }
            }
        }
        Poll::Pending
    }

    /// Removes the waker of a reader that no longer waits, and returns it to be dropped once the lock is free.
    pub(super) fn forget(&mut self, id: &LogId, ticket: u64) -> Option<Waker> {
        let log = self.logs.get_mut(id)?;
        let index = log.waiter(ticket).ok()?;
        Some(log.waiting.remove(index).1)
    }

    /// Returns a log. If it has expired, drops it and returns `None`.
    fn living(&mut self, id: &LogId, now: Instant) -> Option<&mut Log> {
        if self.logs.get(id).is_some_and(|log| log.expires <= now) {
            self.drop_log(&id.clone());
        }
        self.logs.get_mut(id).map(|log| &mut **log)
    }

    /// Returns the bytes that appending the entry would add, as an upper bound.
    fn cost(&self, id: &LogId, at: Position, entry: &[u8]) -> usize {
        match self.logs.get(id) {
            Some(log) => log.entries.cost(at, entry),
            None => LOG + id.as_str().len() + Entries::default().cost(at, entry),
        }
    }

    /// Drops logs until `more` bytes fit: those that have expired, then those that are over, by expiry. `except` is never dropped.
    ///
    /// Drops no log that is over if all of them would not be enough: a refused append must not cost other readers their replay.
    fn make_room(&mut self, more: usize, except: &LogId, now: Instant) -> Result<(), AppendError> {
        if self.taken + more <= self.limit {
            return Ok(());
        }
        // Expired logs first: nobody can read them any more.
        self.sweep(now);
        let mut over: Vec<(Instant, LogId, usize)> = self
            .logs
            .iter()
            .filter(|(id, log)| log.is_over && *id != except)
            .map(|(id, log)| (log.expires, id.clone(), log.taken()))
            .collect();
        let can_be_freed: usize = over.iter().map(|(_, _, taken)| taken).sum();
        // Before the first is dropped: all or none.
        if self.taken - can_be_freed + more > self.limit {
            let limit = self.limit;
            return Err(AppendError::Full(Box::new(OutOfRoom { limit })));
        }
        over.sort_unstable();
        for (_, id, _) in over {
            if self.taken + more <= self.limit {
                break;
            }
            self.drop_log(&id);
        }
        Ok(())
    }

    fn sweep_if_due(&mut self, now: Instant) {
        let is_due = self.last_sweep.is_none_or(|last| last + SWEEP <= now);
        if is_due && self.next_expiry.is_some_and(|next| next <= now) {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.last_sweep = Some(now);
        let expired: Vec<LogId> = self
            .logs
            .iter()
            .filter(|(_, log)| log.expires <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            self.drop_log(&id);
        }
        self.next_expiry = self.logs.values().map(|log| log.expires).min();
    }

    /// Drops a log, and has its readers woken so that they report it as missing.
    fn drop_log(&mut self, id: &LogId) {
        if let Some(mut log) = self.logs.remove(id) {
            self.taken -= log.taken();
            self.woken.extend(log.take_waiting());
        }
    }
}

impl Log {
    const fn taken(&self) -> usize {
        self.own + self.entries.taken()
    }

    /// Returns the index of a ticket among the waiting readers, or the index to insert it at.
    fn waiter(&self, ticket: u64) -> Result<usize, usize> {
        self.waiting.binary_search_by_key(&ticket, |(it, _)| *it)
    }

    fn take_waiting(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|(_, waker)| waker)
    }

    /// Accepts a repeated append if the log has this very entry at `at`.
    ///
    /// The log's expiry never moves back and a log that is over stays over: the repetition may arrive after later appends.
    fn repeat(
        &mut self,
        at: Position,
        entry: &Bytes,
        keep: Keep,
        expires: Instant,
    ) -> Result<(), AppendError> {
        if self.entries.get(at).is_none_or(|it| it != entry) {
            return Err(AppendError::Fenced);
        }
        self.expires = self.expires.max(expires);
        self.is_over |= keep.is_over;
        Ok(())
    }
}
