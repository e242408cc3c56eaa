use tokio::time::Instant;

use super::fault::After;

/// How far something has come.
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

    /// A part of an event.
    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// A whole event, or the last part of one.
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

    /// How many more bytes there may be, where that is what counts.
    pub(super) fn bytes_until(&self, after: After) -> Option<u64> {
        match after {
            After::Bytes(bytes) => Some(bytes.saturating_sub(self.bytes)),
            After::Events(_) | After::Time(_) => None,
        }
    }
}
