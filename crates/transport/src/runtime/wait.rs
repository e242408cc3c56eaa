use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Runtime;

/// One timer for a limit that begins again and again: it wakes when a time has passed since some moment.
///
/// The moment may move with every piece of a body, and a timer for each would cost more than the piece. So the timer
/// is left as it is, and only when it fires is it set again, to what is left by then.
pub struct Wait {
    runtime: Arc<dyn Runtime>,
    sleep: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Wait {
    /// A timer by the clock of this runtime. It is set when it is polled.
    pub fn new(runtime: &Arc<dyn Runtime>) -> Self {
        Self {
            runtime: Arc::clone(runtime),
            sleep: None,
        }
    }

    /// The present moment of its clock.
    pub fn now(&self) -> Instant {
        self.runtime.now()
    }

    /// Ready when `limit` has passed since `since`. From one call to the next, the end of it may only become later.
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

    /// Forgets the timer, because the next end may be earlier.
    pub fn reset(&mut self) {
        self.sleep = None;
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
