use std::mem;

use http::StatusCode;

use super::{
    BackgroundRun, Created, Mode, OtherAgent, RunRef, SendMessages, SendResponse, StartError,
    StartErrorKind, StartRun, Started,
};
use crate::error::{ErrorCode, InvalidRequest, ResponseError};
use crate::flow::{
    Call, Deadline, Event, ExchangeError, ExchangeErrorKind, Flow, Now, Opening, Sent, Slot, Step,
    UnderWay,
};
use crate::operation::Operation;
use crate::options::CallOptions;
use crate::sandboxes::{CreateSandbox, DeleteSandbox, GetSandbox, Sandbox};
use crate::threads::{CreateThread, ThreadStatus};
use crate::ui::Text;

/// The [`Flow`] of [`StartRun`].
///
/// ```text
/// Next ──► Look ──► Sandbox ──► Thread ──► Placed ──► Messages ──► Done(Ok)
///   (each only if needed)│          │                     │
///                        └──────────┴── failed ───────────┴──► Delete ──► Done(Err)
///                                                (a new sandbox, certainly no run)
/// ```
///
/// When a streamed run has started, [`Slot::Stream`] holds its stream.
///
/// The flow yields one item, the [`RunRef`], when the sandbox and the thread exist and the messages were not sent yet. Store it
/// before you poll again, and the run can be found whatever happens next.
#[derive(Debug)]
#[must_use = "a flow does nothing until it is driven"]
pub struct StartFlow {
    run: StartRun,
    user_message_id: Option<Text<'static>>,
    mode: Option<Mode>,
    options: CallOptions,
    seed: u64,
    deadline: Deadline,
    created: Created,
    /// Whether the check of the sandbox is done or not needed.
    has_looked: bool,
    /// Whether to close [`Slot::Stream`] before the next step, since nobody reads what is open in it.
    close: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Begins with what is missing.
    Next,
    Look(Call<GetSandbox>),
    Sandbox(Call<CreateSandbox>),
    Thread(Call<CreateThread>),
    /// Yields the reference of the run that the messages start if the relay accepts them.
    Placed(Opening<SendMessages>, RunRef),
    Messages(Opening<SendMessages>, RunRef),
    /// Deletes the sandbox of a run that certainly has not started.
    Delete(Call<DeleteSandbox>, Option<StartError>),
    /// `None` once the result was returned.
    Done(Option<Result<Started, StartError>>),
}

impl StartFlow {
    pub(super) fn new(
        run: StartRun,
        user_message_id: Option<Text<'static>>,
        mode: Option<Mode>,
        options: &CallOptions,
        seed: u64,
    ) -> Self {
        Self {
            has_looked: !run.look_first,
            run,
            user_message_id,
            mode,
            options: *options,
            seed,
            deadline: Deadline::new(options),
            created: Created::default(),
            close: false,
            state: State::Next,
        }
    }

    fn call<O: Operation>(&self, operation: O) -> Result<Call<O>, InvalidRequest> {
        Call::new(operation, &self.options, self.seed)
    }

    /// Returns the next request that is missing.
    fn next(&self) -> Result<State, InvalidRequest> {
        let (run, created) = (&self.run, &self.created);
        let sandbox_id = run.sandbox_id.as_ref().or(created.sandbox_id.as_ref());
        let Some(sandbox_id) = sandbox_id else {
            let create = CreateSandbox::new(run.agent.clone());
            return self.call(create).map(State::Sandbox);
        };
        // A sandbox that was created for this run needs no check.
        if run.sandbox_id.is_some() && !self.has_looked {
            return self.call(GetSandbox::new(sandbox_id)).map(State::Look);
        }
        let thread_id = run.thread_id.as_ref().or(created.thread_id.as_ref());
        let Some(thread_id) = thread_id else {
            let create = CreateThread {
                name: run.thread_name(),
                ..CreateThread::new(sandbox_id)
            };
            return self.call(create).map(State::Thread);
        };
        let send = run.send_messages(sandbox_id.clone(), Some(thread_id.clone()), self.mode);
        let run = RunRef {
            user_message_id: self.user_message_id.clone(),
            ..RunRef::new(run.agent.clone(), sandbox_id, thread_id)
        };
        // The follower of the run judges its silence, so the transport must not cut the stream before.
        let opening = Opening::new(send, &self.options.for_followed_stream(), self.seed)?;
        Ok(State::Placed(opening, run))
    }

    /// Advances what is under way. Returns the next state; the `Err` is the step to request from the driver.
    #[expect(
        clippy::result_large_err,
        reason = "a step is handed over once, and never stored"
    )]
    fn step(
        &mut self,
        now: Now,
        deadline: Deadline,
    ) -> Result<State, Step<RunRef, Result<Started, StartError>>> {
        if let State::Placed(..) = &self.state
            && let State::Placed(send, run) = mem::replace(&mut self.state, State::Next)
        {
            // Yielded before the messages are sent: from then on a run may exist, and only the reference finds it.
            self.state = State::Messages(send, run.clone());
            return Err(Step::Item(run));
        }
        // Until the messages are sent, no failure can leave a run behind.
        let (step, error, surely_no_run) = match &mut self.state {
            // Handled above.
            State::Placed(..) => return Ok(State::Next),
            State::Next => match self.next() {
                Ok(state) => return Ok(state),
                Err(error) => ("preparing the request", error.into(), true),
            },
            State::Look(look) => match look.poll(now, deadline)? {
                Ok(sandbox) => return Ok(self.looked(sandbox)),
                Err(error) => ("looking at its sandbox", error, true),
            },
            State::Sandbox(create) => match create.poll(now, deadline)? {
                Ok(sandbox) => {
                    self.created.sandbox_id = Some(sandbox.id);
                    return Ok(State::Next);
                }
                Err(error) => ("creating the sandbox", error, true),
            },
            State::Thread(create) => match create.poll(now, deadline)? {
                Ok(thread) => {
                    self.created.thread_id = Some(thread.id);
                    return Ok(State::Next);
                }
                Err(error) => ("creating the thread", error, true),
            },
            State::Messages(send, run) => match send.poll(now, deadline)? {
                Ok(response) => {
                    let run = run.clone();
                    return Ok(self.started(run, response));
                }
                Err(error) => {
                    let surely_no_run = proves_no_run(error.kind());
                    ("sending the messages", error, surely_no_run)
                }
            },
            State::Delete(delete, error) => {
                // The first error is the cause; why the sandbox could not be deleted says less.
                let is_gone = delete.poll(now, deadline)?.is_ok();
                let error = error.take().map(|error| match is_gone {
                    true => StartError {
                        created: Created::default(),
                        ..error
                    },
                    false => error,
                });
                return Ok(State::Done(error.map(Err)));
            }
            State::Done(result) => {
                return Err(result.take().map_or(Step::Wait { until: None }, Step::Done));
            }
        };
        Ok(self.failed(step, error, surely_no_run))
    }

    /// Decides whether the run may go on in this sandbox. A thread that is not in it is left to the relay, which knows best.
    fn looked(&mut self, sandbox: Sandbox) -> State {
        self.has_looked = true;
        let run = &self.run;
        let owner = sandbox.agent.filter(|owner| owner.slug != run.agent);
        let is_streaming = sandbox.threads.iter().any(|thread| {
            run.thread_id.as_ref() == Some(&thread.id) && thread.status == ThreadStatus::Streaming
        });
        let kind = match (owner, &run.sandbox_id) {
            (Some(owner), Some(sandbox_id)) => StartErrorKind::OtherAgent(OtherAgent {
                sandbox_id: sandbox_id.clone(),
                agent: run.agent.clone(),
                owner: owner.slug,
            }),
            _ if is_streaming => StartErrorKind::ThreadStreaming,
            _ => return State::Next,
        };
        State::Done(Some(Err(self.error(kind))))
    }

    fn started(&mut self, mut run: RunRef, response: SendResponse) -> State {
        // A relay that does not know the background mode streams all the same.
        self.close = response != SendResponse::Streaming;
        if let SendResponse::Background(BackgroundRun {
            thread_id: Some(thread_id),
            ..
        }) = response
        {
            run.thread_id = thread_id;
        }
        let created = self.created.clone();
        State::Done(Some(Ok(Started { run, created })))
    }

    fn failed(&mut self, step: &'static str, error: ExchangeError, surely_no_run: bool) -> State {
        let source = Box::new(error);
        let error = self.error(StartErrorKind::Exchange { step, source });
        let is_wanted = self.run.delete_sandbox_on_failure && surely_no_run;
        let sandbox_id = self.created.sandbox_id.as_ref().filter(|_| is_wanted);
        let delete = sandbox_id.and_then(|id| self.call(DeleteSandbox::new(id)).ok());
        // The rest of an error's body is not awaited before the deletion.
        self.close = delete.is_some();
        match delete {
            Some(delete) => State::Delete(delete, Some(error)),
            None => State::Done(Some(Err(error))),
        }
    }

    fn error(&self, kind: StartErrorKind) -> StartError {
        let created = self.created.clone();
        StartError { created, kind }
    }

    fn under_way(&mut self) -> Option<&mut dyn UnderWay> {
        match &mut self.state {
            State::Look(look) => Some(look),
            State::Sandbox(create) => Some(create),
            State::Thread(create) => Some(create),
            State::Messages(send, _) => Some(send),
            State::Delete(delete, _) => Some(delete),
            State::Next | State::Placed(..) | State::Done(_) => None,
        }
    }
}

/// Returns whether messages that failed with this error cannot have started a run.
fn proves_no_run(error: &ExchangeErrorKind) -> bool {
    match error {
        ExchangeErrorKind::InvalidRequest(_) => true,
        // Earlier attempts were not sent either, or got a 429.
        ExchangeErrorKind::Failure(failure) => failure.sent() == Sent::No,
        ExchangeErrorKind::Response(ResponseError::Api(error)) => {
            // A 409 may also mean that a run is streaming, and a 408 proves nothing.
            let refused = error.status().is_client_error()
                && !matches!(
                    error.status(),
                    StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT
                );
            // The relay responds with this code when it could not reach the runtime, so no run exists there.
            refused || error.code() == Some(&ErrorCode::SandboxUnavailable)
        }
        ExchangeErrorKind::Response(ResponseError::InvalidResponse(_))
        | ExchangeErrorKind::Deadline { .. } => false,
    }
}

impl Flow for StartFlow {
    type Item = RunRef;
    type Output = Result<Started, StartError>;

    fn poll(&mut self, now: Now) -> Step<Self::Item, Self::Output> {
        let deadline = self.deadline.begin(now);
        loop {
            if std::mem::take(&mut self.close) {
                return Step::Close(Slot::Stream);
            }
            match self.step(now, deadline) {
                Ok(state) => self.state = state,
                Err(step) => return step,
            }
        }
    }

    fn handle(&mut self, event: Event) {
        if let Some(under_way) = self.under_way() {
            under_way.handle(event);
        }
    }
}
