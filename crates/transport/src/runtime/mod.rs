//! Time and tasks, from whichever async runtime there is.

#[cfg(feature = "http")]
pub(crate) mod hyper;
#[cfg(feature = "threads")]
mod threads;
mod wait;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "threads")]
pub use self::threads::ThreadRuntime;
pub use self::wait::Wait;

/// An async runtime: time for limits, and tasks for connections.
///
/// [`TokioRuntime`] is the default where the feature `tokio` is on. Replace it to run on a runtime of your choice, or to give a test a
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
///
/// Deliberately exhaustive: it holds nothing, and is written by its name.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioRuntime;

#[cfg(feature = "tokio")]
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

/// The present moment of tokio's clock, which tests pause; outside of tokio, and without it, that of the standard library.
#[cfg(feature = "cassette")]
pub(crate) fn now() -> Instant {
    #[cfg(feature = "tokio")]
    return Runtime::now(&TokioRuntime);
    #[cfg(not(feature = "tokio"))]
    return Instant::now();
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
