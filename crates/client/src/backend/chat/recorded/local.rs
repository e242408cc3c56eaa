use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use twentyfirst_protocol::run_log::Position;

use super::logs::Pages;

/// How many bytes are held of a run for which there is no room anywhere.
const TAIL: usize = 256 * 1024;

/// Where this instance reads a run that it records.
#[derive(Clone, Default)]
pub(super) struct Local(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    place: Place,
    /// By their tickets. Mostly there is one, and often none.
    waiting: Vec<(u64, Waker)>,
    next_ticket: u64,
}

#[derive(Default)]
enum Place {
    /// In the memory of this process, which has all of it.
    #[default]
    Memory,
    /// In the store of all instances: memory has no room for a copy.
    Store,
    /// The store was given up, and memory has no room: what comes is held here, for readers that keep up.
    Tail(Tail),
}

/// The last entries of a run.
struct Tail {
    /// The position before the first of them.
    before: Position,
    entries: VecDeque<(Position, Bytes)>,
    size: usize,
}

/// Where to read what stands behind a position.
#[derive(Debug, Clone, Copy)]
pub(super) enum Behind {
    /// In memory.
    Memory,
    /// In the store.
    Store,
    /// Here, now or as soon as it comes.
    Tail,
    /// Not here any more: in memory or in the store, or else nowhere.
    BeforeTail,
}

impl Local {
    /// Notes that memory has no room for a copy.
    pub(super) fn leave_memory(&self) {
        let mut state = self.lock();
        if matches!(state.place, Place::Memory) {
            state.place = Place::Store;
        }
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.lock().place, Place::Memory)
    }

    /// Holds an entry for which there is no room anywhere.
    pub(super) fn hold(&self, at: Position, entry: Bytes) {
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

    /// The last entry, if it is held here.
    pub(super) fn last(&self) -> Option<(Position, Bytes)> {
        match &self.lock().place {
            Place::Tail(tail) => tail.entries.back().cloned(),
            Place::Memory | Place::Store => None,
        }
    }

    pub(super) fn behind(&self, after: Position) -> Behind {
        match &self.lock().place {
            Place::Memory => Behind::Memory,
            Place::Store => Behind::Store,
            Place::Tail(tail) if after < tail.before => Behind::BeforeTail,
            Place::Tail(_) => Behind::Tail,
        }
    }

    /// Ready with what is held behind this position, up to so many entries, as soon as there is something.
    pub(super) fn held(&self, after: Position, limit: usize) -> Held<'_> {
        Held {
            local: self,
            after,
            limit,
            ticket: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The place of a ticket in the list of who waits, or where it belongs.
    fn waiter(&self, ticket: u64) -> Result<usize, usize> {
        self.waiting.binary_search_by_key(&ticket, |(it, _)| *it)
    }
}

impl Tail {
    fn new(at: Position, entry: Bytes) -> Self {
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
        while self.size > TAIL && self.entries.len() > 1 {
            if let Some((at, entry)) = self.entries.pop_front() {
                self.before = at;
                self.size -= entry.len();
            }
        }
    }
}

/// Waits for what is held of a run.
pub(super) struct Held<'a> {
    local: &'a Local,
    after: Position,
    limit: usize,
    ticket: Option<u64>,
}

impl Future for Held<'_> {
    type Output = Pages;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Pages> {
        let this = &mut *self;
        let mut state = this.local.lock();
        if let Place::Tail(tail) = &state.place
            && this.after >= tail.before
        {
            let entries = tail.entries.iter().filter(|(at, _)| *at > this.after);
            let entries: Pages = entries.take(this.limit).cloned().collect();
            if !entries.is_empty() {
                return Poll::Ready(entries);
            }
        }
        let state = &mut *state;
        let ticket = *this.ticket.get_or_insert_with(|| {
            state.next_ticket += 1;
            state.next_ticket
        });
        match state.waiter(ticket) {
            Ok(index) => state.waiting[index].1.clone_from(cx.waker()),
            Err(index) => {
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
        match Pin::new(&mut local.held(after, 100)).poll(&mut cx) {
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
        // Six stands in memory, or nowhere.
        assert_eq!(held(&local, at(5)), None);
        assert!(matches!(local.behind(at(5)), Behind::BeforeTail));

        let large = Bytes::from(vec![b'x'; TAIL / 2]);
        for seq in 9..20 {
            local.hold(at(seq), large.clone());
        }
        assert!(matches!(local.behind(at(16)), Behind::BeforeTail));
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
