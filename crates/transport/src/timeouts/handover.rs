//! Tracks how far a request has come. When a time limit expires, this tells whether the request may have been sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// An extension of a request. The services below [`WithTimeouts`](super::WithTimeouts) record in it how far the request has come.
///
/// ```text
///   UNKNOWN ──► HELD ──────► PASSED ──────► WAITING ──────────► GIVEN
///               waits for     through        the transport  │    a connection
///               the service   any layers     waits for a    │    has the request
///               to be ready                  connection     └──► WITHDRAWN
///                                                                no connection may have it
/// ```
///
/// Only `HELD`, `WAITING` and `WITHDRAWN` prove that nothing was sent. The first service is the one directly below, which takes
/// requests when it is ready (a concurrency limit, when it has a permit). The last is the transport at the bottom. Any layers may be
/// between them.
///
/// The stage never goes back: if a layer sends the request twice, the attempt that came furthest counts. A
/// transport that does not record stages proves nothing.
#[derive(Clone, Default)]
pub(crate) struct Handover {
    stage: Arc<AtomicU8>,
}

// Not `HELD` from the start: a type that implements `Transport` directly never records a stage, and may have sent the request.
const UNKNOWN: u8 = 0;
const HELD: u8 = 1;
const PASSED: u8 = 2;
const WAITING: u8 = 3;
#[cfg(any(feature = "http", feature = "reqwest"))]
const GIVEN: u8 = 4;
const WITHDRAWN: u8 = 5;

impl Handover {
    /// Records that the request waits for a service to be ready. [`set_passed`](Self::set_passed) must be called before the service gets it.
    ///
    /// Counts for the first service only: a later one may hold a second attempt, after a first that was sent.
    pub(crate) fn set_held(&self) {
        self.replace(UNKNOWN, HELD);
    }

    /// Records that the service gets the request.
    pub(crate) fn set_passed(&self) {
        self.replace(HELD, PASSED);
    }

    /// Records that the request waits for a connection. [`set_given`](Self::set_given) must be called before a connection gets it.
    #[cfg(any(feature = "http", feature = "reqwest"))]
    pub(crate) fn set_waiting(&self) {
        self.stage.fetch_max(WAITING, Ordering::Relaxed);
    }

    /// Records that a connection has the request. Returns `false` if it was [withdrawn](Self::withdraw): none of it may be sent then.
    #[cfg(any(feature = "http", feature = "reqwest"))]
    pub(crate) fn set_given(&self) -> bool {
        self.stage.fetch_max(GIVEN, Ordering::Relaxed) != WITHDRAWN
    }

    /// Returns whether bytes of the request may have been sent: every stage that proves nothing counts as sent.
    pub(crate) fn maybe_sent(&self) -> bool {
        !matches!(
            self.stage.load(Ordering::Relaxed),
            HELD | WAITING | WITHDRAWN
        )
    }

    /// Gives up the request, and returns whether bytes of it may have been sent. If not, the transport sends none later: another
    /// thread may be about to pass it to a connection.
    pub(crate) fn withdraw(&self) -> bool {
        self.replace(WAITING, WITHDRAWN);
        self.maybe_sent()
    }

    fn replace(&self, stage: u8, next: u8) {
        let _ = self
            .stage
            .compare_exchange(stage, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}
