use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, Instant};

use http::Request;

use super::call::{Call, UnderWay};
use super::machine::{Event, Failure, Flow, Now, SendRequest, Sent, Slot, Step};
use super::opening::Opening;
use crate::Body;
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::{Endpoint, Operation, StreamingOperation};
use crate::options::{CallOptions, Timeouts};
use crate::retry::{Attempt, Attempts, Decision, GiveUp};

/// Why an exchange did not give a result.
#[derive(Debug)]
pub struct ExchangeError {
    kind: ExchangeErrorKind,
    attempts: u32,
    sent: Sent,
    give_up: Option<GiveUp>,
}

/// The last that happened, of an [`ExchangeError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeErrorKind {
    /// The request would be refused; it was not sent.
    #[error(transparent)]
    InvalidRequest(#[from] InvalidRequest),
    /// The answer says no, or is not understood.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// There is no answer.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The deadline of the call is over.
    #[error("the deadline of {} s is over", deadline.as_secs_f64())]
    #[non_exhaustive]
    Deadline {
        /// The deadline.
        deadline: Duration,
    },
}

impl ExchangeError {
    /// The last that happened.
    pub fn kind(&self) -> &ExchangeErrorKind {
        &self.kind
    }

    /// The last that happened.
    pub fn into_kind(self) -> ExchangeErrorKind {
        self.kind
    }

    /// How many requests were sent, or tried to be sent.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether any of them may have reached the relay.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// Why there was no further attempt, where one had to be decided on.
    pub fn give_up(&self) -> Option<GiveUp> {
        self.give_up
    }

    /// The same with every occurrence of `secrets` in an answer shown as `***`; `None` if there was no answer.
    pub(crate) fn redacted(&self, secrets: &[&str]) -> Option<Self> {
        let ExchangeErrorKind::Response(error) = &self.kind else {
            return None;
        };
        Some(Self {
            kind: error.clone().redacted(secrets).into(),
            attempts: self.attempts,
            sent: self.sent,
            give_up: self.give_up,
        })
    }
}

impl From<InvalidRequest> for ExchangeError {
    fn from(error: InvalidRequest) -> Self {
        Self {
            kind: error.into(),
            attempts: 0,
            sent: Sent::No,
            give_up: None,
        }
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for ExchangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.kind)
    }
}

/// One exchange within a flow, with its attempts: the part that all flows share.
#[derive(Debug)]
pub(crate) struct Exchange {
    slot: Slot,
    request: Request<Body>,
    timeouts: Timeouts,
    attempts: Attempts,
    state: State,
    /// What happened, until the next poll decides on it.
    outcome: Option<ExchangeErrorKind>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Ready,
    Waiting,
    Pausing(Instant),
}

/// What an [`Exchange`] comes to.
#[expect(
    clippy::large_enum_variant,
    reason = "it is handed over once and never stored"
)]
pub(crate) enum Next {
    Send(SendRequest),
    Read {
        until: Option<Instant>,
    },
    /// What was to be deleted is gone.
    Gone,
    Failed(ExchangeError),
}

impl Exchange {
    pub(crate) fn new<E: Endpoint>(
        endpoint: &E,
        slot: Slot,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        Ok(Self {
            slot,
            request: endpoint.to_request()?,
            timeouts: options.timeouts(endpoint.timeouts()),
            attempts: Attempts::new(endpoint, options.policy(), seed),
            state: State::Ready,
            outcome: None,
        })
    }

    /// What to do next. Past `deadline` nothing is begun.
    pub(crate) fn poll(&mut self, now: Now, deadline: Deadline) -> Next {
        if let Some(kind) = self.outcome.take() {
            let attempt = match &kind {
                ExchangeErrorKind::Response(error) => Attempt::Answered(error),
                ExchangeErrorKind::Failure(failure) if failure.is_permanent() => {
                    Attempt::Permanent(failure.sent())
                }
                ExchangeErrorKind::Failure(failure) => Attempt::Failed(failure.sent()),
                ExchangeErrorKind::InvalidRequest(_) | ExchangeErrorKind::Deadline { .. } => {
                    Attempt::Failed(Sent::No)
                }
            };
            match self.attempts.decide(attempt, now) {
                // Where no time is left for another attempt, what happened says more than the deadline does.
                Decision::Retry(delay) => match now.mono.checked_add(delay) {
                    Some(at) if deadline.allows(at) => self.state = State::Pausing(at),
                    _ => return Next::Failed(self.error(kind, None)),
                },
                Decision::Done => return Next::Gone,
                Decision::GiveUp(why) => return Next::Failed(self.error(kind, Some(why))),
            }
        }
        if let Some(over) = deadline.over(now) {
            return Next::Failed(self.error(ExchangeErrorKind::Deadline { deadline: over }, None));
        }
        match self.state {
            State::Pausing(until) if now.mono < until => Next::Read { until: Some(until) },
            State::Ready | State::Pausing(_) => {
                self.state = State::Waiting;
                Next::Send(SendRequest {
                    slot: self.slot,
                    request: self.request.clone(),
                    timeouts: self.timeouts,
                    attempt: self.attempts.made() + 1,
                })
            }
            State::Waiting => Next::Read { until: deadline.at },
        }
    }

    /// Whether there were attempts before this one.
    pub(crate) fn has_failed(&self) -> bool {
        self.attempts.made() > 0
    }

    pub(crate) fn handle(&mut self, outcome: impl Into<ExchangeErrorKind>) {
        self.outcome = Some(outcome.into());
    }

    pub(super) fn error(&self, kind: ExchangeErrorKind, give_up: Option<GiveUp>) -> ExchangeError {
        let waiting = matches!(kind, ExchangeErrorKind::Deadline { .. })
            && matches!(self.state, State::Waiting);
        let arrived = waiting || self.attempts.may_have_arrived();
        ExchangeError {
            kind,
            attempts: self.attempts.made() + u32::from(waiting),
            sent: if arrived { Sent::Maybe } else { Sent::No },
            give_up,
        }
    }
}

/// When a call has to be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    length: Option<Duration>,
    at: Option<Instant>,
}

impl Deadline {
    pub(crate) fn new(options: &CallOptions) -> Self {
        Self {
            length: options.whole(),
            at: None,
        }
    }

    /// The deadline of a call that has one of its own, unless the options set another.
    pub(crate) fn or(options: &CallOptions, length: Duration) -> Self {
        Self {
            length: options.whole().or(Some(length)),
            at: None,
        }
    }

    /// None at all.
    pub(crate) const fn none() -> Self {
        Self {
            length: None,
            at: None,
        }
    }

    /// Counts from the first poll.
    pub(crate) fn begin(&mut self, now: Now) -> Self {
        self.at = self.at.or_else(|| now.mono.checked_add(self.length?));
        *self
    }

    pub(crate) fn allows(self, moment: Instant) -> bool {
        self.at.is_none_or(|at| moment < at)
    }

    /// The moment, or the deadline if that is before it.
    pub(crate) fn soonest(self, moment: Option<Instant>) -> Option<Instant> {
        match (moment, self.at) {
            (Some(moment), Some(at)) => Some(moment.min(at)),
            (moment, at) => moment.or(at),
        }
    }

    fn over(self, now: Now) -> Option<Duration> {
        self.length
            .filter(|_| self.at.is_some_and(|at| at <= now.mono))
    }
}

/// The [`Flow`] of one [`Operation`]: tried again where that is safe, until there is a result or an error.
///
/// See [`Attempts`] for what is tried again.
#[derive(Debug)]
#[must_use = "a flow does nothing until it is driven"]
pub struct ExecuteFlow<'a, O: Operation> {
    call: Call<O, &'a O>,
    deadline: Deadline,
}

impl<'a, O: Operation> ExecuteFlow<'a, O> {
    /// The exchange of this operation. `seed` spreads the delays of many clients: take any random number.
    ///
    /// # Errors
    /// Everything that can be checked is checked here, before the first request.
    pub fn new(operation: &'a O, options: &CallOptions, seed: u64) -> Result<Self, InvalidRequest> {
        Ok(Self {
            call: Call::new(operation, options, seed)?,
            deadline: Deadline::new(options),
        })
    }
}

impl<O: Operation> Flow for ExecuteFlow<'_, O> {
    type Item = Infallible;
    type Output = Result<O::Output, ExchangeError>;

    fn poll(&mut self, now: Now) -> Step<Infallible, Self::Output> {
        let deadline = self.deadline.begin(now);
        self.call
            .poll(now, deadline)
            .map_or_else(|step| step, Step::Done)
    }

    fn handle(&mut self, event: Event) {
        self.call.handle(event);
    }
}

/// The [`Flow`] of one [`StreamingOperation`]. At its end [`Slot::Stream`] holds the body that belongs to the output.
#[derive(Debug)]
#[must_use = "a flow does nothing until it is driven"]
pub struct OpenFlow<'a, O: StreamingOperation> {
    opening: Opening<O, &'a O>,
    deadline: Deadline,
}

impl<'a, O: StreamingOperation> OpenFlow<'a, O> {
    /// The exchange of this operation. `seed` spreads the delays of many clients: take any random number.
    ///
    /// # Errors
    /// Everything that can be checked is checked here, before the first request.
    pub fn new(operation: &'a O, options: &CallOptions, seed: u64) -> Result<Self, InvalidRequest> {
        Ok(Self {
            opening: Opening::new(operation, options, seed)?,
            deadline: Deadline::new(options),
        })
    }
}

impl<O: StreamingOperation> Flow for OpenFlow<'_, O> {
    type Item = Infallible;
    type Output = Result<O::Output, ExchangeError>;

    fn poll(&mut self, now: Now) -> Step<Infallible, Self::Output> {
        let deadline = self.deadline.begin(now);
        self.opening
            .poll(now, deadline)
            .map_or_else(|step| step, Step::Done)
    }

    fn handle(&mut self, event: Event) {
        self.opening.handle(event);
    }
}
