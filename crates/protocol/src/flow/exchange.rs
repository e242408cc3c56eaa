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

/// The reason why a request gave no result.
#[derive(Debug)]
pub struct ExchangeError {
    kind: ExchangeErrorKind,
    attempts: u32,
    sent: Sent,
    give_up: Option<GiveUp>,
}

/// The last error of a request, in an [`ExchangeError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeErrorKind {
    /// The request is invalid and was not sent.
    #[error(transparent)]
    InvalidRequest(#[from] InvalidRequest),
    /// The relay responded with an error, or the response is invalid.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// There is no response.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The call exceeded its deadline.
    #[error("the call exceeded its {}s deadline", deadline.as_secs_f64())]
    #[non_exhaustive]
    Deadline {
        /// The deadline.
        deadline: Duration,
    },
}

impl ExchangeError {
    /// Returns the last error.
    pub fn kind(&self) -> &ExchangeErrorKind {
        &self.kind
    }

    /// Returns the last error.
    pub fn into_kind(self) -> ExchangeErrorKind {
        self.kind
    }

    /// Returns the number of attempts, including those that could not be sent.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns whether any attempt may have reached the relay.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// Returns the reason why there was no further attempt, if one was considered.
    pub fn give_up(&self) -> Option<GiveUp> {
        self.give_up
    }

    /// Returns the error with every occurrence of `secrets` in a response replaced by `***`. Returns `None` if there was no
    /// response.
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

/// One request within a flow, with its attempts: the part that all flows share.
///
/// ```text
/// Ready ── Send ──► Waiting ── handle(error), then poll decides ──┬─ retry ──► Pausing ── Send ──► Waiting
///                     │                                           ├─ give up ──► Failed
///                     └─ success: the owner takes the response    └─ deletion, and the resource is missing ──► Gone
/// ```
#[derive(Debug)]
pub(crate) struct Exchange {
    slot: Slot,
    request: Request<Body>,
    timeouts: Timeouts,
    attempts: Attempts,
    state: State,
    /// The error of the last attempt, until the next poll decides about it.
    error: Option<ExchangeErrorKind>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Ready,
    Waiting,
    Pausing(Instant),
}

/// The result of polling an [`Exchange`].
#[expect(
    clippy::large_enum_variant,
    reason = "it is handed over once and never stored"
)]
pub(crate) enum Next {
    Send(SendRequest),
    Wait {
        until: Option<Instant>,
    },
    /// The resource to delete does not exist any more.
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
            attempts: Attempts::new(endpoint, options.retry_policy(), seed),
            state: State::Ready,
            error: None,
        })
    }

    /// Returns the next step. Nothing is begun after `deadline`.
    pub(crate) fn poll(&mut self, now: Now, deadline: Deadline) -> Next {
        // The last attempt is judged before the deadline, so that its own error is not hidden by a deadline that has passed
        // meanwhile.
        if let Some(kind) = self.error.take() {
            let attempt = match &kind {
                ExchangeErrorKind::Response(error) => Attempt::ErrorResponse(error),
                ExchangeErrorKind::Failure(failure) if failure.is_permanent() => {
                    Attempt::Permanent(failure.sent())
                }
                ExchangeErrorKind::Failure(failure) => Attempt::Failed(failure.sent()),
                // No attempt ends in one of these: the request was checked before, and the deadline is judged below.
                ExchangeErrorKind::InvalidRequest(_) | ExchangeErrorKind::Deadline { .. } => {
                    Attempt::Failed(Sent::No)
                }
            };
            match self.attempts.decide(attempt, now) {
                // If no time is left for another attempt, the last error is reported, since it says more than the deadline does.
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
            State::Pausing(until) if now.mono < until => Next::Wait { until: Some(until) },
            State::Ready | State::Pausing(_) => {
                self.state = State::Waiting;
                // The request is kept, since another attempt may follow.
                Next::Send(SendRequest {
                    slot: self.slot,
                    request: self.request.clone(),
                    timeouts: self.timeouts,
                    attempt: self.attempts.made() + 1,
                })
            }
            // The owner takes a response, so only the deadline is left to wait for.
            State::Waiting => Next::Wait { until: deadline.at },
        }
    }

    /// Returns whether an earlier attempt has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.attempts.made() > 0
    }

    /// Handles the error of the attempt that is under way. A success is handled by the owner.
    pub(crate) fn handle(&mut self, error: impl Into<ExchangeErrorKind>) {
        self.error = Some(error.into());
    }

    pub(super) fn error(&self, kind: ExchangeErrorKind, give_up: Option<GiveUp>) -> ExchangeError {
        // A request that is under way at the deadline counts as an attempt, and may have arrived.
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

/// The time by which a call must end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    length: Option<Duration>,
    at: Option<Instant>,
}

impl Deadline {
    pub(crate) fn new(options: &CallOptions) -> Self {
        Self {
            length: options.call_deadline(),
            at: None,
        }
    }

    /// Creates the deadline that the options set, or else this one.
    pub(crate) fn or(options: &CallOptions, length: Duration) -> Self {
        Self {
            length: options.call_deadline().or(Some(length)),
            at: None,
        }
    }

    /// Creates a deadline that never comes.
    pub(crate) const fn none() -> Self {
        Self {
            length: None,
            at: None,
        }
    }

    /// Starts the deadline at the first poll, since a flow may be created long before it is driven.
    pub(crate) fn begin(&mut self, now: Now) -> Self {
        self.at = self.at.or_else(|| now.mono.checked_add(self.length?));
        *self
    }

    /// Returns whether something may begin then: nothing begins at the deadline itself.
    pub(crate) fn allows(self, moment: Instant) -> bool {
        self.at.is_none_or(|at| moment < at)
    }

    /// Returns `moment`, or the deadline if that is earlier.
    pub(crate) fn soonest(self, moment: Option<Instant>) -> Option<Instant> {
        match (moment, self.at) {
            (Some(moment), Some(at)) => Some(moment.min(at)),
            (moment, at) => moment.or(at),
        }
    }

    /// Returns the length of the deadline if it has passed.
    fn over(self, now: Now) -> Option<Duration> {
        self.length
            .filter(|_| self.at.is_some_and(|at| at <= now.mono))
    }
}

/// The [`Flow`] of one [`Operation`]. It retries where that is safe, until there is a result or an error.
///
/// See [`Attempts`] for the retry rules.
#[derive(Debug)]
#[must_use = "a flow does nothing until it is driven"]
pub struct ExecuteFlow<'a, O: Operation> {
    call: Call<O, &'a O>,
    deadline: Deadline,
}

impl<'a, O: Operation> ExecuteFlow<'a, O> {
    /// Creates the flow of this operation. `seed` spreads the delays of many clients: pass any random number.
    ///
    /// # Errors
    /// Returns an error if the request is invalid. Everything that can be checked is checked here, before the first request.
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
    /// Creates the flow of this operation. `seed` spreads the delays of many clients: pass any random number.
    ///
    /// # Errors
    /// Returns an error if the request is invalid. Everything that can be checked is checked here, before the first request.
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
