//! The run log: an answer that replays from its start on any server, and survives the server that reads it.
//!
//! An answer is recorded in a log while it is read from the relay, and everybody reads it from there: whoever sent the question,
//! whoever reloads the page, a second tab, on any instance. A store keeps the logs: it appends an entry if nothing stands above it, and
//! reads entries. Everything else is decided here, without IO.
//!
//! ```text
//!   the run ─► Recorder ─► append ─► store ─► read ─► Reader ─► a browser
//!                            │                           │
//!      turn, claim, epoch ───┘                           └─ silence, Release ─► Recorder::take_over
//! ```
//!
//! # The logs
//! | log | its entries |
//! |---|---|
//! | [`LogId::chat`] | [`Turn`] at (turn, 0): which run answers this turn, and what it asks. A turn may be taken while the one before is not over; then it [waits](TurnOrder) |
//! | [`LogId::run`] | [`Claim`] at (epoch, 0); then [`Starting`](Entry::Starting), [`Started`](Entry::Started), [`Data`](Entry::Data), [`Beat`](Entry::Beat), [`Overflow`](Entry::Overflow), [`Release`](Entry::Release), [`End`](Entry::End) |
//! | [`LogId::stop`] | [`Stop`], once: the run is to end |
//! | [`LogId::cost`] | [`Cost`], once: what the run has cost |
//! | [`LogId::spent`] | [`Counted`] at (n, 0): a run of an account, and what was spent up to and with it |
//! | [`LogId::register`], [`LogId::roster`] | who answers for which runs: see [`register`] |
//!
//! # What can be relied on
//! 1. A log is a prefix of one answer: no chunk twice, none left out.
//! 2. After a claim only entries of its epoch are appended: whoever wrote before is fenced, however late it wakes up.
//! 3. What a browser has seen stands in the log, unless the store has failed.
//! 4. A replay from the start gives the message that whoever was there from the start has, with its ids; one from chunk N gives the same
//!    without the first N.
//! 5. There is one [`End`](Entry::End), and of what follows it nothing counts. The last chunk before it is a `finish`, also of an answer
//!    that failed or was cancelled: see [`LastWords`].
//! 6. The messages of a turn are sent once, and when all turns before it are over.
//! 7. A run is [counted](Counting) once in each account, however many instances tell what it cost.

mod block;
mod entry;
mod inheritance;
mod keep;
mod last_words;
mod late_turn;
mod line;
mod log_id;
mod open_turns;
mod order;
mod position;
mod reader;
mod recorder;
pub mod register;
mod spending;
mod summary;
mod walk;
mod watch;
mod writer;

pub use entry::{Chunks, Claim, Ended, Entry, EntryError, Logged, Stop, Turn};
pub use keep::Keep;
pub use last_words::LastWords;
pub use late_turn::{LateTurn, LateTurnStep};
pub use log_id::LogId;
pub use open_turns::{OpenTurns, OpenTurnsStep};
pub use order::TurnOrder;
pub use position::{NotAPosition, Position};
pub use reader::{Reader, ReaderEnd, ReaderStep};
pub use recorder::{Found, Recorder, RecorderEnd, RecorderStep, Recording};
pub use spending::{
    Account, Cost, Counted, Counting, CountingEnd, CountingStep, Period, Spent, Usd,
};
pub use summary::Summary;
pub use watch::{Watch, WatchStep};
pub use writer::{Append, Appended, Limits};
