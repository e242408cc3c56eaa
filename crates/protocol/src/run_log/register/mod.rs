//! Registers: which runs an instance answers for, so that others find them when it is gone.
//!
//! A run has to come to its end, and somebody may have to be told of it: that is an [`Obligation`]. Whoever records a run has written
//! its obligation into a register before. When the instance dies, another takes over its register, and with it all that is open there.
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
//!   open ──► the run's log is claimed ──► placed ──► the run ends ──► told of ──► closed
//!     │                │                                 ▲
//!     │                └─ another instance has claimed ──┼──► closed here: that one has opened it for itself
//!     └─ the claim was refused: closed                   └─ whoever takes the register over goes on from here
//! ```
//!
//! # What can be relied on
//! 1. An obligation stands in a register before the log of its run is claimed: by whoever begins the run, and by whoever takes it over. So
//!    for every log that somebody has claimed, the last who did has the obligation, in a register that this instance has written in.
//! 2. It is closed when the end of its run was told, or where there is nothing to tell: the run was never begun, or another instance has
//!    claimed its log, which by rule 1 has the obligation itself. [`Book::writers`] tells the two apart.
//! 3. A register is taken over when nobody has written in it for 15 s, or has [released](Register::release) it. The log of each run in it
//!    is looked at for itself, so no run is taken over while it is recorded.
//! 4. Before an obligation without a place is closed because there is no log of its run, that log is claimed: an instance which was only
//!    slow, and has not claimed it yet, is refused and begins nothing.
//! 5. An end is told at least once. It is told twice where an instance dies between telling and closing, and where one was taken for
//!    dead that was not. It is never told before it has come, except of a run that goes on where its instance cannot reach the store:
//!    others then see what the log says.
//!
//! A store that fails while a run begins takes the obligation out of these rules: the run goes on, and its own instance alone tells its end.
//!
//! # How long it takes
//! Rosters and registers are looked at every 5 s. A register is silent after 15 s, and then a run in it after 15 s more, so with the
//! pauses between looks a run of an instance that was killed is gone on with, or its end told, after about 40 s; after a release at once.
//! A register is kept 48 h behind its last entry, and readers look at the rosters of three days: for so long all instances may be gone.

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

/// How long a pause between two looks at a log is.
const LOOK: Duration = Duration::from_secs(5);

/// How many days of rosters are looked at: as long as a register is kept, which may begin on one day and end on the next but one.
const DAYS: u64 = 3;

/// How long a register is kept behind its last entry: 48 h.
const REGISTER_TTL: Duration = Duration::from_secs(48 * 60 * 60);

/// How long a roster is kept behind its last entry: until no register in it is left.
const ROSTER_TTL: Duration = Duration::from_secs(72 * 60 * 60);

/// Counts the days since 1970, in UTC. A clock that stands before then counts none.
fn day(wall: SystemTime) -> u64 {
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() / (24 * 60 * 60)
}

/// Returns the days whose rosters are looked at.
#[must_use]
pub fn roster_days(wall: SystemTime) -> impl DoubleEndedIterator<Item = u64> {
    let today = day(wall);
    today.saturating_sub(DAYS - 1)..=today
}
