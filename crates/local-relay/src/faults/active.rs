use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;
use twentyfirst_protocol::Route;

use super::fault::{After, Effect, Fault, Kind};

/// The faults of a relay, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Active>>);

/// A fault in one relay. Another relay may have the same fault, so clearing it here must not change the fault itself.
#[derive(Debug, Clone)]
pub(super) struct Active {
    fault: Fault,
    cleared: Arc<AtomicBool>,
}

/// A fault that may strike a body or a run under way.
#[derive(Debug)]
pub(crate) struct Due<T> {
    active: Active,
    pub(crate) after: After,
    pub(crate) what: T,
}

impl<T> Due<T> {
    /// Returns whether the fault strikes now, and counts the strike. Call this only when the fault is due, and carry it out on true.
    pub(crate) fn strike(&self) -> bool {
        self.active.strike()
    }
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        let mut active = self.lock();
        // Spent faults are never removed otherwise: a test may add one for each of its requests.
        active.retain(|active| !active.fault.is_spent());
        active.push(Active {
            fault,
            cleared: Arc::default(),
        });
    }

    pub(crate) fn clear(&self) {
        for active in self.lock().drain(..) {
            // Bodies and runs under way hold clones, which must not strike any more.
            active.cleared.store(true, Ordering::SeqCst);
        }
    }

    /// Returns the response that a request gets in place of its own.
    pub(crate) fn replacement(&self, route: Option<&Route>) -> Option<Response<Bytes>> {
        self.lock()
            .iter()
            .find_map(|active| match &active.fault.kind {
                Kind::Response(response)
                    if active.fault.concerns(route, true) && active.strike() =>
                {
                    Some(Response::clone(response))
                }
                _ => None,
            })
    }

    /// Returns the effects that may strike the body of a response.
    pub(crate) fn of_body(&self, route: Option<&Route>, streams_run: bool) -> Vec<Due<Effect>> {
        self.due(|fault| match &fault.kind {
            Kind::Stream(after, effect) if fault.concerns(route, streams_run) => {
                Some((*after, effect.clone()))
            }
            _ => None,
        })
    }

    /// Returns the faults that may kill the runtime of a run.
    pub(crate) fn of_runtime(&self) -> Vec<Due<()>> {
        self.due(|fault| match &fault.kind {
            Kind::DeadRuntime(after) => Some((*after, ())),
            _ => None,
        })
    }

    /// Returns the faults that may restart the relay during a run.
    pub(crate) fn of_restart(&self) -> Vec<Due<()>> {
        self.due(|fault| match &fault.kind {
            Kind::Restart(after) => Some((*after, ())),
            _ => None,
        })
    }

    /// Returns whether storing this run fails.
    pub(crate) fn strikes_storing(&self) -> bool {
        self.strikes(|kind| matches!(kind, Kind::NotStored))
    }

    /// Returns whether this reader gets the run from its beginning.
    pub(crate) fn strikes_with_replay(&self) -> bool {
        self.strikes(|kind| matches!(kind, Kind::Replay))
    }

    /// Returns whether this reader gets the response that there is nothing to resume.
    pub(crate) fn strikes_with_nothing(&self) -> bool {
        self.strikes(|kind| matches!(kind, Kind::Nothing))
    }

    /// Returns the faults that decide, when the run is stored, whether a reader that joins now stores it.
    pub(crate) fn of_race(&self) -> Vec<Due<()>> {
        self.due(|fault| matches!(fault.kind, Kind::Race).then_some((After::Bytes(0), ())))
    }

    fn strikes(&self, is_meant: impl Fn(&Kind) -> bool) -> bool {
        let faults = self.lock();
        faults
            .iter()
            .any(|active| is_meant(&active.fault.kind) && active.strike())
    }

    fn due<T>(&self, meant: impl Fn(&Fault) -> Option<(After, T)>) -> Vec<Due<T>> {
        let faults = self.lock();
        let live = faults.iter().filter(|active| !active.fault.is_spent());
        live.filter_map(|active| {
            let (after, what) = meant(&active.fault)?;
            let active = active.clone();
            Some(Due {
                active,
                after,
                what,
            })
        })
        .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Active>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Active {
    fn strike(&self) -> bool {
        !self.cleared.load(Ordering::SeqCst) && self.fault.strike()
    }
}
