use std::time::Instant;

/// Measures the delay between reading a chunk and storing it in the run log.
#[derive(Default)]
pub(crate) struct Lag {
    /// The time at which the oldest chunk that waits for the next append was read.
    waiting: Option<Instant>,
    /// The time at which the oldest chunk of the current append was read. Kept until the append succeeds, also if it is retried.
    appending: Option<Instant>,
}

impl Lag {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Records that a chunk was read.
    pub(crate) fn read(&mut self, now: impl FnOnce() -> Instant) {
        self.waiting.get_or_insert_with(now);
    }

    /// Records that the waiting chunks are sent to the store, or that an append that failed is retried.
    pub(crate) fn append(&mut self) {
        self.appending = self.appending.or_else(|| self.waiting.take());
    }

    /// Records the result of the append.
    pub(crate) fn appended(&mut self, is_stored: bool, now: Instant) {
        if is_stored && let Some(read) = self.appending.take() {
            #[cfg(feature = "metrics")]
            super::meters::lagged(now.saturating_duration_since(read));
            #[cfg(not(feature = "metrics"))]
            let _ = (read, now);
        }
    }
}
