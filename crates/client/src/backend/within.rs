use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use twentyfirst_transport::Runtime;

/// Awaits something for so long: `None` where it takes longer.
pub(super) async fn within<F: Future>(
    runtime: &Arc<dyn Runtime>,
    limit: Duration,
    work: F,
) -> Option<F::Output> {
    let mut work = pin!(work);
    // Set when it is needed: a store in memory does not wait.
    let mut timer = None;
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            let timer = timer.get_or_insert_with(|| runtime.sleep(limit));
            timer.as_mut().poll(cx).map(|()| None)
        }
    })
    .await
}
