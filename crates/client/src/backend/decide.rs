use std::pin::Pin;
use std::sync::Arc;

use super::Refusal;

/// The user's function that decides on a request.
///
/// It is type-erased, so that a handler has a type that can be named, in a struct or a signature.
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

// Implemented by hand: the derive would require `R: Clone` and `T: Clone`.
impl<R, T> Clone for Decide<R, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
