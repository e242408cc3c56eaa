//! A runtime for the transport, with a clock that advances only on command.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use twentyfirst_transport::Runtime;

#[derive(Clone)]
pub(crate) struct Clock {
    start: Instant,
    passed: Arc<watch::Sender<Duration>>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            passed: Arc::new(watch::Sender::new(Duration::ZERO)),
        }
    }

    /// Waits until a task sleeps, then lets the time pass.
    pub(crate) async fn pass_for_a_sleeper(&self, time: Duration) {
        crate::soon(async {
            while self.passed.receiver_count() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        self.passed.send_modify(|passed| *passed += time);
    }
}

impl Runtime for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let mut passed = self.passed.subscribe();
        let deadline = *passed.borrow() + duration;
        Box::pin(async move {
            let woken = passed.wait_for(|passed| *passed >= deadline).await;
            assert!(woken.is_ok(), "a sleeper outlived its clock");
        })
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }

    fn now(&self) -> Instant {
        self.start + *self.passed.borrow()
    }
}
