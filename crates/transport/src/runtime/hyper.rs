//! Adapts a [`Runtime`] to hyper.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt;

use super::Runtime;

/// An executor and a timer for hyper.
#[derive(Clone)]
pub(crate) struct HyperRuntime(pub(crate) Arc<dyn Runtime>);

impl rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>> for HyperRuntime {
    fn execute(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(task);
    }
}

impl rt::Timer for HyperRuntime {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Sleep(self.0.sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        rt::Timer::sleep(self, deadline.saturating_duration_since(self.0.now()))
    }

    fn now(&self) -> Instant {
        self.0.now()
    }
}

/// A boxed future that implements hyper's `Sleep`.
struct Sleep(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl rt::Sleep for Sleep {}
