use std::time::{Duration, Instant};

use super::super::{Position, Reader};
use super::LOOK;

/// A detector for a log without a writer, from repeated looks at its last entry.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    at: Option<Position>,
    silence: Duration,
    looked: Option<Instant>,
    is_released: bool,
}

impl Pulse {
    /// Notes the position of the last entry.
    pub(super) fn saw(&mut self, at: Position, is_released: bool, now: Instant) {
        if self.at == Some(at) {
            // At most one interval is counted: a suspended process measures a longer time, in which the log need not have been
            // silent.
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

    /// Notes that the store did not respond, so the time since the last look does not count.
    pub(super) fn saw_no_response(&mut self) {
        self.looked = None;
    }

    /// Starts again, because somebody has claimed the log or tried to.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns the position of the last entry, if the log has no writer any more.
    pub(super) fn stopped_at(&self) -> Option<Position> {
        let has_stopped = self.is_released || self.silence >= Reader::SILENCE;
        self.at.filter(|_| has_stopped)
    }
}
