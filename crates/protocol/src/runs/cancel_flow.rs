use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::follow::position_of_answer;
use super::{CancelStatus, CancelStream, Cancelled, RunRef};
use crate::error::InvalidRequest;
use crate::flow::{Call, Deadline, Event, ExchangeError, Flow, Now, Sent, Step, UnderWay};
use crate::options::CallOptions;
use crate::retry::{GiveUp, Prospect};
use crate::threads::{GetThread, ListThreads, StreamTarget, Thread, ThreadStatus};
use crate::{Operation, ThreadId};

/// The longest time that a run may take to start while it is being cancelled, unless the call has a deadline.
const LONGEST_START: Duration = Duration::from_secs(5 * 60);

/// The longest delay between two tries. It is short because a run that starts in the meantime goes on, and costs money.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The most cancel requests that may fail.
const MOST_FAILED: u32 = 5;

/// The [`Flow`] that ends one particular run. Create it with [`RunRef::cancel`].
///
/// ```text
///            ┌────────── failed, or still starting: after a pause ──────────┐
///            ▼                                                              │
///  Looking ──► Listing ── ours is the newest that streams ──► Cancelling ───┤
///     │           │                                               │
///     └ answered  └ over, or another is newer                     └ cancelled
/// ```
///
/// The relay has no ids for runs: it ends the run of the newest thread that is streaming, and while a run is still starting it
/// ends nothing. So each try lists the threads first, and sends nothing if the newest streaming thread is not ours. Another run
/// may still begin in a newer thread between the two requests; the relay offers no way to exclude that.
///
/// If the [`RunRef`] has the id of the user's message and that message is stored together with its answer, nothing is sent
/// either: the run is over, and any stream in its thread belongs to a later run. Without the id, the flow cancels whatever runs
/// in the thread. A run that failed or was cancelled cannot be told from the next one, since the relay stores nothing of it.
///
/// The flow retries until the run has ended or turns out not to be under way. While the run is still starting, it retries until
/// the deadline of the call, or for 5 min if there is none.
///
/// ```
/// use twentyfirst_protocol::runs::RunRef;
/// use twentyfirst_protocol::{CallOptions, SandboxId, ThreadId};
///
/// let run = RunRef::new("my-agent", SandboxId::new("sbx_1")?, ThreadId::new("thr_1")?);
/// let flow = run.cancel(&CallOptions::new(), 7)?;
/// # let _ = flow;
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Debug)]
#[must_use = "a flow does nothing until it is driven"]
pub struct CancelFlow {
    run: RunRef,
    options: CallOptions,
    seed: u64,
    deadline: Deadline,
    backoff: Backoff,
    failures: u32,
    state: State,
}

/// The reason why a run was not cancelled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// The relay would end the run of another thread, which is newer than ours and streams. To end that one, name it, or use
    /// [`CancelStream`], which always means the newest.
    #[error(
        "cancelling would end the newer run of thread {thread_id} instead: to end that one, name it"
    )]
    #[non_exhaustive]
    AnotherRun {
        /// The other thread.
        thread_id: ThreadId,
        /// Whether an earlier request, sent while ours was the newest, may have arrived.
        sent: Sent,
    },
    /// The run was still starting at the deadline. It may have started since.
    #[error(
        "timed out cancelling: the run was still starting and may have started since; cancel it again"
    )]
    Starting,
    /// A request failed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a flow has one state, which changes a few times"
)]
enum State {
    /// Waits until this instant, if there is one, and then begins a try.
    Pausing(Option<Instant>),
    /// Reads the thread, to see if the message has its answer.
    Looking(Call<GetThread>),
    /// Lists the threads, to see if the relay would cancel our run.
    Listing(Call<ListThreads>),
    Cancelling(Call<CancelStream>),
    /// `None` once the result was returned.
    Done(Option<Result<Cancelled>>),
}

type Result<T, E = CancelError> = std::result::Result<T, E>;

impl CancelFlow {
    pub(super) fn new(
        run: RunRef,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let cancel = CancelStream::new(run.agent.clone(), &run.sandbox_id);
        // Reports an invalid request now rather than on the first poll.
        Call::new(cancel, options, seed)?;
        Ok(Self {
            run,
            options: *options,
            seed,
            deadline: Deadline::or(options, LONGEST_START),
            backoff: Backoff::new(seed, options).up_to(LONGEST_PAUSE),
            failures: 0,
            state: State::Pausing(None),
        })
    }

    fn call<O: Operation>(&self, operation: O) -> Result<Call<O>> {
        Call::new(operation, &self.options, self.seed)
            .map_err(|error| CancelError::Exchange(error.into()))
    }

    /// Advances what is under way. Returns the next state or the final error; the outer `Err` is the step to request from the
    /// driver.
    #[expect(
        clippy::result_large_err,
        reason = "a step is handed over once, and never stored"
    )]
    fn step(
        &mut self,
        now: Now,
        deadline: Deadline,
    ) -> Result<Result<State>, Step<Infallible, Result<Cancelled>>> {
        Ok(match &mut self.state {
            State::Pausing(Some(at)) if now.mono < *at => {
                return Err(Step::Wait { until: Some(*at) });
            }
            State::Pausing(_) if self.run.turn().is_some() => {
                let look = GetThread::new(&self.run.sandbox_id, &self.run.thread_id);
                self.call(look).map(State::Looking)
            }
            State::Pausing(_) => self.list(),
            State::Looking(look) => match look.poll(now, deadline)? {
                Ok(thread) if self.is_answered(&thread) => Ok(State::done(CancelStatus::Idle)),
                Ok(_) => self.list(),
                // The thread cannot be read or does not exist. The list decides, and a run can be cancelled all the same.
                Err(error) if error.give_up() == Some(GiveUp::Permanent) => self.list(),
                Err(error) => Err(error.into()),
            },
            State::Listing(list) => match (list.poll(now, deadline)?, list.has_failed()) {
                // The list was retried. Meanwhile the run may have ended and another begun, so look at the thread again.
                (Ok(_), true) if self.run.turn().is_some() => Ok(State::Pausing(None)),
                (Ok(threads), _) => self.listed(&StreamTarget::of(&threads, &self.run.thread_id)),
                (Err(error), _) => Err(error.into()),
            },
            State::Cancelling(cancel) => match cancel.poll(now, deadline)? {
                // The relay says `idle` while a run is starting, and cancels nothing.
                Ok(cancelled) if cancelled.status == CancelStatus::Idle => {
                    let delay = self.backoff.next();
                    let pausing = self.pause(delay, now, deadline);
                    pausing.ok_or(CancelError::Starting)
                }
                Ok(cancelled) => Ok(State::Done(Some(Ok(cancelled)))),
                // The request may have arrived, so it is not repeated at once: the next list shows if the run was cancelled.
                Err(error) => {
                    self.failures += 1;
                    let delay = self.backoff.after(&error, now);
                    let pausing = self.pause(delay, now, deadline);
                    let pausing = pausing.filter(|_| self.may_try_again(&error));
                    pausing.ok_or_else(|| error.into())
                }
            },
            State::Done(result) => {
                return Err(result.take().map_or(Step::Wait { until: None }, Step::Done));
            }
        })
    }

    fn list(&self) -> Result<State> {
        let list = ListThreads::new(&self.run.sandbox_id);
        self.call(list).map(State::Listing)
    }

    /// Returns the pause before the next try, unless the deadline would pass meanwhile.
    fn pause(&self, delay: Duration, now: Now, deadline: Deadline) -> Option<State> {
        let at = now.mono.checked_add(delay)?;
        deadline.allows(at).then_some(State::Pausing(Some(at)))
    }

    /// Returns whether the message is stored with its answer, so that the run is over.
    fn is_answered(&self, thread: &Thread) -> bool {
        let messages: Vec<_> = thread.ui_messages().collect();
        let turn = self.run.turn();
        turn.is_some_and(|turn| position_of_answer(&messages, turn).is_some())
    }

    /// Decides from the list of threads.
    fn listed(&self, target: &StreamTarget) -> Result<State> {
        match (target.status(), target.newest()) {
            // One of our own requests did it, and its response was lost.
            (Some(ThreadStatus::Cancelled), _) if self.failures > 0 => {
                Ok(State::done(CancelStatus::Cancelled))
            }
            // Without its thread, or before its first run, there is nothing to cancel.
            (None | Some(ThreadStatus::Idle), _) => Ok(State::done(CancelStatus::Idle)),
            (Some(status), _) if status.is_end() => Ok(State::done(CancelStatus::Idle)),
            // An unknown status may also mean that a run is under way.
            (_, Some(newest)) if *newest != self.run.thread_id => Err(CancelError::AnotherRun {
                thread_id: newest.clone(),
                sent: match self.failures {
                    0 => Sent::No,
                    _ => Sent::Maybe,
                },
            }),
            _ => {
                let cancel = CancelStream::new(self.run.agent.clone(), &self.run.sandbox_id);
                self.call(cancel).map(State::Cancelling)
            }
        }
    }

    /// Returns whether another try may succeed. The limit counts failed requests; a run that is still starting has none.
    fn may_try_again(&self, error: &ExchangeError) -> bool {
        let is_refused = matches!(Prospect::of(error), Prospect::Refused | Prospect::Gone);
        self.failures < MOST_FAILED && !is_refused
    }
}

impl Flow for CancelFlow {
    type Item = Infallible;
    /// The relay's response, with [`CancelStatus::Idle`] if the thread was not streaming.
    type Output = Result<Cancelled, CancelError>;

    fn poll(&mut self, now: Now) -> Step<Self::Item, Self::Output> {
        let deadline = self.deadline.begin(now);
        loop {
            match self.step(now, deadline) {
                Ok(Ok(state)) => self.state = state,
                Ok(Err(error)) => self.state = State::Done(Some(Err(error))),
                Err(step) => return step,
            }
        }
    }

    fn handle(&mut self, event: Event) {
        if let Some(call) = self.state.call() {
            call.handle(event);
        }
    }
}

impl State {
    fn done(status: CancelStatus) -> Self {
        Self::Done(Some(Ok(Cancelled::new(status, None))))
    }

    fn call(&mut self) -> Option<&mut dyn UnderWay> {
        match self {
            Self::Pausing(_) | Self::Done(_) => None,
            Self::Looking(look) => Some(look),
            Self::Listing(list) => Some(list),
            Self::Cancelling(cancel) => Some(cancel),
        }
    }
}
