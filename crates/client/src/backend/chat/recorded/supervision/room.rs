use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The limit on runs that are followed here.
#[derive(Clone)]
pub(in crate::backend::chat::recorded) struct Room {
    limit: usize,
    taken: Arc<AtomicUsize>,
}

/// The place of one run within the limit. Dropping it frees the place.
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
            // Seats that were taken earlier count towards the earlier limit only.
            taken: Arc::default(),
        }
    }

    /// Takes a place within the limit, if one is free.
    pub(in crate::backend::chat::recorded) fn take(&self) -> Option<Seat> {
        // In one step, so that of two callers that see the last free place only one takes it.
        let more = |taken: usize| (taken < self.limit).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Seat(Arc::clone(&self.taken)))
    }

    /// Takes a place even beyond the limit, for a turn that was accepted earlier and must not wait any longer.
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
