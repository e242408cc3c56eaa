use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Recorded, Writing};
use crate::backend::chat::recorded::handle::Handle;
use crate::backend::within::within;

/// The interval at which the calls of `on_end` are checked.
const PAUSE: Duration = Duration::from_millis(20);

/// The most of the deadline that is reserved for releasing the registers.
const LAST: Duration = Duration::from_secs(2);

impl Recorded {
    /// Releases all runs that are recorded here, and waits for that until the deadline. Returns the number of runs left.
    pub(in crate::backend::chat) async fn drain(&self, deadline: Duration) -> usize {
        // First, so that this instance takes over no run while it gives up its own.
        self.is_draining.store(true, Ordering::Relaxed);
        let handles: Vec<Handle> = self.logs.here().values().cloned().collect();
        if self.is_shared() {
            for handle in &handles {
                handle.release();
            }
        }
        let runtime = &self.client.relay().runtime;
        // Reserved, so that runs that do not end in time do not keep the registers from being released: then others would find
        // them only after 15 s. With the log in memory there are no registers.
        let last = match self.writes_registers() {
            true => LAST.min(deadline / 4),
            false => Duration::ZERO,
        };
        let first = async {
            for handle in &handles {
                poll_fn(|cx| handle.poll_over(cx)).await;
            }
            while self.has_ends_to_report() {
                runtime.sleep(PAUSE).await;
            }
        };
        within(runtime, deadline.saturating_sub(last), first).await;
        let registers: Vec<Writing> = {
            let state = self.supervision.state();
            state.registers.values().cloned().collect()
        };
        // All are asked at once: each register waits for the store in its own task.
        let released = async {
            for register in &registers {
                register.release().await;
            }
        };
        // Not fatal: other instances find the registers by their silence.
        if within(runtime, last, released).await.is_none() {
            self.complain(None);
        }
        let recorded = handles.iter().filter(|handle| !handle.is_over()).count();
        recorded + self.ends_to_report()
    }

    fn has_ends_to_report(&self) -> bool {
        self.ends_to_report() > 0
    }

    /// Returns the number of ends being reported. If no other instance can report them, ends to be retried count as well.
    fn ends_to_report(&self) -> usize {
        if self.is_shared() {
            return self.supervision.reporting.load(Ordering::Relaxed);
        }
        let state = self.supervision.state();
        state.held.values().filter(|held| held.is_ending).count()
    }
}
