use std::time::{Duration, Instant};

use super::super::{Position, Reader};
use super::LOOK;

/// Whether somebody still writes in a log, as looks at its last entry tell.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    at: Option<Position>,
    silence: Duration,
    looked: Option<Instant>,
    is_released: bool,
}

impl Pulse {
    /// The last entry stands here.
    pub(super) fn saw(&mut self, at: Position, is_released: bool, now: Instant) {
        if self.at == Some(at) {
            // A process that was stopped meanwhile has waited for longer than the log was silent.
            let since = self.looked.map_or(Duration::ZERO, |looked| {
                now.saturating_duration_since(looked)
            });
            self.silence += since.min(LOOK);
        } else {
            self.silence = Duration::ZERO;
        }
        self.at = Some(at);
        self.is_released = is_released;
        self.looked = Some(now);
    }

    /// The store did not say: nothing is known of the time since the last look.
    pub(super) fn saw_nothing(&mut self) {
        self.looked = None;
    }

    /// Counts anew: somebody has claimed the log, or has tried to.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Where the last entry stands, if nobody writes any more.
    pub(super) fn stopped_at(&self) -> Option<Position> {
        let has_stopped = self.is_released || self.silence >= Reader::SILENCE;
        self.at.filter(|_| has_stopped)
    }
}
