use std::sync::Arc;

use futures_channel::oneshot;
use twentyfirst_transport::Runtime;

use super::Refusal;

/// Runs `work` to its end, even if the browser leaves.
pub(super) async fn run_to_completion<T: Send + 'static>(
    runtime: &Arc<dyn Runtime>,
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let (sender, receiver) = oneshot::channel();
    runtime.spawn(Box::pin(async move {
        // Fails only if nobody waits any more; then the result is dropped.
        let _ = sender.send(work.await);
    }));
    receive(receiver).await
}

/// Receives the result of a task. If the task is gone, because it panicked or its runtime has ended, that is an internal error.
pub(super) async fn receive<T>(
    receiver: oneshot::Receiver<Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let result = receiver.await;
    result.unwrap_or_else(|_| Err(Refusal::internal("this server failed")))
}
