use tokio::time::Instant;

use super::fault::After;

/// The progress of a body or a run, compared with the point of a fault.
#[derive(Debug)]
pub(crate) struct Progress {
    bytes: u64,
    events: u64,
    pub(crate) begun: Instant,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            bytes: 0,
            events: 0,
            begun: Instant::now(),
        }
    }

    /// Counts a part of an event.
    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Counts a whole event, or the last part of one.
    pub(crate) fn add_event(&mut self, bytes: usize) {
        self.add_bytes(bytes);
        self.events = self.events.saturating_add(1);
    }

    pub(crate) fn has_reached(&self, after: After) -> bool {
        match after {
            After::Bytes(bytes) => self.bytes >= bytes,
            After::Events(events) => self.events >= events,
            After::Time(time) => self.begun.elapsed() >= time,
        }
    }

    /// Returns the number of bytes until this point, if it is a point in bytes.
    pub(super) fn bytes_until(&self, after: After) -> Option<u64> {
        match after {
            After::Bytes(bytes) => Some(bytes.saturating_sub(self.bytes)),
            After::Events(_) | After::Time(_) => None,
        }
    }
}
