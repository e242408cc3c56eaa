use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// For how many runs there is room here.
#[derive(Clone)]
pub(in crate::backend::chat::recorded) struct Room {
    limit: usize,
    taken: Arc<AtomicUsize>,
}

/// The room of one run, until it is dropped.
pub(in crate::backend::chat::recorded) struct Place(Arc<AtomicUsize>);

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

    pub(in crate::backend::chat::recorded) fn take(&self) -> Option<Place> {
        let more = |taken: usize| (taken < self.limit).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Place(Arc::clone(&self.taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
