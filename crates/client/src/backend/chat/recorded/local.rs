use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use twentyfirst_protocol::run_log::Position;

use super::logs::Pages;

/// The most bytes that are held of a run for which neither memory nor store has room.
const TAIL: usize = 256 * 1024;

/// The place from which this instance reads a run that it records.
///
/// ```text
///   Memory ── no room for a copy ──► Store ── the store was given up ──► Tail
///      └───────── no room for a copy, and the store was given up ─────────┘
/// ```
///
/// A run never goes back to an earlier place: that one would lack the entries in between.
#[derive(Clone, Default)]
pub(super) struct Local(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    place: Place,
    /// Ordered by ticket. Mostly there is one, and often none.
    waiting: Vec<(u64, Waker)>,
    next_ticket: u64,
}

#[derive(Default)]
enum Place {
    /// The memory of this process has the whole run.
    #[default]
    Memory,
    /// The store of all instances has it: memory has no room for a copy.
    Store,
    /// The store was given up, and memory has no room. New entries are held here, for readers that keep up.
    Tail(Tail),
}

/// The last entries of a run.
struct Tail {
    /// The position before the first held entry.
    before: Position,
    entries: VecDeque<(Position, Bytes)>,
    size: usize,
}

/// The place of the entries after a position.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReadFrom {
    /// In memory.
    Memory,
    /// In the store.
    Store,
    /// In the tail, now or as soon as they arrive.
    Tail,
    /// Already dropped from the tail: in memory or in the store, or else nowhere.
    BeforeTail,
}

impl Local {
    /// Records that memory has no room for a copy, and sends the readers that wait there to the store.
    pub(super) fn leave_memory(&self) {
        let waiting = {
            let mut state = self.lock();
            // A run in the tail stays there: its last entries are in no store.
            if matches!(state.place, Place::Memory) {
                state.place = Place::Store;
            }
            mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.lock().place, Place::Memory)
    }

    /// Holds an entry for which neither memory nor store has room.
    pub(super) fn hold(&self, at: Position, entry: Bytes) {
        // Readers are woken outside of the lock, since a waker may poll at once and take it again.
        let waiting = {
            let mut state = self.lock();
            match &mut state.place {
                Place::Tail(tail) => tail.push(at, entry),
                place => *place = Place::Tail(Tail::new(at, entry)),
            }
            mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Returns the last entry, if it is held here.
    pub(super) fn last(&self) -> Option<(Position, Bytes)> {
        match &self.lock().place {
            Place::Tail(tail) => tail.entries.back().cloned(),
            // There it is also in the log that is read anyway.
            Place::Memory | Place::Store => None,
        }
    }

    pub(super) fn read_from(&self, after: Position) -> ReadFrom {
        match &self.lock().place {
            Place::Memory => ReadFrom::Memory,
            Place::Store => ReadFrom::Store,
            Place::Tail(tail) if after < tail.before => ReadFrom::BeforeTail,
            Place::Tail(_) => ReadFrom::Tail,
        }
    }

    /// Completes with at most `limit` held entries after this position, as soon as there are any. For a reader that waits in
    /// memory, it completes without entries when the run leaves memory: nothing more comes there.
    pub(super) fn held(&self, after: Position, limit: usize, waits_in_memory: bool) -> Held<'_> {
        Held {
            local: self,
            after,
            limit,
            waits_in_memory,
            ticket: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the index of a ticket in the list of waiters, or the index at which to insert it.
    fn waiter(&self, ticket: u64) -> Result<usize, usize> {
        self.waiting.binary_search_by_key(&ticket, |(it, _)| *it)
    }
}

impl Tail {
    fn new(at: Position, entry: Bytes) -> Self {
        // The position before the first entry, so that a reader that has everything before it can go on here.
        let before = match at.seq {
            0 => Position::START,
            seq => Position::new(at.epoch, seq - 1),
        };
        let size = entry.len();
        let entries = [(at, entry)].into();
        Self {
            before,
            entries,
            size,
        }
    }

    fn push(&mut self, at: Position, entry: Bytes) {
        self.size += entry.len();
        self.entries.push_back((at, entry));
        // The last entry stays even if it alone exceeds the limit, or readers that keep up would miss it.
        while self.size > TAIL && self.entries.len() > 1 {
            if let Some((at, entry)) = self.entries.pop_front() {
                self.before = at;
                self.size -= entry.len();
            }
        }
    }
}

/// Waits for held entries of a run.
pub(super) struct Held<'a> {
    local: &'a Local,
    after: Position,
    limit: usize,
    waits_in_memory: bool,
    ticket: Option<u64>,
}

impl Future for Held<'_> {
    type Output = Pages;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Pages> {
        let this = &mut *self;
        let mut state = this.local.lock();
        // Entries were dropped before `tail.before`: a reader behind that would skip them.
        if let Place::Tail(tail) = &state.place
            && this.after >= tail.before
        {
            let entries = tail.entries.iter().filter(|(at, _)| *at > this.after);
            let entries: Pages = entries.take(this.limit).cloned().collect();
            if !entries.is_empty() {
                return Poll::Ready(entries);
            }
        }
        if this.waits_in_memory && matches!(state.place, Place::Store) {
            return Poll::Ready(Pages::new());
        }
        let state = &mut *state;
        let ticket = *this.ticket.get_or_insert_with(|| {
            // Tickets only grow, so that the list stays ordered.
            state.next_ticket += 1;
            state.next_ticket
        });
        match state.waiter(ticket) {
            Ok(index) => state.waiting[index].1.clone_from(cx.waker()),
            Err(index) => {
                // Mostly one reader waits. A vector would otherwise allocate room for four at the first push.
                if state.waiting.is_empty() {
                    state.waiting.reserve_exact(1);
                }
                state.waiting.insert(index, (ticket, cx.waker().clone()));
            }
        }
        Poll::Pending
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Each read of each browser waits here once, so those that end otherwise must leave the list.
        if let Some(ticket) = self.ticket {
            let mut state = self.local.lock();
            if let Ok(index) = state.waiter(ticket) {
                state.waiting.remove(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(local: &Local, after: Position) -> Option<Vec<Position>> {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut local.held(after, 100, true)).poll(&mut cx) {
            Poll::Ready(entries) => Some(entries.into_iter().map(|(at, _)| at).collect()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_tail_is_for_those_who_keep_up_and_has_a_limit() {
        let local = Local::default();
        let at = |seq| Position::new(1, seq);
        assert_eq!(held(&local, at(6)), None);
        local.hold(at(7), Bytes::from_static(b"seven"));
        local.hold(at(8), Bytes::from_static(b"eight"));
        assert_eq!(held(&local, at(6)), Some(vec![at(7), at(8)]));
        assert_eq!(held(&local, at(7)), Some(vec![at(8)]));
        assert_eq!(held(&local, at(8)), None);
        // Entry six is in memory, or nowhere.
        assert_eq!(held(&local, at(5)), None);
        assert!(matches!(local.read_from(at(5)), ReadFrom::BeforeTail));

        let large = Bytes::from(vec![b'x'; TAIL / 2]);
        for seq in 9..20 {
            local.hold(at(seq), large.clone());
        }
        assert!(matches!(local.read_from(at(16)), ReadFrom::BeforeTail));
        assert_eq!(held(&local, at(17)), Some(vec![at(18), at(19)]));
        assert_eq!(local.last().map(|(at, _)| at), Some(at(19)));
        assert!(local.lock().waiting.is_empty(), "nobody waits any more");
    }

    #[test]
    fn a_tail_from_the_claim_on_has_the_whole_run() {
        let local = Local::default();
        let claim = Position::START.next_claim();
        local.hold(claim, Bytes::from_static(b"claim"));
        assert_eq!(held(&local, Position::START), Some(vec![claim]));
    }
}
