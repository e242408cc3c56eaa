use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use twentyfirst_protocol::runs::RunRef;

use super::local::Local;

/// The view of a run recorded here for all but its keeper.
#[derive(Clone, Default)]
pub(super) struct Handle {
    shared: Arc<Mutex<Shared>>,
    pub(super) local: Local,
}

#[derive(Default)]
struct Shared {
    release: bool,
    is_over: bool,
    run: Option<RunRef>,
    keeper: Option<Waker>,
    waiting: Vec<Waker>,
}

impl Handle {
    /// Whether both are of the same keeper. A run may be recorded here again by another.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Asks the keeper to release the run.
    pub(super) fn release(&self) {
        // Woken outside of the lock, since a waker may poll at once and take it again.
        let keeper = {
            let mut shared = self.shared();
            shared.release = true;
            shared.keeper.take()
        };
        if let Some(keeper) = keeper {
            keeper.wake();
        }
    }

    /// Completes when nothing more is recorded.
    pub(super) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared();
        if shared.is_over {
            return Poll::Ready(());
        }
        // Few tasks wait, and only while an instance is drained or a duty takes over, so wakers are not deduplicated.
        shared.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the keeper was asked to release the run since the last call. Wakes the keeper when it is asked later.
    pub(super) fn wants_release(&self, cx: &mut Context<'_>) -> bool {
        // Both under one lock, so that no request is missed in between.
        let mut shared = self.shared();
        shared.keeper = Some(cx.waker().clone());
        // Taken, so that the recorder is asked once.
        mem::take(&mut shared.release)
    }

    /// Returns the reference of the run at the relay, once it has started.
    pub(super) fn run(&self) -> Option<RunRef> {
        self.shared().run.clone()
    }

    pub(super) fn started(&self, run: RunRef) {
        self.shared().run = Some(run);
    }

    pub(super) fn is_over(&self) -> bool {
        self.shared().is_over
    }

    /// Marks the run as no longer recorded, and wakes all that wait for this.
    pub(super) fn over(&self) {
        let waiting = {
            let mut shared = self.shared();
            shared.is_over = true;
            mem::take(&mut shared.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
