//! Runs that this instance answers for: see [`register`](twentyfirst_protocol::run_log::register).
//!
//! ```text
//!   Recorded::begin, take_over ──► open ──► Writing (a task for each register) ──► the store
//!   Keeper is over ──► settle ──► on_end ──► close ─────────┘
//!   supervise: finding ──► adopt ──► Writing ──► a task for each duty ──► take_over, settle
//! ```

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

/// What this instance answers for, and whom it tells.
#[derive(Clone, Default)]
pub(super) struct Supervision {
    on_end: Option<OnEnd>,
    room: Room,
    state: Arc<Mutex<State>>,
    is_supervising: Arc<AtomicBool>,
    /// Whether it was said that the store takes no obligations.
    has_complained: Arc<AtomicBool>,
    /// How many ends are being told.
    telling: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    /// The register for what is new.
    current: Option<Writing>,
    /// The registers that are written here.
    registers: HashMap<Arc<str>, Writing>,
    /// Boxed: the map has room for twice as many.
    held: HashMap<String, Box<Held>>,
}

/// An obligation of this instance's.
struct Held {
    obligation: Obligation,
    /// The registers in which it is open.
    registers: HashSet<Arc<str>>,
    /// Whether it stands in one of them.
    stands: bool,
    /// Whether another instance has taken over the register in which it was.
    is_theirs: bool,
    /// Whether its end is being told.
    is_ending: bool,
    /// Whether a task goes on with what another instance has left.
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

    /// Whether other instances are told what this one answers for.
    fn writes(&self) -> bool {
        self.on_end.is_some() || self.is_supervising.load(Ordering::Relaxed)
    }
}

impl Recorded {
    /// Answers for a run from now on: whether that stands where other instances find it, or need not.
    pub(super) async fn answer_for(&self, obligation: Obligation) -> bool {
        let run = obligation.run.clone();
        {
            let mut state = self.supervision.state();
            let held = state.held.entry(run.clone());
            let held = held.or_insert_with(|| Box::new(Held::new(obligation.clone())));
            if held.stands {
                return true;
            }
        }
        if !self.is_shared() || !self.supervision.writes() {
            return true;
        }
        // A register whose task has ended with its runtime is replaced.
        for _ in 0..2 {
            let writing = self.current_register();
            let id = Arc::clone(&writing.id);
            if let Some(held) = self.supervision.state().held.get_mut(&run) {
                held.registers.insert(Arc::clone(&id));
            }
            match writing.open(obligation.clone()).await {
                Opened::Stands => {
                    if let Some(held) = self.supervision.state().held.get_mut(&run) {
                        held.stands = true;
                    }
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

    fn complain(&self, cause: Option<super::logs::Cause>) {
        let has_complained = &self.supervision.has_complained;
        if !has_complained.swap(true, Ordering::Relaxed) {
            self.on_error.show(&Error::not_supervised(cause));
        }
    }

    /// The register for what is new, begun where there is none that has room.
    fn current_register(&self) -> Writing {
        let mut state = self.supervision.state();
        if let Some(current) = &state.current {
            if !current.is_full() && state.registers.contains_key(&current.id) {
                return current.clone();
            }
            current.retire();
        }
        let writing = self.begin_register();
        state
            .registers
            .insert(Arc::clone(&writing.id), writing.clone());
        state.current = Some(writing.clone());
        writing
    }

    /// Notes where a run takes place. Ready when that stands where others find it, or the store does not respond.
    pub(super) fn placed(&self, run: &str, place: &RunRef) -> impl Future<Output = ()> + use<> {
        let mut noted = Vec::new();
        {
            let mut state = self.supervision.state();
            let State {
                held, registers, ..
            } = &mut *state;
            if let Some(held) = held.get_mut(run) {
                held.obligation.place = Some(place.clone());
                let registers = held.registers.iter().filter_map(|id| registers.get(id));
                noted.extend(registers.map(|writing| writing.place(run, place)));
            }
        }
        async move {
            for noted in noted {
                noted.await;
            }
        }
    }

    /// Answers for a run no more.
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

    /// A run is recorded here no more.
    pub(super) fn recorded(&self, run: &str, end: &RecorderEnd, is_alone: bool) {
        let has_duty = {
            let mut state = self.supervision.state();
            let Some(held) = state.held.get_mut(run) else {
                return;
            };
            if held.is_theirs && !is_alone {
                // Whoever has taken over the register sees what has become of the run.
                state.held.remove(run);
                return;
            }
            held.has_duty
        };
        match end {
            RecorderEnd::Ended => self.settle(run),
            // Others take it over.
            RecorderEnd::Released => {}
            _ if has_duty => {}
            // Nothing was begun, or whoever has claimed the log has opened an obligation of its own.
            RecorderEnd::Busy | RecorderEnd::Full | RecorderEnd::Fenced => self.close(run),
            _ => self.look_after(run, vec![self.instance.to_string()]),
        }
    }

    /// This instance writes a register no more: another has taken it over, or the store has lost it. What began here and stands in none is
    /// opened in another.
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
                    // In a register of this instance's own, what another has claimed counts as that one's.
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
