use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use twentyfirst_transport::Runtime;

use super::Refusal;

/// Does something to its end, also when the browser leaves.
pub(super) async fn to_its_end<T: Send + 'static>(
    runtime: &Arc<dyn Runtime>,
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let (giver, taker) = handover();
    runtime.spawn(Box::pin(async move { giver.give(work.await) }));
    taker
        .await
        .unwrap_or_else(|| Err(Refusal::internal("this server failed")))
}

/// Something that is given from one task to another, once.
pub(super) fn handover<T>() -> (Giver<T>, Taker<T>) {
    let shared = Arc::new(Mutex::new(Shared {
        thing: None,
        waker: None,
        is_over: false,
    }));
    (Giver(Arc::clone(&shared)), Taker(shared))
}

/// Who gives.
pub(super) struct Giver<T>(Arc<Mutex<Shared<T>>>);

/// Who waits: for the thing, or for `None` when there will be none.
pub(super) struct Taker<T>(Arc<Mutex<Shared<T>>>);

struct Shared<T> {
    thing: Option<T>,
    waker: Option<Waker>,
    /// Whether the giver is gone.
    is_over: bool,
}

fn lock<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Giver<T> {
    /// Gives it. Where nobody waits any more, it is dropped.
    pub(super) fn give(self, thing: T) {
        lock(&self.0).thing = Some(thing);
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        let waker = {
            let mut shared = lock(&self.0);
            shared.is_over = true;
            shared.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Taker<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut shared = lock(&self.0);
        if let Some(thing) = shared.thing.take() {
            return Poll::Ready(Some(thing));
        }
        if shared.is_over {
            return Poll::Ready(None);
        }
        shared.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
