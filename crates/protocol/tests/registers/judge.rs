//! The rules that must always hold.

use std::time::Duration;

use crate::world::World;

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The end of every run that has begun is reported in bounded time after the run has ended and the last fault is over.
    Told,
    /// No end is reported early.
    NotBefore,
    /// No run is taken over while it is recorded.
    Alive,
    /// No run is begun twice.
    Once,
}

#[derive(Debug)]
#[allow(dead_code, reason = "it is printed")]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

/// The longest time until an end is reported: two silences, the intervals between looks, and the delays of a function that fails.
const BOUND: Duration = Duration::from_secs(150);

pub(crate) fn judge(world: &World) -> Result<(), Violation> {
    let broken = |rule, what: String| Err(Violation { rule, what });
    if let Some(what) = world.taken_alive.first() {
        return broken(Rule::Alive, what.clone());
    }
    for (id, run) in &world.runs {
        if run.starts > 1 {
            return broken(Rule::Once, format!("{id} is begun {} times", run.starts));
        }
        let Some(ends) = run.ends else {
            continue;
        };
        let first = run.told.first();
        if run.was_unplaced && run.is_evicted {
            continue;
        }
        // If the store has failed for the recorder, others know less than there is.
        if run.was_alone {
            if first.is_none() && world.instances[run.instance].is_alive {
                return broken(Rule::Told, format!("{id} goes on alone and is not told"));
            }
            continue;
        }
        if let Some(at) = first.filter(|at| **at < ends) {
            return broken(
                Rule::NotBefore,
                format!("{id} is told {:?} before its end", ends.duration_since(*at)),
            );
        }
        let due = ends.max(world.last_fault) + BOUND;
        if first.is_none_or(|at| *at > due) {
            return broken(
                Rule::Told,
                format!("{id} has ended, and is told {first:?}, not before {due:?}"),
            );
        }
    }
    Ok(())
}
