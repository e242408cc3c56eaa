use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// For how many runs there is room here.
#[derive(Clone)]
pub(in crate::backend::chat::recorded) struct Room {
    limit: usize,
    taken: Arc<AtomicUsize>,
}

/// The room of one run, until it is dropped.
pub(in crate::backend::chat::recorded) struct Seat(Arc<AtomicUsize>);

impl Default for Room {
    fn default() -> Self {
        Self::of(usize::MAX)
    }
}

impl Room {
    pub(super) fn of(limit: usize) -> Self {
        Self {
            limit,
            taken: Arc::default(),
        }
    }

    pub(in crate::backend::chat::recorded) fn take(&self) -> Option<Seat> {
        let more = |taken: usize| (taken < self.limit).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Seat(Arc::clone(&self.taken)))
    }

    /// Takes it where there is none, too: for a turn whose time has come.
    pub(in crate::backend::chat::recorded) fn take_anyway(&self) -> Seat {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Seat(Arc::clone(&self.taken))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
