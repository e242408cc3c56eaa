use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use twentyfirst_protocol::flow::Now;
use twentyfirst_protocol::run_log::register::{
    Duty, DutyStep, Obligation, Supervisor, SupervisorStep,
};
use twentyfirst_protocol::run_log::{LogId, Position, Recording};

use super::room::Seat;
use super::{Held, Recorded};
use crate::backend::chat::recorded::keeper::Keeper;

/// The delay before checking again for room for a run.
const PAUSE: Duration = Duration::from_millis(250);

impl Recorded {
    /// Starts to look for runs of instances that are gone.
    pub(in crate::backend::chat) fn supervise(&self) {
        let is_first = !self
            .supervision
            .is_supervising
            .swap(true, Ordering::Relaxed);
        if is_first && self.is_shared() {
            let this = self.clone();
            self.spawn(async move { this.look_for_registers().await });
        }
    }

    async fn look_for_registers(self) {
        let runtime = Arc::clone(&self.client.relay().runtime);
        let now = || Now {
            mono: runtime.now(),
            wall: SystemTime::now(),
        };
        let mut supervisor = Supervisor::new();
        // The registers that the supervisor takes for those of this instance.
        let mut own: HashSet<Arc<str>> = HashSet::new();
        while !self.is_draining.load(Ordering::Relaxed) {
            let registers: HashSet<_> = {
                let state = self.supervision.state();
                state.registers.keys().cloned().collect()
            };
            // The supervisor must not take its own registers for silent ones.
            for new in registers.difference(&own) {
                supervisor.writes(&**new);
            }
            // This instance may have lost it to the store or to another instance, so it is watched like those of others. One that
            // is over is looked at once more.
            for left in own.difference(&registers) {
                supervisor.let_go(left, now());
            }
            own = registers;
            match supervisor.poll(now()) {
                SupervisorStep::Read(log, after) => {
                    supervisor.handle_page(self.logs.page(&log, after).await.0);
                }
                SupervisorStep::Last(log) => {
                    // Read from the store and not from memory: only the store shows what other instances write.
                    let found = self.logs.stored_last(&log).await.0;
                    supervisor.handle_last(found, now());
                }
                SupervisorStep::Adopt {
                    register,
                    after,
                    listed,
                } => {
                    // Marked at once, so that the next step does not adopt it a second time.
                    own.insert(register.as_str().into());
                    self.adopt_register(&register, after, listed);
                }
                SupervisorStep::Wait { until } => {
                    let left = until.saturating_duration_since(runtime.now());
                    runtime.sleep(left).await;
                }
                // There are no other steps.
                _ => return,
            }
        }
    }

    /// Takes over the obligations of another instance, from a register that was taken over.
    pub(super) fn inherit(&self, id: &Arc<str>, open: Vec<Obligation>, writers: &[String]) {
        for obligation in open {
            let run = obligation.run.clone();
            let is_new = {
                let mut state = self.supervision.state();
                // The run may be known already, from a reader that took it over.
                let is_new = !state.held.contains_key(&run);
                let held = state.held.entry(run.clone());
                let held = held.or_insert_with(|| Box::new(Held::new(obligation)));
                held.registers.insert(Arc::clone(id));
                held.stands = true;
                held.is_theirs = false;
                is_new
            };
            if is_new {
                self.look_after(&run, writers.to_vec());
            }
        }
    }

    /// Starts a task that goes on with a run which may be recorded by nobody.
    pub(super) fn look_after(&self, run: &str, writers: Vec<String>) {
        let obligation = {
            let mut state = self.supervision.state();
            // One task for each run, however often this is called.
            let Some(held) = state.held.get_mut(run).filter(|held| !held.has_duty) else {
                return;
            };
            held.has_duty = true;
            held.obligation.clone()
        };
        let duty = Duty::new(obligation, writers, &*self.instance);
        let this = self.clone();
        self.spawn(async move { this.fulfil(duty).await });
    }

    /// Whether a task goes on with this run.
    pub(in crate::backend::chat::recorded) fn has_duty(&self, run: &str) -> bool {
        let state = self.supervision.state();
        state.held.get(run).is_some_and(|held| held.has_duty)
    }

    async fn fulfil(&self, mut duty: Duty) {
        let run = duty.obligation().run.clone();
        let runtime = Arc::clone(&self.client.relay().runtime);
        // An instance that is drained leaves its duties to others, which find them in the registers that it releases.
        while !self.is_draining.load(Ordering::Relaxed) && self.is_ours(&run) {
            match duty.poll(runtime.now()) {
                DutyStep::Last(log) => {
                    let found = self.logs.last(&log).await.0;
                    duty.handle_last(found, runtime.now());
                }
                DutyStep::First(log, after) => {
                    duty.handle_page(self.logs.page(&log, after).await.0);
                }
                DutyStep::Append(log, append) => {
                    duty.handle_append(self.logs.clone().append(log, append).await.0);
                }
                // Waits for the recording to end, and then looks again: the end may have to be reported, or the run may have
                // been taken over.
                DutyStep::TakeOver { after } => {
                    self.record_to_end(duty.obligation(), after).await;
                    duty.look_again();
                }
                DutyStep::Wait { until } => {
                    let left = until.saturating_duration_since(runtime.now());
                    runtime.sleep(left).await;
                }
                // Both are read when the end is reported, from the log or from the relay.
                DutyStep::End | DutyStep::Follow(_) => return self.settle(&run),
                DutyStep::Close => return self.close(&run),
                // There are no other steps.
                _ => return,
            }
        }
    }

    async fn record_to_end(&self, obligation: &Obligation, after: Position) {
        let Some(seat) = self.wait_for_room().await else {
            return;
        };
        let recording = Recording::new(&obligation.run, &*self.instance)
            .of_chat(&obligation.owner, &obligation.chat);
        match Keeper::take_over(self.clone(), recording, after, seat) {
            Some(keeper) => keeper.await,
            // It is recorded here already; wait for its end.
            None => {
                let log = LogId::run(&obligation.run);
                let handle = self.logs.here().get(&log).cloned();
                if let Some(handle) = handle {
                    poll_fn(|cx| handle.poll_over(cx)).await;
                }
            }
        }
    }

    /// Waits for room for a run that another instance has left. Returns `None` as soon as this instance is drained.
    pub(super) async fn wait_for_room(&self) -> Option<Seat> {
        // Polled, because such runs are rare and a freed seat has nobody to wake.
        loop {
            if self.is_draining.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(seat) = self.supervision.room().take() {
                return Some(seat);
            }
            self.client.relay().runtime.sleep(PAUSE).await;
        }
    }
}
