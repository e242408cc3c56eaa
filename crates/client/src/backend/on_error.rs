use std::sync::Arc;

use super::Refusal;
use crate::error::Error;

/// The user's function that is called with the error of a failed call before it becomes a refusal.
#[derive(Clone, Default)]
pub(super) struct OnError(Option<Arc<Function>>);

type Function = dyn Fn(&Error) + Send + Sync;

impl OnError {
    pub(super) fn new(on_error: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(on_error)))
    }

    pub(super) fn report(&self, error: &Error) {
        if let Some(on_error) = &self.0 {
            on_error(error);
        }
    }

    /// Reports the error, and converts it into the refusal that a browser may see.
    pub(super) fn refuse(&self, error: &Error) -> Refusal {
        self.report(error);
        Refusal::from(error)
    }
}
