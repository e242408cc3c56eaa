use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::backend::chat::chat_run::Observer;

/// Wraps an observer so that it is not called again after it has panicked.
pub(super) fn guarded(observer: Observer) -> Observer {
    let mut observer = Some(observer);
    Box::new(move |observed| {
        let Some(observe) = &mut observer else {
            return;
        };
        let called = catch_unwind(AssertUnwindSafe(|| observe(observed)));
        if called.is_err() {
            // Dropping the observer may panic as well.
            let _ = catch_unwind(AssertUnwindSafe(|| observer = None));
        }
    })
}
