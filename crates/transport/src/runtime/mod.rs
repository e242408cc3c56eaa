//! Time and tasks, from whichever async runtime there is.

pub(crate) mod hyper;
mod wait;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::wait::Wait;

/// What [`HttpTransport`](crate::HttpTransport) and [`WithTimeouts`](crate::WithTimeouts) need from an async runtime:
/// time for their limits, and a task for each connection.
///
/// [`TokioRuntime`] is the default. Replace it to run connections on a runtime of your choice, or to give a test a
/// clock of its own.
pub trait Runtime: Send + Sync + 'static {
    /// A future that is ready when `duration` has passed. Dropping it forgets the timer.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

    /// Runs a future to its end beside everything else. It ends by itself when its connection does.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// The present moment of the clock that [`sleep`](Self::sleep) goes by: [`Instant::now`], except under a clock
    /// that can be paused.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// The tokio runtime that the caller is on.
///
/// Its timers and tasks belong to the runtime within which a request is sent; without one, tokio panics.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioRuntime;

impl Runtime for TokioRuntime {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl<R: Runtime + ?Sized> Runtime for Arc<R> {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        (**self).sleep(duration)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        (**self).spawn(task);
    }

    fn now(&self) -> Instant {
        (**self).now()
    }
}
