use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use twentyfirst_transport::Runtime;

/// Awaits a future for at most `limit`. Returns `None` after that.
pub(super) async fn within<F: Future>(
    runtime: &Arc<dyn Runtime>,
    limit: Duration,
    work: F,
) -> Option<F::Output> {
    let mut work = pin!(work);
    // The timer is set only if the future is pending: a store in memory never is.
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
