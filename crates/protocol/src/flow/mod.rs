//! What takes more than one exchange, a wait, or a choice after a failure: state machines without IO.
//!
//! Each [`Flow`] says what to do next and is told what came of it. [`Execute`] and [`Open`] make one operation, and try it
//! again where that is safe; [`StartRun`](crate::runs::StartRun) has the exchanges that a run takes. Whoever drives them
//! brings the HTTP client and the clock; with [`drive`] that is an [`Io`](drive::Io) of some thirty lines.

mod call;
pub mod drive;
mod exchange;
mod machine;

pub(crate) use call::{Call, Progress, UnderWay};
pub(crate) use exchange::{Deadline, Exchange, Next, Reading};
pub use exchange::{ExchangeError, ExchangeErrorKind, Execute, Open};
pub use machine::{Failure, Flow, Now, SendRequest, Sent, Slot, Step};
