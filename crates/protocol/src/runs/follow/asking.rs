//! Asking the relay about the run: one question at a time, and again after a pause where it was not answered.

use std::sync::Arc;
use std::time::Instant;

use super::{Following, Turn};
use crate::flow::{Call, Deadline, ExchangeError, Now, Step, UnderWay};
use crate::operation::Operation;
use crate::retry::Prospect;
use crate::runs::{LostReason, Outcome, RunEvent};
use crate::threads::{GetThread, ListThreads, StreamTarget, Thread};

/// What is asked, and when the next question is. A phase that begins has asked nothing.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// Nothing is asked before.
    not_before: Option<Instant>,
    // Boxed: a run is read for minutes, and asked for rarely.
    list: Option<Box<Call<ListThreads>>>,
    look: Option<Box<Call<GetThread>>>,
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// Not yet: this is to be asked of the driver.
    Yet(Step<RunEvent, Outcome>),
    Failed(ExchangeError),
}

impl Asking {
    pub(super) fn under_way(&mut self) -> Option<&mut dyn UnderWay> {
        match (&mut self.list, &mut self.look) {
            (Some(list), _) => Some(&mut **list),
            (None, Some(look)) => Some(&mut **look),
            (None, None) => None,
        }
    }

    /// Whether the list is under way, or being waited for.
    pub(super) fn is_listing(&self) -> bool {
        self.list.is_some()
    }
}

impl Following {
    /// Lists the threads of the sandbox: short, whatever was said in them. Waits no longer than until this moment.
    pub(super) fn list(
        &mut self,
        until: Option<Instant>,
        now: Now,
    ) -> Result<StreamTarget, Unanswered> {
        let list = ListThreads::new(&self.run.sandbox_id);
        let threads = self.ask(|asking| &mut asking.list, list, until, now)?;
        let target = StreamTarget::of(&threads, &self.run.thread_id);
        if let Some(status) = target.status() {
            self.transcript.say(RunEvent::Asked(status.clone()));
        }
        Ok(target)
    }

    /// Reads the thread, with what is stored in it.
    pub(super) fn look(&mut self, now: Now) -> Result<Thread, Unanswered> {
        let look = GetThread::new(&self.run.sandbox_id, &self.run.thread_id);
        let thread = self.ask(|asking| &mut asking.look, look, None, now)?;
        self.transcript.say(RunEvent::Asked(thread.status.clone()));
        self.looks.looked(now);
        Ok(thread)
    }

    /// Asks, or goes on with the question that is under way.
    fn ask<O: Operation>(
        &mut self,
        under_way: fn(&mut Asking) -> &mut Option<Box<Call<O>>>,
        question: O,
        until: Option<Instant>,
        now: Now,
    ) -> Result<O::Output, Unanswered> {
        let mut call = match under_way(&mut self.asking).take() {
            Some(call) => call,
            None => {
                let seed = self.next_seed();
                Box::new(Call::new(question, &self.options, seed)?)
            }
        };
        let step = match call.poll(now, Deadline::none()) {
            Ok(Ok(output)) => {
                self.cause = None;
                if !self.has_read() {
                    self.clock.news(now);
                }
                return Ok(output);
            }
            Ok(Err(error)) => return Err(Unanswered::Failed(error)),
            Err(Step::Wait { until: at }) => self.clock.wait([at, until], now),
            Err(step) => step,
        };
        *under_way(&mut self.asking) = Some(call);
        Err(Unanswered::Yet(step))
    }

    /// Looks whether our answer is stored, though the run may go on: the turn that follows is the error then.
    pub(super) fn glance(&mut self, now: Now) -> Result<(), Turn> {
        match self.look(now) {
            Ok(thread) => self.settle(&thread).map_or(Ok(()), Err),
            // What is stored cannot be read, and is not needed yet.
            Err(Unanswered::Failed(error)) if refusal(&error) == Some(LostReason::TooLarge) => {
                self.looks.is_too_large = true;
                Ok(())
            }
            Err(unanswered) => Err(self.again(unanswered, now)),
        }
    }

    /// Whether it is time for such a look, and our answer can be found.
    pub(super) fn wants_look(&self, now: Now) -> bool {
        self.asking.look.is_some()
            || (self.asking.list.is_none() && self.looks.is_due(now) && self.can_look())
    }

    /// What follows where a question has no answer: the same phase asks it again, unless the relay would say the same again.
    pub(super) fn again(&mut self, unanswered: Unanswered, now: Now) -> Turn {
        let error = match unanswered {
            Unanswered::Yet(step) => return Turn::Stay(step),
            Unanswered::Failed(error) => error,
        };
        if let Some(reason) = refusal(&error) {
            self.cause = Some(Arc::new(error));
            return self.lose(reason);
        }
        self.failed(error, now);
        Turn::Again
    }

    /// Asks nothing for a while, because of this failure.
    pub(super) fn failed(&mut self, error: ExchangeError, now: Now) {
        self.asking.not_before = now.mono.checked_add(self.backoff.after(&error, now));
        self.cause = Some(Arc::new(error));
    }

    /// Asks nothing for a while.
    pub(super) fn pause(&mut self, now: Now) {
        self.asking.not_before = now.mono.checked_add(self.backoff.next());
    }

    /// Waits, while nothing is to be asked.
    pub(super) fn pausing(&mut self, now: Now) -> Option<Turn> {
        let at = self.asking.not_before.filter(|at| now.mono < *at);
        at.map(|at| Turn::Stay(self.clock.wait([Some(at)], now)))
    }
}

/// Why the relay would say the same again, if so.
pub(super) fn refusal(error: &ExchangeError) -> Option<LostReason> {
    match Prospect::of(error) {
        Prospect::Improves | Prospect::Stays => None,
        Prospect::TooLarge => Some(LostReason::TooLarge),
        Prospect::Gone => Some(LostReason::Deleted),
        Prospect::Refused => Some(LostReason::Refused),
    }
}
