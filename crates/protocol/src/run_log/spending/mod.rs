//! Counting what runs cost: for each user and each chat, once, on any number of instances.
//!
//! ```text
//!                    ┌─ Last ── where the log of each account ends
//!   a run has ended ─┼─ Append ─ the log of its cost, (1, 0): what it cost, when, and these ends. Whoever is second reads it there
//!                    └─ Append ─ the log of each account, (n, 0): the run and the new total, if the run does not stand behind that end
//! ```
//!
//! # What can be relied on
//! 1. A run is counted once in an account, however many instances tell of it, and however often, as long as they do so within
//!    [`Cost::TTL`] of each other.
//! 2. An account's total is the sum of the costs of its runs; its last entry tells it.
//! 3. A run counts in the period in which it was told of first, also where it is told of again behind midnight.

mod account;
mod amounts;
mod counting;

pub use self::account::{Account, Period};
pub use self::amounts::{Spent, Usd};
pub use self::counting::{Cost, Counted, Counting, CountingEnd, CountingStep};
