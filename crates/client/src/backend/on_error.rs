use std::sync::Arc;

use super::Refusal;
use crate::error::Error;

/// Who sees why a call failed, before it becomes a refusal.
#[derive(Clone, Default)]
pub(super) struct OnError(Option<Arc<See>>);

type See = dyn Fn(&Error) + Send + Sync;

impl OnError {
    pub(super) fn new(on_error: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(on_error)))
    }

    pub(super) fn show(&self, error: &Error) {
        if let Some(on_error) = &self.0 {
            on_error(error);
        }
    }

    /// Shows it, and makes it what a browser may know.
    pub(super) fn refuse(&self, error: &Error) -> Refusal {
        self.show(error);
        Refusal::from(error)
    }
}
