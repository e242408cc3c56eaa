//! The runtime of smol, for a client that has no tokio.

use std::pin::Pin;
use std::time::Duration;

use twentyfirst_client::transport::Runtime;

/// Timers and tasks of smol.
pub(crate) struct Smol;

impl Runtime for Smol {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(async move {
            smol::Timer::after(duration).await;
        })
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        smol::spawn(task).detach();
    }
}
