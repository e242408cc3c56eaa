use std::collections::HashMap;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use twentyfirst_protocol::run_log::{Keep, LogId, Position};

use super::entries::Entries;
use crate::AppendError;

/// How often logs that have expired are looked for at most: each time all logs are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// No log is kept longer, which keeps sums of times within their type.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What a log takes without entries, beside its name: itself, its place in the map with room to grow, and the allocations.
const LOG: usize = 2 * (size_of::<LogId>() + size_of::<Box<Log>>()) + size_of::<Log>() + 64;

/// All logs.
pub(super) struct State {
    /// Boxed: the map has room for twice as many.
    logs: HashMap<LogId, Box<Log>>,
    taken: usize,
    pub(super) limit: usize,
    last_sweep: Option<Instant>,
    /// No log expires sooner.
    next_expiry: Option<Instant>,
    /// Who has to be woken as soon as the lock is free.
    woken: Vec<Waker>,
    next_ticket: u64,
}

struct Log {
    entries: Entries,
    /// What it takes without them.
    own: usize,
    expires: Instant,
    is_over: bool,
    /// By their tickets. Mostly there is one, and often none.
    waiting: Vec<(u64, Waker)>,
}

/// What a log has above a position.
pub(super) enum Found {
    Entries(Vec<(Position, Bytes)>),
    /// Nothing, and the log expires in so much time.
    NothingYet {
        left: Duration,
    },
}

/// Says why there is no room.
#[derive(Debug, thiserror::Error)]
#[error("logs that are still written take all of the {limit} bytes that logs may take in memory")]
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
            if log.entries.last_position().is_some_and(|last| last >= at) {
                return log.repeat(at, entry, keep, expires);
            }
        } else if !keep.create {
            return Err(AppendError::Missing);
        }
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
        self.taken -= log.taken();
        log.entries.push(at, entry);
        self.taken += log.taken();
        log.expires = expires;
        self.next_expiry = Some(self.next_expiry.map_or(expires, |next| next.min(expires)));
        log.is_over = keep.is_over;
        self.woken.extend(log.take_waiting());
        Ok(())
    }

    /// `None`: there is no log.
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

    /// Ready if there is something to look at; else `waker` is woken when there is.
    pub(super) fn poll_changed(
        &mut self,
        id: &LogId,
        after: Position,
        ticket: &mut Option<u64>,
        waker: &Waker,
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
        match log.waiter(ticket) {
            Ok(index) => log.waiting[index].1.clone_from(waker),
            Err(index) => {
                if log.waiting.is_empty() {
                    log.waiting.reserve_exact(1);
                }
                log.waiting.insert(index, (ticket, waker.clone()));
            }
        }
        Poll::Pending
    }

    pub(super) fn forget(&mut self, id: &LogId, ticket: u64) {
        if let Some(log) = self.logs.get_mut(id)
            && let Ok(index) = log.waiter(ticket)
        {
            log.waiting.remove(index);
        }
    }

    fn living(&mut self, id: &LogId, now: Instant) -> Option<&mut Log> {
        if self.logs.get(id).is_some_and(|log| log.expires <= now) {
            self.drop_log(&id.clone());
        }
        self.logs.get_mut(id).map(|log| &mut **log)
    }

    /// Returns what it takes to append the entry.
    fn cost(&self, id: &LogId, at: Position, entry: &[u8]) -> usize {
        match self.logs.get(id) {
            Some(log) => log.entries.cost(at, entry),
            None => LOG + id.as_str().len() + Entries::default().cost(at, entry),
        }
    }

    /// Drops what may be dropped, in the order in which it may, and nothing if that would not be enough.
    fn make_room(&mut self, more: usize, not: &LogId, now: Instant) -> Result<(), AppendError> {
        if self.taken + more <= self.limit {
            return Ok(());
        }
        self.sweep(now);
        let mut over: Vec<(Instant, LogId, usize)> = self
            .logs
            .iter()
            .filter(|(id, log)| log.is_over && *id != not)
            .map(|(id, log)| (log.expires, id.clone(), log.taken()))
            .collect();
        let can_be_freed: usize = over.iter().map(|(_, _, taken)| taken).sum();
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

    /// Its readers are woken, to find that it is gone.
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

    /// The place of a ticket in the list of who waits, or where it belongs.
    fn waiter(&self, ticket: u64) -> Result<usize, usize> {
        self.waiting.binary_search_by_key(&ticket, |(it, _)| *it)
    }

    fn take_waiting(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|(_, waker)| waker)
    }

    /// Says whether the entry stands there already, and keeps the log as an append does.
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
