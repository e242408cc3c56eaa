//! The run log: an answer that replays from its start on any server, and survives the server that reads it.
//!
//! An answer is recorded in a log while it is read from the relay. Every reader reads it from there: the browser that sent the
//! message, the same browser after a reload, or a second tab, on any instance. A store keeps the logs: it appends an entry if
//! nothing is above it, and reads entries. Everything else is decided here, without IO.
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
//! | [`LogId::chat`] | [`Turn`] at (turn, 0): the run that answers this turn, and the request. A turn may be taken while the previous one is not over; then it [waits](TurnOrder) |
//! | [`LogId::run`] | [`Claim`] at (epoch, 0); then [`Starting`](Entry::Starting), [`Started`](Entry::Started), [`Data`](Entry::Data), [`Beat`](Entry::Beat), [`Overflow`](Entry::Overflow), [`Release`](Entry::Release), [`End`](Entry::End) |
//! | [`LogId::stop`] | [`Stop`], once: the run should stop |
//! | [`LogId::cost`] | [`Cost`], once: the cost of the run |
//! | [`LogId::spent`] | [`Counted`] at (n, 0): a run of an account, and the total including it |
//! | [`LogId::register`], [`LogId::roster`] | the instances that are responsible for runs: see [`register`] |
//!
//! # Guarantees
//! 1. A log is a prefix of one answer: no chunk is repeated, and none is missing.
//! 2. After a claim only entries of its epoch are appended. An earlier writer is fenced, however late it wakes up.
//! 3. Everything that a browser has seen is in the log, unless the store has failed.
//! 4. A replay from the start gives the message that a live reader has, with the same ids. A replay from chunk N gives the same
//!    chunks without the first N.
//! 5. There is one [`End`](Entry::End), and everything after it is ignored. The last chunk before it is a `finish`, even if the
//!    answer failed or was cancelled: see [`FinalChunks`].
//! 6. The messages of a turn are sent once, and only when all turns before it are over.
//! 7. A run is [counted](Counting) once in each account, however many instances report its cost.

mod backlog;
mod block;
mod entry;
mod final_chunks;
mod inheritance;
mod keep;
mod late_turn;
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
pub use final_chunks::FinalChunks;
pub use keep::Keep;
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
