use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use twentyfirst_protocol::runs::RunRef;

use super::local::Local;

/// A run that is recorded here, to everybody but its keeper.
#[derive(Clone, Default)]
pub(super) struct Handle {
    wish: Arc<Mutex<Wish>>,
    pub(super) local: Local,
}

#[derive(Default)]
struct Wish {
    release: bool,
    is_over: bool,
    run: Option<RunRef>,
    keeper: Option<Waker>,
    waiting: Vec<Waker>,
}

impl Handle {
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.wish, &other.wish)
    }

    /// Lets the run go.
    pub(super) fn release(&self) {
        let keeper = {
            let mut wish = self.wish();
            wish.release = true;
            wish.keeper.take()
        };
        if let Some(keeper) = keeper {
            keeper.wake();
        }
    }

    /// Ready when nothing more is recorded.
    pub(super) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wish = self.wish();
        if wish.is_over {
            return Poll::Ready(());
        }
        wish.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn wants_release(&self, cx: &mut Context<'_>) -> bool {
        let mut wish = self.wish();
        wish.keeper = Some(cx.waker().clone());
        mem::take(&mut wish.release)
    }

    /// The run at the relay, once it has started.
    pub(super) fn run(&self) -> Option<RunRef> {
        self.wish().run.clone()
    }

    pub(super) fn started(&self, run: RunRef) {
        self.wish().run = Some(run);
    }

    pub(super) fn is_over(&self) -> bool {
        self.wish().is_over
    }

    pub(super) fn over(&self) {
        let waiting = {
            let mut wish = self.wish();
            wish.is_over = true;
            mem::take(&mut wish.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }

    fn wish(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
