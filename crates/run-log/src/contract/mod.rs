//! Checks of what every [`RunLog`] promises: hold a store of your own against them.
//!
//! They need no test runner: [`check`] is a future, for the runtime of the store. Each run makes logs of its own names, so a store can be
//! shared with others, and leaves them to expire. All together take some ten seconds, most of them for logs to expire.
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

/// Says which check a store failed, and what it did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store fails `{check}`: {what}")]
#[non_exhaustive]
pub struct Violation {
    /// The name of the check.
    pub check: &'static str,
    /// What the store did, and what was expected.
    pub what: String,
}

macro_rules! checks {
    ($($module:ident::$name:ident,)*) => {
        /// The names of all checks, in their order.
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
    appending::a_log_is_created_only_where_that_is_asked_for,
    appending::positions_reach_from_the_first_to_the_last,
    appending::entries_are_any_bytes_up_to_a_mebibyte,
    appending::logs_of_odd_names_are_kept_apart,
    reading::pages_begin_behind_a_position_and_end_at_the_limit,
    reading::a_missing_log_is_told_at_once,
    reading::the_last_entry_is_read_alone,
    reading::a_waiting_read_is_woken_by_an_append,
    reading::a_wait_ends_with_an_empty_page,
    reading::a_dropped_read_loses_nothing,
    reading::all_readers_see_the_same,
    racing::of_many_claims_one_wins,
    racing::an_entry_appended_twice_at_once_stands_there_once,
    racing::writers_that_pause_never_mix,
    keeping::a_log_expires_and_is_never_made_again,
    keeping::each_append_keeps_a_log_longer,
}

/// Runs all checks, one after the other.
///
/// # Errors
/// The first [`Violation`].
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
