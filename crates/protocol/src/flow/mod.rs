//! Sans-IO state machines for work that takes several requests, delays, or decisions after a failure.
//!
//! A [`Flow`] returns the next step and handles the events that result from it. [`ExecuteFlow`] and [`OpenFlow`] execute one
//! operation and retry it where that is safe. [`StartRun::flow`](crate::runs::StartRun::flow) sends the requests that start a
//! run. The driver provides the HTTP client and the clock; with [`drive`], that is an [`Io`](drive::Io) of about thirty lines.

#![expect(
    clippy::result_large_err,
    reason = "a step is handed over once, and never stored"
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
