use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use twentyfirst_protocol::run_log::{LogId, Position};

use super::Timer;
use super::state::State;

/// A reader that waits until a log has an entry above a position, or is gone. Dropping it removes its waker from the log.
pub(super) struct Waiting<'a> {
    state: &'a Mutex<State>,
    log: &'a LogId,
    after: Position,
    ticket: Option<u64>,
}

impl<'a> Waiting<'a> {
    pub(super) const fn new(state: &'a Mutex<State>, log: &'a LogId, after: Position) -> Self {
        Self {
            state,
            log,
            after,
            ticket: None,
        }
    }

    /// Waits for a change of the log, for `expiry` or for `over`. Returns whether it was `over`, the end of the read's wait.
    pub(super) async fn until_over(mut self, over: &mut Timer, mut expiry: Option<Timer>) -> bool {
        std::future::poll_fn(move |context| {
            if self.poll_changed(context).is_ready() {
                return Poll::Ready(false);
            }
            // Only after the check: an entry that is there wins over the end of the wait.
            if over.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            match &mut expiry {
                Some(expiry) => expiry.as_mut().poll(context).map(|()| false),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Checks and registers under one lock: an append between the two would wake nobody.
    ///
    /// Wakers are cloned and dropped without the lock: they may run any code, such as a read of the same store.
    fn poll_changed(&mut self, context: &Context<'_>) -> Poll<()> {
        let mut waker = Some(context.waker().clone());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = state.poll_changed(self.log, self.after, &mut self.ticket, &mut waker);
        drop(state);
        changed
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let waker = state.forget(self.log, ticket);
            drop(state);
            drop(waker);
        }
    }
}
