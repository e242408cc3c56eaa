//! Counts the cost of runs: for each user and each chat, once, on any number of instances.
//!
//! ```text
//!                    ┌─ Last ── the end of the log of each account
//!   a run has ended ─┼─ Append ─ the log of its cost, (1, 0): the cost, the time, and these ends. A second reporter reads them there
//!                    └─ Append ─ the log of each account, (n, 0): the run and the new total, unless the run is found after that end
//! ```
//!
//! # Guarantees
//! 1. A run is counted once in an account, however many instances report it and however often, as long as they do so within
//!    [`Cost::TTL`] of each other.
//! 2. The total of an account is the sum of the costs of its runs; the last entry of its log contains it.
//! 3. A run counts in the period of its first report, even if it is reported again after midnight.

mod account;
mod amounts;
mod counting;

pub use self::account::{Account, Period};
pub use self::amounts::{Spent, Usd};
pub use self::counting::{Cost, Counted, Counting, CountingEnd, CountingStep};
