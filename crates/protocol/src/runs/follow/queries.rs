//! Queries to the relay about the run: one at a time, repeated after a delay if they fail.

use std::sync::Arc;
use std::time::Instant;

use super::{Following, Transition};
use crate::flow::{Call, Deadline, ExchangeError, Now, Step, UnderWay};
use crate::operation::Operation;
use crate::retry::Prospect;
use crate::runs::{LostReason, Outcome, RunEvent};
use crate::threads::{GetThread, ListThreads, StreamTarget, Thread};

/// The query that is under way, and the earliest time of the next. A new phase begins without any.
#[derive(Debug, Default)]
pub(super) struct Queries {
    /// No query is sent before this instant.
    not_before: Option<Instant>,
    // Boxed: a run is read for minutes and rarely queried, so the state should stay small.
    list: Option<Box<Call<ListThreads>>>,
    look: Option<Box<Call<GetThread>>>,
}

/// The reason why a query has no result.
pub(super) enum NoResult {
    /// The query is under way; the driver must do this step.
    Pending(Step<RunEvent, Outcome>),
    Failed(ExchangeError),
}

impl Queries {
    pub(super) fn under_way(&mut self) -> Option<&mut dyn UnderWay> {
        match (&mut self.list, &mut self.look) {
            (Some(list), _) => Some(&mut **list),
            (None, Some(look)) => Some(&mut **look),
            (None, None) => None,
        }
    }

    /// Returns whether the list is under way or waiting for a retry.
    pub(super) fn is_listing(&self) -> bool {
        self.list.is_some()
    }
}

impl Following {
    /// Lists the threads of the sandbox; the response is small whatever they contain. Waits until `until` at most.
    pub(super) fn list(
        &mut self,
        until: Option<Instant>,
        now: Now,
    ) -> Result<StreamTarget, NoResult> {
        let list = ListThreads::new(&self.run.sandbox_id);
        let threads = self.query(|queries| &mut queries.list, list, until, now)?;
        let target = StreamTarget::of(&threads, &self.run.thread_id);
        if let Some(status) = target.status() {
            self.transcript.emit(RunEvent::Asked(status.clone()));
        }
        Ok(target)
    }

    /// Reads the thread with its stored messages.
    pub(super) fn look(&mut self, now: Now) -> Result<Thread, NoResult> {
        let look = GetThread::new(&self.run.sandbox_id, &self.run.thread_id);
        let thread = self.query(|queries| &mut queries.look, look, None, now)?;
        self.transcript.emit(RunEvent::Asked(thread.status.clone()));
        self.looks.looked(now);
        Ok(thread)
    }

    /// Sends a query, or advances the one that is under way.
    fn query<O: Operation>(
        &mut self,
        under_way: fn(&mut Queries) -> &mut Option<Box<Call<O>>>,
        operation: O,
        until: Option<Instant>,
        now: Now,
    ) -> Result<O::Output, NoResult> {
        let mut call = match under_way(&mut self.queries).take() {
            Some(call) => call,
            None => {
                let seed = self.next_seed();
                Box::new(Call::new(operation, &self.options, seed)?)
            }
        };
        // Following has limits of its own: see `Clock`. The deadline of the options is for calls.
        let step = match call.poll(now, Deadline::none()) {
            Ok(Ok(output)) => {
                // The relay responds, so an earlier failure is not the reason if the run is lost.
                self.cause = None;
                // While no stream was ever read, the relay's responses are the only sign of life.
                if !self.has_read() {
                    self.clock.news(now);
                }
                return Ok(output);
            }
            Ok(Err(error)) => return Err(NoResult::Failed(error)),
            Err(Step::Wait { until: at }) => self.clock.wait([at, until], now),
            Err(step) => step,
        };
        // Put back only while it is under way: a query that has ended is sent anew.
        *under_way(&mut self.queries) = Some(call);
        Err(NoResult::Pending(step))
    }

    /// Checks if our answer is stored although its thread is streaming. The `Err` is the transition to make.
    pub(super) fn check_stored(&mut self, now: Now) -> Result<(), Transition> {
        match self.look(now) {
            Ok(thread) => self.settle(&thread).map_or(Ok(()), Err),
            // The stored thread exceeds the size limit, and is not needed yet.
            Err(NoResult::Failed(error)) if refusal(&error) == Some(LostReason::TooLarge) => {
                self.looks.is_too_large = true;
                Ok(())
            }
            Err(no_result) => Err(self.again(no_result, now)),
        }
    }

    /// Returns whether such a check is due and could find our answer.
    pub(super) fn wants_look(&self, now: Now) -> bool {
        // One query at a time: the one that is under way comes first.
        self.queries.look.is_some()
            || (self.queries.list.is_none() && self.looks.is_due(now) && self.can_look())
    }

    /// Handles a query without a result: the phase repeats it later, unless the relay would respond in the same way again.
    pub(super) fn again(&mut self, no_result: NoResult, now: Now) -> Transition {
        let error = match no_result {
            NoResult::Pending(step) => return Transition::Stay(step),
            NoResult::Failed(error) => error,
        };
        if let Some(reason) = refusal(&error) {
            self.cause = Some(Arc::new(error));
            return self.lose(reason);
        }
        self.failed(error, now);
        Transition::Again
    }

    /// Delays the next query because of this failure.
    pub(super) fn failed(&mut self, error: ExchangeError, now: Now) {
        self.queries.not_before = now.mono.checked_add(self.backoff.after(&error, now));
        self.cause = Some(Arc::new(error));
    }

    /// Delays the next query.
    pub(super) fn pause(&mut self, now: Now) {
        self.queries.not_before = now.mono.checked_add(self.backoff.next());
    }

    /// Waits while the next query is delayed.
    pub(super) fn pausing(&mut self, now: Now) -> Option<Transition> {
        let at = self.queries.not_before.filter(|at| now.mono < *at);
        at.map(|at| Transition::Stay(self.clock.wait([Some(at)], now)))
    }
}

/// Returns the reason why repeating a query is useless, if it is.
pub(super) fn refusal(error: &ExchangeError) -> Option<LostReason> {
    match Prospect::of(error) {
        Prospect::Improves | Prospect::Stays => None,
        Prospect::TooLarge => Some(LostReason::TooLarge),
        Prospect::Gone => Some(LostReason::Deleted),
        Prospect::Refused => Some(LostReason::Refused),
    }
}
