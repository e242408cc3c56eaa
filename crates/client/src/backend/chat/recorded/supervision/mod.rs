//! The runs that this instance is responsible for: see [`register`](twentyfirst_protocol::run_log::register).
//!
//! ```text
//!   Recorded::begin, take_over ──► open ──► Writing (a task for each register) ──► the store
//!   Keeper is over ──► settle ──► on_end ──► close ─────────┘
//!   supervise: finding ──► adopt ──► Writing ──► a task for each duty ──► take_over, settle
//! ```
//!
//! An obligation is written to a register before its run is started, and closed after `on_end` has succeeded. So a run that was
//! started is in a register of some instance until its end was reported. If the store fails, the run is started without an
//! obligation in a register: a run must not fail because its supervision does.

mod adopting;
mod draining;
mod ending;
mod open_runs;
mod room;
mod writing;

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twentyfirst_protocol::run_log::RecorderEnd;
use twentyfirst_protocol::run_log::register::Obligation;
use twentyfirst_protocol::runs::RunRef;

pub use self::ending::EndedRun;
pub(in crate::backend::chat) use self::ending::OnEnd;
pub use self::open_runs::OpenRun;
pub(super) use self::room::{Room, Seat};
use self::writing::{Opened, Writing};
use super::Recorded;
use super::logs::Pages;
use crate::error::Error;

/// The obligations of this instance, and the function to call at their ends.
#[derive(Clone, Default)]
pub(super) struct Supervision {
    on_end: Option<OnEnd>,
    room: Room,
    state: Arc<Mutex<State>>,
    is_supervising: Arc<AtomicBool>,
    /// Whether it was reported that the store accepts no obligations.
    has_complained: Arc<AtomicBool>,
    /// The number of ends that are being reported.
    reporting: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    /// The register for new obligations.
    current: Option<Writing>,
    /// The registers that this instance writes.
    registers: HashMap<Arc<str>, Writing>,
    /// Boxed, because the map allocates up to twice as many slots as it uses.
    held: HashMap<String, Box<Held>>,
}

/// An obligation of this instance.
struct Held {
    obligation: Obligation,
    /// The registers in which it is open.
    registers: HashSet<Arc<str>>,
    /// Whether one of them has it in the store.
    stands: bool,
    /// Whether another instance has taken over the register that had it.
    is_theirs: bool,
    /// Whether its end is being reported.
    is_ending: bool,
    /// Whether a task goes on with a run that another instance has left.
    has_duty: bool,
}

impl Held {
    fn new(obligation: Obligation) -> Self {
        Self {
            obligation,
            registers: HashSet::new(),
            stands: false,
            is_theirs: false,
            is_ending: false,
            has_duty: false,
        }
    }
}

impl Supervision {
    pub(super) fn on_end(&mut self, on_end: OnEnd) {
        self.on_end = Some(on_end);
    }

    pub(super) fn limit(&mut self, runs: usize) {
        self.room = Room::of(runs);
    }

    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded {
    /// Whether obligations are written to registers, for other instances.
    fn writes_registers(&self) -> bool {
        let Supervision {
            on_end,
            is_supervising,
            ..
        } = &self.supervision;
        self.is_shared() && (on_end.is_some() || is_supervising.load(Ordering::Relaxed))
    }

    /// Makes this instance responsible for a run. Returns whether other instances can find the obligation, or need not.
    pub(super) async fn answer_for(&self, obligation: Obligation) -> bool {
        let run = obligation.run.clone();
        {
            let mut state = self.supervision.state();
            let held = state.held.entry(run.clone());
            // Held in memory first: if the store fails, this instance still reports the end.
            let held = held.or_insert_with(|| Box::new(Held::new(obligation.clone())));
            if held.stands {
                return true;
            }
        }
        // Nobody would read the obligation.
        if !self.writes_registers() {
            return true;
        }
        // A register whose task has ended with its runtime is replaced, once.
        for _ in 0..2 {
            let writing = self.current_register();
            let id = Arc::clone(&writing.id);
            // Before the wait: if the run ends meanwhile, it must be closed in this register, too.
            if let Some(held) = self.supervision.state().held.get_mut(&run) {
                held.registers.insert(Arc::clone(&id));
            }
            match writing.open(obligation.clone()).await {
                Opened::Stands => {
                    if let Some(held) = self.supervision.state().held.get_mut(&run) {
                        held.stands = true;
                    }
                    // The next outage is reported again.
                    self.supervision
                        .has_complained
                        .store(false, Ordering::Relaxed);
                    return true;
                }
                Opened::Pending(cause) => {
                    self.complain(cause);
                    return false;
                }
                Opened::Gone => {
                    let mut state = self.supervision.state();
                    state.registers.remove(&id);
                    if let Some(held) = state.held.get_mut(&run) {
                        held.registers.remove(&id);
                    }
                }
            }
        }
        self.complain(None);
        false
    }

    /// Reports that the store accepts no obligations, once for each outage.
    fn complain(&self, cause: Option<super::logs::Cause>) {
        let has_complained = &self.supervision.has_complained;
        if !has_complained.swap(true, Ordering::Relaxed) {
            self.on_error.report(&Error::not_supervised(cause));
        }
    }

    /// Returns the register for new obligations. Begins a new one if the current one is full.
    fn current_register(&self) -> Writing {
        let mut state = self.supervision.state();
        if let Some(current) = &state.current {
            if !current.is_full() && state.registers.contains_key(&current.id) {
                return current.clone();
            }
            // A full register ends when its obligations are closed. New ones go to the next, so that no register grows for
            // ever.
            current.retire();
        }
        let writing = self.begin_register();
        state
            .registers
            .insert(Arc::clone(&writing.id), writing.clone());
        state.current = Some(writing.clone());
        writing
    }

    /// Stores the place of a run. Completes when the registers have it, or if the store does not respond.
    pub(super) fn placed(&self, run: &str, place: &RunRef) -> impl Future<Output = ()> + use<> {
        let mut noted = Vec::new();
        {
            let mut state = self.supervision.state();
            let State {
                held, registers, ..
            } = &mut *state;
            if let Some(held) = held.get_mut(run) {
                // Also kept here, for obligations that are opened again in another register.
                held.obligation.place = Some(place.clone());
                let registers = held.registers.iter().filter_map(|id| registers.get(id));
                noted.extend(registers.map(|writing| writing.place(run, place)));
            }
        }
        // The changes are on their way by now, even if nobody awaits this.
        async move {
            for noted in noted {
                noted.await;
            }
        }
    }

    /// Ends the responsibility for a run.
    pub(super) fn close(&self, run: &str) {
        let mut state = self.supervision.state();
        let Some(held) = state.held.remove(run) else {
            return;
        };
        for id in &held.registers {
            if let Some(writing) = state.registers.get(id) {
                writing.close(run);
            }
        }
    }

    /// Decides what to do after a run is no longer recorded here.
    pub(super) fn recorded(&self, run: &str, end: &RecorderEnd, is_alone: bool) {
        let has_duty = {
            let mut state = self.supervision.state();
            let Some(held) = state.held.get_mut(run) else {
                return;
            };
            if held.is_theirs && !is_alone {
                // The instance that has taken over the register will see to the run.
                state.held.remove(run);
                return;
            }
            held.has_duty
        };
        match end {
            RecorderEnd::Ended => self.settle(run),
            // Other instances take it over.
            RecorderEnd::Released => {}
            // Its task looks at the log again.
            _ if has_duty => {}
            // Nothing was started, or the instance that has claimed the log has an obligation of its own.
            RecorderEnd::Busy
            | RecorderEnd::Full
            | RecorderEnd::ChatUnreadable(_)
            | RecorderEnd::Fenced => self.close(run),
            // Its end is not in the log, and it may go on without a recorder.
            _ => self.look_after(run, vec![self.instance.to_string()]),
        }
    }

    /// Whether this instance is still responsible for a run. Forgets the run if another instance has taken its register over.
    fn is_ours(&self, run: &str) -> bool {
        let mut state = self.supervision.state();
        let is_theirs = state.held.get(run).is_some_and(|held| held.is_theirs);
        if is_theirs {
            // Not closed: the obligation belongs to the other instance, which closes it.
            state.held.remove(run);
        }
        state.held.contains_key(run)
    }

    /// Handles the loss of a register: another instance has taken it over, or the store has lost it. Obligations that are in no
    /// other register are opened again in a new one.
    fn lose_register(&self, id: &Arc<str>, is_theirs: bool) {
        let mut orphans = Vec::new();
        {
            let mut state = self.supervision.state();
            state.registers.remove(id);
            for held in state.held.values_mut() {
                if !held.registers.remove(id) || !held.registers.is_empty() {
                    continue;
                }
                let stood = mem::replace(&mut held.stands, false);
                if is_theirs && stood {
                    held.is_theirs = true;
                } else if !held.has_duty {
                    // In a register of this instance, a run claimed by another would count as that instance's. So runs with a
                    // duty are left out.
                    orphans.push(held.obligation.clone());
                }
            }
        }
        for orphan in orphans {
            let this = self.clone();
            self.spawn(async move {
                this.answer_for(orphan).await;
            });
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.client.relay().runtime.spawn(Box::pin(task));
    }
}
