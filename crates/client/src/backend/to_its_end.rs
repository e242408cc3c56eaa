use std::sync::Arc;

use futures_channel::oneshot;
use twentyfirst_transport::Runtime;

use super::Refusal;

/// Does something to its end, also when the browser leaves.
pub(super) async fn to_its_end<T: Send + 'static>(
    runtime: &Arc<dyn Runtime>,
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let (sender, receiver) = oneshot::channel();
    runtime.spawn(Box::pin(async move {
        // Where nobody waits any more, it is dropped.
        let _ = sender.send(work.await);
    }));
    told(receiver).await
}

/// What a task says that it was given to say; it failed where it says nothing.
pub(super) async fn told<T>(receiver: oneshot::Receiver<Result<T, Refusal>>) -> Result<T, Refusal> {
    let told = receiver.await;
    told.unwrap_or_else(|_| Err(Refusal::internal("this server failed")))
}
