use std::time::Instant;

/// How long what was read of an answer waits until it stands in the log.
#[derive(Default)]
pub(crate) struct Lag {
    /// When the first chunk was read that no append holds yet.
    waiting: Option<Instant>,
    /// When the first chunk was read of those in the append that is under way.
    appending: Option<Instant>,
}

impl Lag {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Notes that a chunk was read.
    pub(crate) fn read(&mut self, now: impl FnOnce() -> Instant) {
        self.waiting.get_or_insert_with(now);
    }

    /// Notes that what waits is sent to the store, or the same as before once more.
    pub(crate) fn append(&mut self) {
        self.appending = self.appending.or_else(|| self.waiting.take());
    }

    /// Notes what the store has said.
    pub(crate) fn appended(&mut self, is_stored: bool, now: Instant) {
        if is_stored && let Some(read) = self.appending.take() {
            #[cfg(feature = "metrics")]
            super::meters::lagged(now.saturating_duration_since(read));
            #[cfg(not(feature = "metrics"))]
            let _ = (read, now);
        }
    }
}
