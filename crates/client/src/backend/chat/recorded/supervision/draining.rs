use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::writing::until;
use super::{Recorded, Writing};
use crate::backend::chat::recorded::handle::Handle;

/// How long to wait until it is looked again whether ends are being told.
const PAUSE: Duration = Duration::from_millis(20);

/// How long registers have to be let go, at most, of the time that there is.
const LAST: Duration = Duration::from_secs(2);

impl Recorded {
    /// Lets all runs go that are recorded here, and waits until they are, no longer than so: how many are left.
    pub(in crate::backend::chat) async fn drain(&self, deadline: Duration) -> usize {
        self.is_draining.store(true, Ordering::Relaxed);
        let handles: Vec<Handle> = self.logs.here().values().cloned().collect();
        if self.is_shared() {
            for handle in &handles {
                handle.release();
            }
        }
        let runtime = &self.client.relay().runtime;
        let last = LAST.min(deadline / 4);
        let first = async {
            for handle in &handles {
                poll_fn(|cx| handle.poll_over(cx)).await;
            }
            while self.has_ends_to_tell() {
                runtime.sleep(PAUSE).await;
            }
        };
        until(first, runtime.sleep(deadline.saturating_sub(last))).await;
        let registers: Vec<Writing> = {
            let state = self.supervision.state();
            state.registers.values().cloned().collect()
        };
        // At once: each waits for the store by itself.
        let released = async {
            for register in &registers {
                register.release().await;
            }
        };
        if until(released, runtime.sleep(last)).await.is_none() {
            self.complain(None);
        }
        let recorded = handles.iter().filter(|handle| !handle.is_over()).count();
        recorded + self.ends_to_tell()
    }

    fn has_ends_to_tell(&self) -> bool {
        self.ends_to_tell() > 0
    }

    /// How many ends are being told; where nobody else can, those included that have to be told again.
    fn ends_to_tell(&self) -> usize {
        if self.is_shared() {
            return self.supervision.telling.load(Ordering::Relaxed);
        }
        let state = self.supervision.state();
        state.held.values().filter(|held| held.is_ending).count()
    }
}
