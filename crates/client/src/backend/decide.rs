use std::pin::Pin;
use std::sync::Arc;

use super::Refusal;

/// The user's function, which decides what a request may do.
///
/// Erased, so that a handler has a type that can be written down, in a struct or a function's signature.
pub(super) struct Decide<R, T>(Arc<Function<R, T>>);

type Function<R, T> = dyn Fn(R) -> Decision<T> + Send + Sync;
type Decision<T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send>>;

impl<R, T> Decide<R, T> {
    pub(super) fn new<F, Fut, U>(function: F) -> Self
    where
        F: Fn(R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, Refusal>> + Send + 'static,
        U: Into<T>,
    {
        Self(Arc::new(move |request| {
            let decision = function(request);
            Box::pin(async move { Ok(decision.await?.into()) })
        }))
    }

    pub(super) async fn ask(&self, request: R) -> Result<T, Refusal> {
        (self.0)(request).await
    }
}

// By hand, since a derived one would ask for it of what the function takes and gives.
impl<R, T> Clone for Decide<R, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
