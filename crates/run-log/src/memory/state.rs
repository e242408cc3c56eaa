use std::collections::{BTreeMap, HashMap};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use twentyfirst_protocol::run_log::{Keep, LogId, Position};

use crate::AppendError;

/// How often logs that have expired are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// No log is kept longer, which keeps sums of times within their type.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What an entry takes beside its bytes and its place in the list: the allocation, and what counts its readers.
const ENTRY: usize = 64;

/// What a log takes without entries, beside its name: itself, its place in the map with room to grow, and the allocations.
const LOG: usize = 2 * (size_of::<LogId>() + size_of::<Log>()) + 64;

/// What a slot in the list of entries takes.
const SLOT: usize = size_of::<(Position, Bytes)>();

/// All logs.
pub(super) struct State {
    logs: HashMap<LogId, Log>,
    taken: usize,
    pub(super) limit: usize,
    next_sweep: Option<Instant>,
    /// Who has to be woken as soon as the lock is free.
    woken: Vec<Waker>,
    next_ticket: u64,
}

struct Log {
    entries: Vec<(Position, Bytes)>,
    taken: usize,
    expires: Instant,
    is_over: bool,
    waiting: BTreeMap<u64, Waker>,
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
            next_sweep: None,
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
            if log.last().is_some_and(|last| last >= at) {
                return log.repeat(at, entry, keep, expires);
            }
        } else if !keep.create {
            return Err(AppendError::Missing);
        }
        if at == Position::START {
            return Err(AppendError::Fenced);
        }
        self.make_room(self.cost(id, entry), id, now)?;

        let log = self.logs.entry(id.clone()).or_insert_with(|| {
            let taken = LOG + id.as_str().len();
            self.taken += taken;
            Log {
                entries: Vec::new(),
                taken,
                expires,
                is_over: false,
                waiting: BTreeMap::new(),
            }
        });
        self.taken -= log.taken;
        log.push(at, entry);
        self.taken += log.taken;
        log.expires = expires;
        log.is_over = keep.is_over;
        self.woken
            .extend(std::mem::take(&mut log.waiting).into_values());
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
        let start = log.entries.partition_point(|(at, _)| *at <= after);
        if start == log.entries.len() {
            let left = log.expires.saturating_duration_since(now);
            return Some(Found::NothingYet { left });
        }
        let end = start.saturating_add(limit.max(1)).min(log.entries.len());
        Some(Found::Entries(log.entries[start..end].to_vec()))
    }

    pub(super) fn last(&mut self, id: &LogId, now: Instant) -> Option<(Position, Bytes)> {
        self.living(id, now)?.entries.last().cloned()
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
        if log.last().is_some_and(|last| last > after) {
            return Poll::Ready(());
        }
        let ticket = *ticket.get_or_insert_with(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        log.waiting
            .entry(ticket)
            .and_modify(|it| it.clone_from(waker))
            .or_insert_with(|| waker.clone());
        Poll::Pending
    }

    pub(super) fn forget(&mut self, id: &LogId, ticket: u64) {
        if let Some(log) = self.logs.get_mut(id) {
            log.waiting.remove(&ticket);
        }
    }

    fn living(&mut self, id: &LogId, now: Instant) -> Option<&mut Log> {
        if self.logs.get(id).is_some_and(|log| log.expires <= now) {
            self.drop_log(&id.clone());
        }
        self.logs.get_mut(id)
    }

    /// Returns what it takes to append the entry.
    fn cost(&self, id: &LogId, entry: &Bytes) -> usize {
        let list = match self.logs.get(id) {
            Some(log) => log.growth() * SLOT,
            None => LOG + id.as_str().len() + FIRST_SLOTS * SLOT,
        };
        list + entry.len() + ENTRY
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
            .map(|(id, log)| (log.expires, id.clone(), log.taken))
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
        if self.next_sweep.is_none_or(|at| at <= now) {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.next_sweep = Some(now + SWEEP);
        let expired: Vec<LogId> = self
            .logs
            .iter()
            .filter(|(_, log)| log.expires <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            self.drop_log(&id);
        }
    }

    /// Its readers are woken, to find that it is gone.
    fn drop_log(&mut self, id: &LogId) {
        if let Some(log) = self.logs.remove(id) {
            self.taken -= log.taken;
            self.woken.extend(log.waiting.into_values());
        }
    }
}

/// How many entries there is room for at first.
const FIRST_SLOTS: usize = 4;

impl Log {
    fn last(&self) -> Option<Position> {
        self.entries.last().map(|(at, _)| *at)
    }

    /// How many slots the list gets more, if another entry comes.
    fn growth(&self) -> usize {
        match self.entries.len() == self.entries.capacity() {
            true => self.entries.capacity().max(FIRST_SLOTS),
            false => 0,
        }
    }

    fn push(&mut self, at: Position, entry: &Bytes) {
        let before = self.entries.capacity();
        self.entries.reserve_exact(match self.growth() {
            0 => 1,
            growth => growth,
        });
        self.taken += (self.entries.capacity() - before) * SLOT + entry.len() + ENTRY;
        // A copy: the bytes may be a small part of a large buffer, which they would keep.
        self.entries.push((at, Bytes::copy_from_slice(entry)));
    }

    /// Says whether the entry stands there already, and keeps the log as an append does.
    fn repeat(
        &mut self,
        at: Position,
        entry: &Bytes,
        keep: Keep,
        expires: Instant,
    ) -> Result<(), AppendError> {
        let found = self.entries.binary_search_by_key(&at, |(at, _)| *at);
        if !found.is_ok_and(|index| self.entries[index].1 == entry) {
            return Err(AppendError::Fenced);
        }
        self.expires = self.expires.max(expires);
        self.is_over |= keep.is_over;
        Ok(())
    }
}
