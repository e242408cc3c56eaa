//! Whether a request is still in our hands when its time is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// An extension of a request, by which what it is sent with tells [`WithTimeouts`](super::WithTimeouts) above how far the request has come.
///
/// First is the service directly below, which takes requests when it is ready (a concurrency limit is when it has a permit). Last is the
/// transport at the bottom. Between them may be any layers.
///
/// It only ever goes forward: when a layer sends the request twice, the attempt that came furthest counts. A
/// transport that does not know of it proves nothing.
#[derive(Clone, Default)]
pub(crate) struct Handover {
    stage: Arc<AtomicU8>,
}

// Nothing is known at first: a type may implement `Transport` by itself.
const UNKNOWN: u8 = 0;
const HELD: u8 = 1;
const PASSED: u8 = 2;
const WAITING: u8 = 3;
#[cfg(any(feature = "http", feature = "reqwest"))]
const GIVEN: u8 = 4;

impl Handover {
    /// The request waits for a service to be ready, and [`set_passed`](Self::set_passed) will be called before it gets it.
    ///
    /// Counts for the first service only: one that is further down may wait for a second attempt, after a first that was sent.
    pub(crate) fn set_held(&self) {
        self.replace(UNKNOWN, HELD);
    }

    /// The service that was waited for gets the request.
    pub(crate) fn set_passed(&self) {
        self.replace(HELD, PASSED);
    }

    /// The request waits for a connection, and [`set_given`](Self::set_given) will be called before one gets it.
    #[cfg(any(feature = "http", feature = "reqwest"))]
    pub(crate) fn set_waiting(&self) {
        self.stage.fetch_max(WAITING, Ordering::Relaxed);
    }

    /// A connection has the request.
    #[cfg(any(feature = "http", feature = "reqwest"))]
    pub(crate) fn set_given(&self) {
        self.stage.fetch_max(GIVEN, Ordering::Relaxed);
    }

    /// Whether bytes of the request may have left.
    pub(crate) fn maybe_sent(&self) -> bool {
        !matches!(self.stage.load(Ordering::Relaxed), HELD | WAITING)
    }

    fn replace(&self, stage: u8, next: u8) {
        let _ = self
            .stage
            .compare_exchange(stage, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}
