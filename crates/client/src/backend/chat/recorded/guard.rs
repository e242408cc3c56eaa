use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::backend::chat::chat_run::Observer;

/// Awaits a future of the caller. Returns `None` if it panics, so that the run is recorded all the same.
pub(super) async fn catch_panic<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    // Unwind safe, because a future that has panicked is not polled again: nobody sees what it has left half done.
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        },
    )
    .await
}

/// Wraps an observer so that it is not called again after it has panicked.
pub(super) fn guarded(observer: Observer) -> Observer {
    let mut observer = Some(observer);
    Box::new(move |observed| {
        let Some(observe) = &mut observer else {
            return;
        };
        let called = catch_unwind(AssertUnwindSafe(|| observe(observed)));
        if called.is_err() {
            // Dropping the observer may panic as well.
            let _ = catch_unwind(AssertUnwindSafe(|| observer = None));
        }
    })
}
