use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::response::Parts;

use super::backoff::Backoff;
use super::follow::answer_to;
use super::{CancelStatus, CancelStream, Cancelled};
use crate::error::InvalidRequest;
use crate::flow::{
    Deadline, Exchange, ExchangeError, ExchangeErrorKind, Failure, Flow, Next, Now, Sent, Slot,
    Step,
};
use crate::options::CallOptions;
use crate::retry::GiveUp;
use crate::threads::{GetThread, ListThreads, Streams, ThreadStatus};
use crate::ui::Text;
use crate::{Operation, ResponseError, SandboxId, ThreadId};

/// How long a run may take to start while it is being cancelled, unless the deadline of the call says otherwise.
const LONGEST_START: Duration = Duration::from_secs(5 * 60);

/// What starts meanwhile goes on, and costs, until the next try.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often the request itself may fail.
const FAILURES: u32 = 5;

/// Ends the run that is under way in a thread, and no other. With the client's `AgentClient`, give it to `Threads::cancel`, or call
/// `Run::cancel`; [`flow`](Self::flow) is for other HTTP stacks.
///
/// The relay knows no runs, only sandboxes: it ends the newest thread that streams, and while a run is still starting it ends
/// nothing. So each try lists the threads first: where ours is not the one, nothing is sent. Between the two requests another
/// run may begin in a newer thread; the relay has no way to exclude that.
///
/// With the id of the turn that it answers, nothing is sent either where that turn is stored with its answer: then the run is over, and
/// what streams in its thread is a later one. Without the id it is whatever runs in the thread, and a run that has failed or was cancelled
/// can never be told from the next: the relay stores nothing of it.
///
/// ```
/// use twentyfirst_protocol::runs::CancelRun;
/// use twentyfirst_protocol::{CallOptions, SandboxId, ThreadId};
///
/// let cancel = CancelRun::new("my-agent", SandboxId::new("sbx_1")?, ThreadId::new("thr_1")?);
/// let flow = cancel.flow(&CallOptions::new(), 7)?;
/// # let _ = flow;
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CancelRun {
    /// The slug of the agent.
    pub agent: String,
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The thread.
    pub thread_id: ThreadId,
    /// The id of the user's message that it answers.
    pub user_message_id: Option<Text<'static>>,
}

impl CancelRun {
    /// The run in this thread.
    pub fn new(
        agent: impl Into<String>,
        sandbox_id: impl Into<SandboxId>,
        thread_id: impl Into<ThreadId>,
    ) -> Self {
        Self {
            agent: agent.into(),
            sandbox_id: sandbox_id.into(),
            thread_id: thread_id.into(),
            user_message_id: None,
        }
    }

    /// The id of the user's message that it answers.
    #[must_use]
    pub fn user_message_id(mut self, id: impl Into<Text<'static>>) -> Self {
        self.user_message_id = Some(id.into());
        self
    }

    /// The exchanges that end it. They go on until it is ended, or was not under way; while it is starting, for as long as the
    /// deadline of the call allows, or 5 min. `seed` spreads the delays of many clients: take any random number.
    ///
    /// # Errors
    /// Everything that can be checked is checked here, before the first request.
    pub fn flow(self, options: &CallOptions, seed: u64) -> Result<CancelFlow, InvalidRequest> {
        let cancel = CancelStream::new(self.agent, &self.sandbox_id);
        Exchange::new(&cancel, Slot::Exchange, options, seed)?;
        Ok(CancelFlow {
            list: ListThreads::new(&self.sandbox_id),
            thread: GetThread::new(&self.sandbox_id, &self.thread_id),
            cancel,
            user_message_id: self.user_message_id.filter(|id| *id != ""),
            has_looked: false,
            thread_id: self.thread_id,
            options: *options,
            seed,
            deadline: Deadline::or(options, LONGEST_START),
            backoff: Backoff::new(seed).up_to(LONGEST_PAUSE),
            failures: 0,
            state: State::Pause(None),
            result: None,
        })
    }
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

/// The [`Flow`] of [`CancelRun`].
#[derive(Debug)]
pub struct CancelFlow {
    list: ListThreads,
    thread: GetThread,
    cancel: CancelStream,
    user_message_id: Option<Text<'static>>,
    /// Whether it was looked, for the next list, whether the turn has its answer.
    has_looked: bool,
    thread_id: ThreadId,
    options: CallOptions,
    seed: u64,
    deadline: Deadline,
    backoff: Backoff,
    failures: u32,
    state: State,
    result: Option<Result<Cancelled, CancelError>>,
}

#[derive(Debug)]
enum State {
    /// To list the threads, at this moment.
    Pause(Option<Instant>),
    /// To look whether the turn has its answer.
    Looking(Exchange),
    Listing(Exchange),
    Cancelling(Exchange),
    /// To wait, since the run is starting.
    Starting,
    /// To try again, since a request failed.
    Failed(ExchangeError),
}

impl CancelFlow {
    fn exchange<E: crate::Endpoint>(&self, endpoint: &E) -> Result<Exchange, CancelError> {
        Exchange::new(endpoint, Slot::Exchange, &self.options, self.seed)
            .map_err(|error| CancelError::Exchange(error.into()))
    }

    /// The threads are listed: whether it is ours that the relay would cancel.
    fn look(&mut self, streams: &Streams) {
        let result = match streams.status() {
            // In a state that is not known here, a run may be under way, too.
            Some(status) if !status.is_end() && *status != ThreadStatus::Idle => {
                match streams.newest() {
                    Some(newest) if *newest != self.thread_id => Err(CancelError::AnotherRun {
                        thread_id: newest.clone(),
                        sent: match self.failures {
                            0 => Sent::No,
                            _ => Sent::Maybe,
                        },
                    }),
                    _ => {
                        match self.exchange(&self.cancel) {
                            Ok(exchange) => self.state = State::Cancelling(exchange),
                            Err(error) => self.result = Some(Err(error)),
                        }
                        return;
                    }
                }
            }
            // By a request of ours whose answer was lost.
            Some(ThreadStatus::Cancelled) if self.failures > 0 => Ok(CancelStatus::Cancelled),
            _ => Ok(CancelStatus::Idle),
        };
        self.result = Some(result.map(|status| Cancelled::new(status, None)));
    }
}

impl Flow for CancelFlow {
    type Item = Infallible;
    /// What was there to cancel: [`CancelStatus::Idle`] if the thread does not stream.
    type Output = Result<Cancelled, CancelError>;

    fn poll(&mut self, now: Now) -> Step<Self::Item, Self::Output> {
        let deadline = self.deadline.begin(now);
        loop {
            if let Some(result) = self.result.take() {
                return Step::Done(result);
            }
            match std::mem::replace(&mut self.state, State::Pause(None)) {
                State::Pause(at) => {
                    if at.is_some_and(|at| now.mono < at) {
                        self.state = State::Pause(at);
                        return Step::Read { until: at };
                    }
                    let looks = self.user_message_id.is_some() && !self.has_looked;
                    let state = match looks {
                        true => self.exchange(&self.thread).map(State::Looking),
                        false => self.exchange(&self.list).map(State::Listing),
                    };
                    self.has_looked = looks;
                    match state {
                        Ok(state) => self.state = state,
                        Err(error) => return Step::Done(Err(error)),
                    }
                }
                State::Looking(mut exchange) => match exchange.poll(now, deadline) {
                    Next::Send(send) => {
                        self.state = State::Looking(exchange);
                        return Step::Send(send);
                    }
                    Next::Read { until } => {
                        self.state = State::Looking(exchange);
                        return Step::Read { until };
                    }
                    // A thread that cannot be read, or is not there: the list tells the rest. What runs in it can be ended all the same.
                    Next::Failed(error) if error.give_up() == Some(GiveUp::Permanent) => {}
                    Next::Failed(error) => return Step::Done(Err(error.into())),
                    // Nothing is deleted here.
                    Next::Gone => {}
                },
                State::Starting => {
                    let at = now.mono + self.backoff.next();
                    if !deadline.allows(at) {
                        return Step::Done(Err(CancelError::Starting));
                    }
                    self.state = State::Pause(Some(at));
                }
                State::Failed(error) => {
                    self.failures += 1;
                    let delay = self.backoff.after(&error, now);
                    match now.mono.checked_add(delay) {
                        Some(at)
                            if self.failures < FAILURES
                                && deadline.allows(at)
                                && !is_final(&error) =>
                        {
                            self.state = State::Pause(Some(at));
                        }
                        _ => return Step::Done(Err(error.into())),
                    }
                }
                State::Listing(mut exchange) => match exchange.poll(now, deadline) {
                    Next::Send(send) => {
                        self.state = State::Listing(exchange);
                        return Step::Send(send);
                    }
                    Next::Read { until } => {
                        self.state = State::Listing(exchange);
                        return Step::Read { until };
                    }
                    Next::Failed(error) => return Step::Done(Err(error.into())),
                    // Nothing is deleted here.
                    Next::Gone => {}
                },
                State::Cancelling(mut exchange) => match exchange.poll(now, deadline) {
                    Next::Send(send) => {
                        self.state = State::Cancelling(exchange);
                        return Step::Send(send);
                    }
                    Next::Read { until } => {
                        self.state = State::Cancelling(exchange);
                        return Step::Read { until };
                    }
                    // What became of it, the next list tells.
                    Next::Failed(error) => self.state = State::Failed(error),
                    Next::Gone => self.state = State::Starting,
                },
            }
        }
    }

    fn handle_answer(&mut self, _: Slot, head: Parts, body: Bytes) {
        match &mut self.state {
            State::Looking(exchange) => match self.thread.decode(&head, &body) {
                Ok(thread) => {
                    let id = self.user_message_id.as_ref();
                    match id.and_then(|id| answer_to(&thread, id)) {
                        Some(_) => {
                            self.result = Some(Ok(Cancelled::new(CancelStatus::Idle, None)));
                        }
                        None => self.state = State::Pause(None),
                    }
                }
                Err(error) => exchange.handle(error),
            },
            State::Listing(exchange) => match self.list.decode(&head, &body) {
                // Meanwhile the run may have ended, and another begun.
                Ok(_) if self.user_message_id.is_some() && exchange.has_failed() => {
                    self.state = State::Pause(None);
                }
                Ok(threads) => {
                    let streams = Streams::of(&threads, &self.thread_id);
                    self.look(&streams);
                }
                Err(error) => exchange.handle(error),
            },
            State::Cancelling(exchange) => match self.cancel.decode(&head, &body) {
                Ok(cancelled) if cancelled.status == CancelStatus::Idle => {
                    self.state = State::Starting;
                }
                Ok(cancelled) => self.result = Some(Ok(cancelled)),
                Err(error) => exchange.handle(error),
            },
            State::Pause(_) | State::Starting | State::Failed(_) => {}
        }
    }

    fn handle_data(&mut self, _: Bytes) {}

    fn handle_end(&mut self) {}

    fn handle_failure(&mut self, _: Slot, failure: Failure) {
        if let State::Looking(exchange) | State::Listing(exchange) | State::Cancelling(exchange) =
            &mut self.state
        {
            exchange.handle(failure);
        }
    }
}

/// Whether the same request would get the same answer.
fn is_final(error: &ExchangeError) -> bool {
    match error.kind() {
        ExchangeErrorKind::Response(ResponseError::Api(error)) => {
            error.status().is_client_error() && !matches!(error.status().as_u16(), 408 | 425 | 429)
        }
        ExchangeErrorKind::InvalidRequest(_) | ExchangeErrorKind::Deadline { .. } => true,
        _ => false,
    }
}
