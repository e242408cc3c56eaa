use bytes::Bytes;

use crate::body::Body;

/// A body up to the limit of a recording, and the full length of a longer one.
pub(super) struct Held {
    pub(super) bytes: Vec<Bytes>,
    pub(super) length: usize,
}

impl Held {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            length: 0,
        }
    }

    pub(super) fn add(&mut self, data: &Bytes) {
        self.length = self.length.saturating_add(data.len());
        if self.is_too_long() {
            // Nothing of it is written, so free it now.
            self.bytes = Vec::new();
        } else {
            self.bytes.push(data.clone());
        }
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.length > Body::DEFAULT_LIMIT
    }
}
