//! A [`Runtime`] of the standard library's threads.

use std::pin::Pin;
use std::thread;
use std::time::Duration;

use futures_timer::Delay;

use super::Runtime;

/// Timers and tasks on threads, for programs without an async runtime.
///
/// All timers share one thread, which starts with the first timer. Each task has its own thread until it ends; if the
/// operating system cannot start one, the task is dropped.
///
/// Deliberately exhaustive: it has no fields, and users write its name.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadRuntime;

impl Runtime for ThreadRuntime {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(Delay::new(duration))
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let thread = thread::Builder::new().name("task".to_owned());
        // Dropping the task also drops its channels, which tells anyone waiting for it.
        let _ = thread.spawn(move || pollster::block_on(task));
    }
}
