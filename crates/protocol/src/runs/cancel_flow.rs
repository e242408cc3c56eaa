use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::response::Parts;

use super::backoff::Backoff;
use super::follow::position_of_answer;
use super::{CancelStatus, CancelStream, Cancelled, RunRef};
use crate::error::InvalidRequest;
use crate::flow::{
    Call, Deadline, ExchangeError, Failure, Flow, Now, Progress, Sent, Slot, Step, UnderWay,
};
use crate::options::CallOptions;
use crate::retry::{GiveUp, Prospect};
use crate::threads::{GetThread, ListThreads, StreamTarget, Thread, ThreadStatus};
use crate::{Operation, ThreadId};

/// How long a run may take to start while it is being cancelled, unless the deadline of the call says otherwise.
const LONGEST_START: Duration = Duration::from_secs(5 * 60);

/// What starts meanwhile goes on, and costs, until the next try.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often the request itself may fail.
const MOST_FAILED: u32 = 5;

/// The [`Flow`] that ends a run, and no other: [`RunRef::cancel`] makes it.
///
/// ```text
///            ┌────────── failed, or still starting: after a pause ──────────┐
///            ▼                                                              │
///  Looking ──► Listing ── ours is the newest that streams ──► Cancelling ───┤
///     │           │                                               │
///     └ answered  └ over, or another is newer                     └ cancelled
/// ```
///
/// The relay knows no runs, only sandboxes: it ends the newest thread that streams, and while a run is still starting it ends
/// nothing. So each try lists the threads first: where ours is not the one, nothing is sent. Between the two requests another
/// run may begin in a newer thread; the relay has no way to exclude that.
///
/// With the id of the turn that it answers, nothing is sent either where that turn is stored with its answer: then the run is over, and
/// what streams in its thread is a later one. Without the id it is whatever runs in the thread, and a run that has failed or was cancelled
/// can never be told from the next: the relay stores nothing of it.
///
/// It goes on until the run is ended, or was not under way; while it is starting, for as long as the deadline of the call allows,
/// or 5 min.
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
pub struct CancelFlow {
    run: RunRef,
    options: CallOptions,
    seed: u64,
    deadline: Deadline,
    backoff: Backoff,
    failures: u32,
    /// `None` only while a state is being polled.
    state: Option<State>,
}

/// Why a run was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// The relay would end another run: that of this thread, which is newer than ours and streams. That was not asked for. To end
    /// that one, name it, or use [`CancelStream`], which means the newest.
    #[error("cancelling would end the run of thread {thread_id}")]
    AnotherRun {
        /// The other thread.
        thread_id: ThreadId,
        /// Whether a request that came before, when ours was the newest, may have arrived.
        sent: Sent,
    },
    /// It was still starting when the time was over, and may have started since.
    #[error("the run was still starting when the time for cancelling it was over")]
    Starting,
    /// A request failed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it changes a few times"
)]
enum State {
    /// To begin with a look, at this moment.
    Pausing(Option<Instant>),
    /// Whether the turn has its answer.
    Looking(Call<GetThread>),
    /// Whether it is ours that the relay would cancel.
    Listing(Call<ListThreads>),
    Cancelling(Call<CancelStream>),
}

/// What a state has come to.
#[expect(
    clippy::large_enum_variant,
    reason = "it is handed over once and never stored"
)]
enum Turn {
    Stay(State, Step<Infallible, Result<Cancelled, CancelError>>),
    Go(State),
    Done(Result<Cancelled, CancelError>),
}

type Result<T, E = CancelError> = std::result::Result<T, E>;

impl CancelFlow {
    pub(super) fn new(
        run: RunRef,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let cancel = CancelStream::new(run.agent.clone(), &run.sandbox_id);
        // What cannot be asked is found out now.
        Call::new(cancel, options, seed)?;
        Ok(Self {
            run,
            options: *options,
            seed,
            deadline: Deadline::or(options, LONGEST_START),
            backoff: Backoff::new(seed, options).up_to(LONGEST_PAUSE),
            failures: 0,
            state: Some(State::Pausing(None)),
        })
    }

    fn call<O: Operation>(&self, operation: O) -> Result<Call<O>> {
        Call::new(operation, &self.options, self.seed)
            .map_err(|error| CancelError::Exchange(error.into()))
    }

    fn step(&mut self, state: State, now: Now, deadline: Deadline) -> Result<Turn> {
        Ok(match state {
            State::Pausing(Some(at)) if now.mono < at => {
                Turn::Stay(State::Pausing(Some(at)), Step::Read { until: Some(at) })
            }
            State::Pausing(_) => Turn::Go(match self.run.turn() {
                Some(_) => {
                    let look = GetThread::new(&self.run.sandbox_id, &self.run.thread_id);
                    State::Looking(self.call(look)?)
                }
                None => self.list()?,
            }),
            State::Looking(mut look) => match look.poll(now, deadline) {
                Progress::Send(send) => Turn::Stay(State::Looking(look), Step::Send(send)),
                Progress::Wait { until } => Turn::Stay(State::Looking(look), Step::Read { until }),
                Progress::Done(Ok(thread)) if self.is_answered(&thread) => {
                    Turn::Done(Ok(Cancelled::new(CancelStatus::Idle, None)))
                }
                Progress::Done(Ok(_)) => Turn::Go(self.list()?),
                // A thread that cannot be read, or is not there: the list tells the rest. What runs in it can be ended all the same.
                Progress::Done(Err(error)) if error.give_up() == Some(GiveUp::Permanent) => {
                    Turn::Go(self.list()?)
                }
                Progress::Done(Err(error)) => return Err(error.into()),
            },
            State::Listing(mut list) => match list.poll(now, deadline) {
                Progress::Send(send) => Turn::Stay(State::Listing(list), Step::Send(send)),
                Progress::Wait { until } => Turn::Stay(State::Listing(list), Step::Read { until }),
                // Meanwhile the run may have ended, and another begun.
                Progress::Done(Ok(_)) if self.run.turn().is_some() && list.has_failed() => {
                    Turn::Go(State::Pausing(None))
                }
                Progress::Done(Ok(threads)) => {
                    self.listed(&StreamTarget::of(&threads, &self.run.thread_id))?
                }
                Progress::Done(Err(error)) => return Err(error.into()),
            },
            State::Cancelling(mut cancel) => match cancel.poll(now, deadline) {
                Progress::Send(send) => Turn::Stay(State::Cancelling(cancel), Step::Send(send)),
                Progress::Wait { until } => {
                    Turn::Stay(State::Cancelling(cancel), Step::Read { until })
                }
                // The relay says `idle` while a run is starting, and cancels nothing.
                Progress::Done(Ok(cancelled)) if cancelled.status == CancelStatus::Idle => {
                    let delay = self.backoff.next();
                    match self.pause(delay, now, deadline) {
                        Some(pausing) => Turn::Go(pausing),
                        None => return Err(CancelError::Starting),
                    }
                }
                Progress::Done(Ok(cancelled)) => Turn::Done(Ok(cancelled)),
                // What became of it, the next list tells.
                Progress::Done(Err(error)) => {
                    self.failures += 1;
                    let delay = self.backoff.after(&error, now);
                    let pausing = self.pause(delay, now, deadline);
                    match pausing.filter(|_| self.may_try_again(&error)) {
                        Some(pausing) => Turn::Go(pausing),
                        None => return Err(error.into()),
                    }
                }
            },
        })
    }

    fn list(&self) -> Result<State> {
        let list = ListThreads::new(&self.run.sandbox_id);
        Ok(State::Listing(self.call(list)?))
    }

    fn pause(&self, delay: Duration, now: Now, deadline: Deadline) -> Option<State> {
        let at = now.mono.checked_add(delay)?;
        deadline.allows(at).then_some(State::Pausing(Some(at)))
    }

    /// Whether the turn is stored with its answer, so that the run is over.
    fn is_answered(&self, thread: &Thread) -> bool {
        let messages: Vec<_> = thread.ui_messages().collect();
        let turn = self.run.turn();
        turn.is_some_and(|turn| position_of_answer(&messages, turn).is_some())
    }

    /// The threads are listed.
    fn listed(&self, target: &StreamTarget) -> Result<Turn> {
        let status = match target.status() {
            // In a state that is not known here, a run may be under way, too.
            Some(status) if !status.is_end() && *status != ThreadStatus::Idle => {
                return match target.newest() {
                    Some(newest) if *newest != self.run.thread_id => Err(CancelError::AnotherRun {
                        thread_id: newest.clone(),
                        sent: match self.failures {
                            0 => Sent::No,
                            _ => Sent::Maybe,
                        },
                    }),
                    _ => {
                        let cancel =
                            CancelStream::new(self.run.agent.clone(), &self.run.sandbox_id);
                        Ok(Turn::Go(State::Cancelling(self.call(cancel)?)))
                    }
                };
            }
            // By a request of ours whose response was lost.
            Some(ThreadStatus::Cancelled) if self.failures > 0 => CancelStatus::Cancelled,
            _ => CancelStatus::Idle,
        };
        Ok(Turn::Done(Ok(Cancelled::new(status, None))))
    }

    fn may_try_again(&self, error: &ExchangeError) -> bool {
        let is_refused = matches!(Prospect::of(error), Prospect::Refused | Prospect::Gone);
        self.failures < MOST_FAILED && !is_refused
    }
}

impl Flow for CancelFlow {
    type Item = Infallible;
    /// What was there to cancel: [`CancelStatus::Idle`] if the thread does not stream.
    type Output = Result<Cancelled, CancelError>;

    fn poll(&mut self, now: Now) -> Step<Self::Item, Self::Output> {
        let deadline = self.deadline.begin(now);
        while let Some(state) = self.state.take() {
            match self.step(state, now, deadline) {
                Ok(Turn::Go(state)) => self.state = Some(state),
                Ok(Turn::Stay(state, step)) => {
                    self.state = Some(state);
                    return step;
                }
                Ok(Turn::Done(result)) => return Step::Done(result),
                Err(error) => return Step::Done(Err(error)),
            }
        }
        // It is over, and was polled again.
        Step::Read { until: None }
    }

    fn handle_answer(&mut self, _: Slot, head: Parts, body: Bytes) {
        if let Some(call) = self.state.as_mut().and_then(State::call) {
            call.handle_answer(&head, &body);
        }
    }

    fn handle_data(&mut self, _: Bytes) {}

    fn handle_end(&mut self) {}

    fn handle_failure(&mut self, _: Slot, failure: Failure) {
        if let Some(call) = self.state.as_mut().and_then(State::call) {
            call.handle_failure(failure);
        }
    }
}

impl State {
    fn call(&mut self) -> Option<&mut dyn UnderWay> {
        match self {
            Self::Pausing(_) => None,
            Self::Looking(look) => Some(look),
            Self::Listing(list) => Some(list),
            Self::Cancelling(cancel) => Some(cancel),
        }
    }
}
