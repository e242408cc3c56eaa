//! Whether a request is still in our hands when its time is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// An extension of a request, by which the transport at the bottom tells [`WithTimeouts`](super::WithTimeouts) above
/// how far the request has come. Between them may be any layers.
///
/// It only ever goes forward: when a layer sends the request twice, the attempt that came furthest counts. A
/// transport that does not know of it proves nothing.
#[derive(Clone, Default)]
pub(crate) struct Handover {
    stage: Arc<AtomicU8>,
}

const WAITING: u8 = 1;
#[cfg(feature = "http")]
const GIVEN: u8 = 2;

impl Handover {
    /// The request waits for a connection, and [`set_given`](Self::set_given) will be called before one gets it.
    #[cfg(feature = "http")]
    pub(crate) fn set_waiting(&self) {
        self.stage.fetch_max(WAITING, Ordering::Relaxed);
    }

    /// A connection has the request.
    #[cfg(feature = "http")]
    pub(crate) fn set_given(&self) {
        self.stage.fetch_max(GIVEN, Ordering::Relaxed);
    }

    /// Whether bytes of the request may have left.
    pub(super) fn maybe_sent(&self) -> bool {
        self.stage.load(Ordering::Relaxed) != WAITING
    }
}
