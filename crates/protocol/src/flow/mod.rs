//! What takes more than one exchange, a wait, or a choice after a failure: state machines without IO.
//!
//! Each [`Flow`] says what to do next and is told what came of it. [`ExecuteFlow`] and [`OpenFlow`] make one operation, and try it
//! again where that is safe; [`StartRun`](crate::runs::StartRun) has the exchanges that a run takes. Whoever drives them
//! brings the HTTP client and the clock; with [`drive`] that is an [`Io`](drive::Io) of some thirty lines.

#![expect(
    clippy::result_large_err,
    reason = "steps are handed over once, and never stored"
)]

mod call;
pub mod drive;
mod exchange;
mod machine;
mod opening;

pub(crate) use call::{Call, UnderWay};
pub(crate) use exchange::{Deadline, Exchange, Next};
pub use exchange::{ExchangeError, ExchangeErrorKind, ExecuteFlow, OpenFlow};
pub use machine::{Event, Failure, Flow, Now, SendRequest, Sent, Slot, Step};
pub(crate) use opening::Opening;
