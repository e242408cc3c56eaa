//! Timers and tasks of any async runtime.

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

/// An async runtime: timers for limits, and tasks for connections.
///
/// [`TokioRuntime`] is the default with the feature `tokio`. Replace it to use another runtime, or to give a test its
/// own clock.
pub trait Runtime: Send + Sync + 'static {
    /// Returns a future that completes after `duration`. Dropping it cancels the timer.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

    /// Runs a future concurrently to its end. The future of a connection ends with the connection.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Returns the current time of the clock that [`sleep`](Self::sleep) uses. Default: [`Instant::now`]. Override it for a clock
    /// that can be paused.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// The tokio runtime of the caller.
///
/// Timers and tasks run on the runtime in which a request is sent; outside of a runtime, tokio panics.
///
/// Deliberately exhaustive: it has no fields, and users write its name.
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

/// Returns the current time of tokio's clock, which tests pause; outside of a tokio runtime, that of the standard library.
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
