use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Runtime;

/// A timer for a limit that restarts often. It completes when a time has passed since an instant that may move.
///
/// The instant moves with every piece of a body, and setting a timer for each would cost more than the piece. So the timer
/// keeps running. When it fires too early, it is set again to the time that is then left.
pub struct Wait {
    runtime: Arc<dyn Runtime>,
    sleep: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Wait {
    /// Creates a timer that uses the clock of this runtime. It is set when it is first polled.
    pub fn new(runtime: &Arc<dyn Runtime>) -> Self {
        Self {
            runtime: Arc::clone(runtime),
            sleep: None,
        }
    }

    /// Returns the current time of the clock.
    pub fn now(&self) -> Instant {
        self.runtime.now()
    }

    /// Completes when `limit` has passed since `since`. Between calls, this end may move later. If it moves earlier, call
    /// [`reset`](Self::reset) first.
    pub fn poll(&mut self, since: Instant, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let sleep = match &mut self.sleep {
                Some(sleep) => sleep,
                None => {
                    let passed = self.runtime.now().saturating_duration_since(since);
                    let left = limit.saturating_sub(passed);
                    if left.is_zero() {
                        return Poll::Ready(());
                    }
                    self.sleep.insert(self.runtime.sleep(left))
                }
            };
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
    }

    /// Cancels the timer. The next poll sets it anew.
    pub fn reset(&mut self) {
        self.sleep = None;
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
