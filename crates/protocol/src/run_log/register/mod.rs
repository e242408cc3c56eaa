//! Registers of the runs that an instance is responsible for, so that others find them when it is gone.
//!
//! A run must be recorded to its end, and its end may have to be reported: that is an [`Obligation`]. An instance writes the
//! obligation into its register before it records the run. When the instance dies, another takes over its register with
//! everything that is open in it.
//!
//! ```text
//!   instance 1 ──► Register ─ opened, placed, closed ─► register/r1 ◄─ silent? ─ Supervisor ── instance 2
//!                                                          │                         │
//!                                                          └── take over: claim ◄────┘ Adopt
//!                                                                  │ what is open
//!                                                                  ▼ one each
//!                            run/… ◄── last entry, its claim ─── Duty ──► TakeOver | Follow | End | Close
//! ```
//!
//! | log | its entries |
//! |---|---|
//! | [`LogId::register`](super::LogId::register) | [`Claim`](super::Claim) at (epoch, 0); then [`Noted`], [`Beat`](super::Entry::Beat), [`Release`](super::Entry::Release), [`End`](super::Entry::End) |
//! | [`LogId::roster`](super::LogId::roster) of a day | [`Listed`] at (n, 0): the registers that were written that day |
//!
//! # The life of an obligation
//! ```text
//!   open ──► the run's log is claimed ──► placed ──► the run ends ──► reported ──► closed
//!     │                │                                 ▲
//!     │                └─ another instance has claimed ──┼──► closed here: that one has opened it for itself
//!     └─ the claim was refused: closed                   └─ an instance that takes the register over continues here
//! ```
//!
//! # Guarantees
//! 1. An obligation is in a register before the log of its run is claimed, by the instance that begins the run and by each that
//!    takes it over. So for every claimed log, the last instance that claimed it has the obligation in a register that it has
//!    written in.
//! 2. An obligation is closed when the end of its run was reported, or when there is nothing to report: the run was never begun,
//!    or another instance has claimed its log, which by rule 1 has the obligation itself. [`Book::writers`] distinguishes the
//!    two.
//! 3. A register is taken over when nobody has written in it for 15 s, or when its writer has [released](Register::release) it.
//!    The log of each run in it is checked separately, so no run is taken over while it is recorded.
//! 4. If a run has no log, and its obligation no place, the log is claimed before the obligation is closed: an instance that was
//!    only slow and has not claimed the log yet is refused and begins nothing.
//! 5. An end is reported at least once. It is reported twice if an instance dies between reporting and closing, or if an instance
//!    that is alive was taken for dead. It is never reported early, with one exception: if an instance cannot reach the store while
//!    its run goes on, others report what the log says.
//!
//! A store that fails while a run begins suspends these rules for its obligation: the run goes on, and only its own instance
//! reports its end.
//!
//! # Timing
//! Rosters and registers are checked every 5 s. A register counts as silent after 15 s, and then a run in it after 15 s more.
//! With the delays between checks, the run of a killed instance is continued, or its end reported, after about 40 s; after a
//! release at once. A register is kept for 48 h after its last entry, and readers check the rosters of three days: for so long
//! all instances may be down.

mod book;
mod duty;
mod noted;
mod pulse;
mod supervisor;
mod writing;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::book::Book;
pub use self::duty::{Duty, DutyStep};
pub use self::noted::{Listed, Noted, Obligation, Placed};
pub use self::supervisor::{Supervisor, SupervisorStep};
pub use self::writing::{Register, RegisterEnd, RegisterStep};

/// The interval between two checks of a log.
const LOOK: Duration = Duration::from_secs(5);

/// The number of days whose rosters are checked. A register is kept for 48 h, so the last day on which it was listed is at most
/// two days ago.
const DAYS: u64 = 3;

/// The time for which a register is kept after its last entry: 48 h.
const REGISTER_TTL: Duration = Duration::from_secs(48 * 60 * 60);

/// The time for which a roster is kept after its last entry: until no register in it is left.
const ROSTER_TTL: Duration = Duration::from_secs(72 * 60 * 60);

/// Returns the number of days since 1970, in UTC. A clock before 1970 gives 0.
fn day(wall: SystemTime) -> u64 {
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() / (24 * 60 * 60)
}

/// Returns the days whose rosters are checked.
#[must_use]
pub fn roster_days(wall: SystemTime) -> impl DoubleEndedIterator<Item = u64> {
    let today = day(wall);
    today.saturating_sub(DAYS - 1)..=today
}
