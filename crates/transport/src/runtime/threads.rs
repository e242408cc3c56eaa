//! A [`Runtime`] of the standard library's threads.

use std::pin::Pin;
use std::thread;
use std::time::Duration;

use futures_timer::Delay;

use super::Runtime;

/// Time and tasks on threads, for programs without an async runtime.
///
/// All timers share one thread, which starts with the first of them. Each task has a thread of its own until it ends; where the
/// operating system gives none, the task is dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadRuntime;

impl Runtime for ThreadRuntime {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(Delay::new(duration))
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let thread = thread::Builder::new().name("task".to_owned());
        // Whoever waits for a task that was dropped learns of it from what the task held.
        let _ = thread.spawn(move || pollster::block_on(task));
    }
}
