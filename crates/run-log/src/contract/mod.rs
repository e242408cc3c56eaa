//! Checks of the promises of every [`RunLog`], for testing your own store.
//!
//! They need no test runner: [`check`] is a future for the runtime of the store. Each run uses new names for its logs, so others may use
//! the store at the same time. It does not delete its logs: they expire. All checks together take some ten seconds, mostly waiting for
//! logs to expire.
//!
//! ```
//! use twentyfirst_run_log::{MemoryLog, contract};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), contract::Violation> {
//! # let _ = contract::CHECKS;
//! let store = MemoryLog::new(tokio::time::sleep);
//! contract::check_one(&store, "equal_or_smaller_positions_are_refused").await?;
//! # Ok(())
//! # }
//! ```

mod appending;
mod keeping;
mod racing;
mod reading;
mod subject;

use self::subject::Subject;
use crate::RunLog;

/// A check that a store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store fails `{check}`: {what}")]
#[non_exhaustive]
pub struct Violation {
    /// The name of the check.
    pub check: &'static str,
    /// The expected and the actual behaviour.
    pub what: String,
}

macro_rules! checks {
    ($($module:ident::$name:ident,)*) => {
        /// The names of all checks, in the order in which [`check`] runs them.
        pub const CHECKS: &[&str] = &[$(stringify!($name)),*];

        async fn run(subject: Subject<'_, impl RunLog>, name: &str) -> Option<(&'static str, Result<(), String>)> {
            match name {
                $(stringify!($name) => Some((stringify!($name), $module::$name(subject).await)),)*
                _ => None,
            }
        }
    };
}

checks! {
    appending::entries_are_read_in_the_order_of_their_positions,
    appending::equal_or_smaller_positions_are_refused,
    appending::a_repeated_append_succeeds_and_changes_nothing,
    appending::a_log_is_created_only_on_request,
    appending::positions_reach_from_the_first_to_the_last,
    appending::entries_are_any_bytes_up_to_a_mebibyte,
    appending::logs_of_odd_names_are_kept_apart,
    reading::pages_begin_behind_a_position_and_end_at_the_limit,
    reading::a_missing_log_is_reported_at_once,
    reading::the_last_entry_is_read_alone,
    reading::a_waiting_read_is_woken_by_an_append,
    reading::a_wait_ends_with_an_empty_page,
    reading::a_dropped_read_loses_nothing,
    reading::all_readers_see_the_same,
    racing::one_of_many_claims_wins,
    racing::concurrent_appends_of_one_entry_store_it_once,
    racing::writers_that_pause_never_mix,
    keeping::a_log_expires_and_is_never_recreated,
    keeping::each_append_renews_the_time_to_live,
}

/// Runs all checks, one after the other.
///
/// # Errors
/// The [`Violation`] of the first check that fails. Later checks do not run.
pub async fn check(log: &impl RunLog) -> Result<(), Violation> {
    for name in CHECKS {
        check_one(log, name).await?;
    }
    Ok(())
}

/// Runs the check of this name, one of [`CHECKS`].
///
/// # Errors
/// A [`Violation`] if the store fails the check, or if there is no such check.
pub async fn check_one(log: &impl RunLog, name: &str) -> Result<(), Violation> {
    match run(Subject::new(log, name), name).await {
        Some((_, Ok(()))) => Ok(()),
        Some((check, Err(what))) => Err(Violation { check, what }),
        None => Err(Violation {
            check: "check_one",
            what: format!("there is no check {name:?}"),
        }),
    }
}
