use std::future::ready;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_channel::oneshot;
use http::StatusCode;
use twentyfirst_protocol::run_log::register::Obligation;
use twentyfirst_protocol::run_log::{
    Append, Appended, FinalChunks, Found, Position, Recorder, RecorderEnd, RecorderStep, Recording,
};
use twentyfirst_protocol::runs::{FollowRun, Outcome, RunEnd, RunRef, StartRun};
use twentyfirst_protocol::ui::RawJson;
use twentyfirst_transport::Wait;

use super::Recorded;
use super::guard::{catch_panic, guarded};
use super::handle::Handle;
use super::logs::Cause;
use super::starting::{Begun, Placed, place, send};
use super::supervision::Seat;
use crate::backend::Refusal;
use crate::backend::budget::Payer;
use crate::backend::chat::chat_run::ChatRun;
use crate::backend::chat::observing::Observing;
use crate::client::seed;
use crate::error::Error;
use crate::run::Run;
use crate::telemetry::{self, Asker, Lag};

/// Records one run: the task that reads the relay on behalf of all browsers.
///
/// It carries out the steps of its [`Recorder`], with at most one request to the store at a time, and reads the run meanwhile.
///
/// ```text
///   Source:  None ─► Placing ─► Placed ─► Starting ─► Running ─► Charging ─► None
///             │▲                                         ▲
///             ▼│ the run before is over                  └─ a run that was taken over starts here
///           Waiting
/// ```
///
/// The steps between `Placed` and `Starting` are separate, so that the place of the run is stored before the messages are sent:
/// an instance that takes over can then find the run, even if this one dies while it starts.
pub(super) struct Keeper {
    context: Recorded,
    recorder: Recorder,
    /// The run to start. `None` for a run that was taken over.
    start: Option<Box<ChatRun>>,
    /// Reports to the caller that the run has started, or was refused.
    reply: Option<oneshot::Sender<Result<(), Refusal>>>,
    asker: Asker,
    lag: Lag,
    /// Whether time has passed since the budget was checked, so that it must be checked again.
    has_waited: bool,
    source: Source,
    request: Option<Request>,
    wait: Wait,
    /// The last deadline that was waited for.
    until: Option<Instant>,
    handle: Handle,
    /// Whether the failure of the store was reported. It is reported once per run.
    has_complained: bool,
    cause: Option<Cause>,
    /// `None` while the run waits for its turn: a waiting run that held a seat could keep out the very run that it waits for.
    seat: Option<Seat>,
}

/// The source of chunks, and the steps that come before it.
enum Source {
    None,
    /// Waits for the end of the run before it.
    Waiting(Work<()>),
    Placing(Work<Result<Placed, Refusal>>),
    /// Its sandbox and thread exist, and the recorder is storing them.
    Placed(Box<Placed>),
    Starting(Work<Result<Begun, Refusal>>),
    Running(Box<Observing>),
    /// Delivers the cost to the budgets, before the end of the run is written to the log.
    Charging(Work<()>, Option<Box<Outcome>>),
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Request = Work<Response>;

pub(super) const FAILED: &str = "this server failed";

/// The response of the store to a request.
enum Response {
    Appended(Appended, Option<Cause>),
    Last(Found<(Position, Bytes)>, Option<Cause>),
    Page(Found<Vec<(Position, Bytes)>>, Option<Cause>),
    Done,
}

impl Keeper {
    /// Creates a keeper that starts a run and records it.
    pub(super) fn begin(
        context: Recorded,
        recording: Recording,
        obligation: Obligation,
        run: ChatRun,
        reply: oneshot::Sender<Result<(), Refusal>>,
        seat: Seat,
    ) -> Self {
        let recorder = Recorder::begin(recording, Arc::clone(&context.limits));
        let handle = Handle::default();
        // Entered before anything is written, so that no reader here takes the run for one that is recorded elsewhere.
        context.logs.enter(&recorder.recording().run, &handle);
        let mut this = Self::new(context, recorder, handle, seat);
        this.start = Some(Box::new(run));
        this.reply = Some(reply);
        let context = this.context.clone();
        this.ask(async move {
            // If the store fails, the run begins all the same.
            context.answer_for(obligation).await;
            Response::Done
        });
        this
    }

    /// Creates a keeper that takes over a run recorded by another instance up to `after`. `None` if it is recorded here already.
    pub(super) fn take_over(
        context: Recorded,
        recording: Recording,
        after: Position,
        seat: Seat,
    ) -> Option<Self> {
        let handle = Handle::default();
        // Several readers may find the run silent at the same time. Only the first one starts a keeper.
        let is_new = context.logs.enter(&recording.run, &handle);
        is_new.then(|| {
            telemetry::handed_over();
            let recorder = Recorder::take_over(recording, after, Arc::clone(&context.limits));
            let mut this = Self::new(context, recorder, handle, seat);
            // It may be a turn that waited for its predecessor, and the budget may be used up by now.
            this.has_waited = true;
            this
        })
    }

    fn new(context: Recorded, recorder: Recorder, handle: Handle, seat: Seat) -> Self {
        let wait = Wait::new(&context.client.relay().runtime);
        Self {
            context,
            recorder,
            start: None,
            reply: None,
            asker: Asker::current(),
            lag: Lag::new(),
            has_waited: false,
            source: Source::None,
            request: None,
            wait,
            until: None,
            handle,
            has_complained: false,
            cause: None,
            seat: Some(seat),
        }
    }

    fn is_starting(&self) -> bool {
        matches!(self.source, Source::Placing(_) | Source::Starting(_))
    }

    fn run(&self) -> &str {
        &self.recorder.recording().run
    }

    fn handle_response(&mut self, response: Response) {
        let now = self.wait.now();
        let cause = match response {
            Response::Appended(appended, cause) => {
                // A failed append is retried, so its chunks still wait.
                self.lag.appended(appended == Appended::Yes, now);
                self.recorder.handle_append(appended, now);
                cause
            }
            Response::Last(found, cause) => {
                self.recorder.handle_last(found);
                cause
            }
            Response::Page(found, cause) => {
                self.recorder.handle_page(found);
                cause
            }
            Response::Done => None,
        };
        if cause.is_some() {
            self.cause = cause;
        }
        // Report a failed store once, and not on each request.
        if self.recorder.is_alone() && !mem::replace(&mut self.has_complained, true) {
            let unreadable = self.recorder.unreadable().cloned();
            let cause = self.cause.take().or_else(|| unreadable.map(Into::into));
            let error = Error::not_replayable(cause);
            self.context.on_error.show(&error);
            // The chat in the store may still name an older run. Correct that when the store responds again, or a reload would
            // show the old answer.
            self.context.take_turn_late(self.recorder.recording());
        }
    }

    /// Reads the run as far as the recorder wants chunks.
    fn poll_source(&mut self, cx: &mut Context<'_>) {
        loop {
            match &mut self.source {
                Source::None | Source::Placed(_) => return,
                // The recorder has stopped waiting by itself, for example because the message was withdrawn.
                Source::Waiting(_) if !self.recorder.is_waiting() => self.source = Source::None,
                Source::Waiting(waiting) => {
                    if waiting.as_mut().poll(cx).is_pending() {
                        return;
                    }
                    self.source = Source::None;
                    self.recorder.handle_over();
                }
                Source::Placing(placing) => {
                    let Poll::Ready(placed) = placing.as_mut().poll(cx) else {
                        return;
                    };
                    self.source = Source::None;
                    match placed {
                        Ok(placed) => {
                            self.recorder.handle_placed(placed.run.clone());
                            self.source = Source::Placed(Box::new(placed));
                        }
                        Err(refusal) => self.begun(Err(refusal)),
                    }
                }
                Source::Starting(starting) => {
                    let Poll::Ready(begun) = starting.as_mut().poll(cx) else {
                        return;
                    };
                    self.source = Source::None;
                    self.begun(begun);
                }
                // Backpressure: while too much is not stored yet, the relay is not read.
                Source::Running(_) if !self.recorder.wants_chunks() => return,
                Source::Running(observing) => {
                    let Poll::Ready(chunk) = observing.poll_chunk(cx) else {
                        return;
                    };
                    match chunk {
                        Some(chunk) => {
                            self.lag.read(|| self.wait.now());
                            self.recorder.push(&chunk);
                        }
                        None => {
                            let outcome = observing.outcome().map(Box::new);
                            self.source = self.charging(outcome);
                        }
                    }
                }
                Source::Charging(charging, _) => {
                    if charging.as_mut().poll(cx).is_pending() {
                        return;
                    }
                    let charged = mem::replace(&mut self.source, Source::None);
                    if let Source::Charging(_, outcome) = charged {
                        self.end(outcome.as_deref());
                    }
                }
            }
        }
    }

    fn begun(&mut self, begun: Result<Begun, Refusal>) {
        let result = match begun {
            Ok(begun) => {
                // Readers here learn the run from the handle, also if the store does not have its start yet.
                self.handle.started(begun.started.run.clone());
                self.recorder.handle_started(begun.started.run.clone());
                let client = self.context.client.clone();
                // The run outlives its request, so the spans are linked and not nested.
                begun.watch.asked_by(&self.asker);
                match Run::reading(client, begun.started, begun.body, seed(), begun.watch) {
                    Ok(run) => {
                        let on_error = self.context.on_error.clone();
                        let observer = begun.observer.map(guarded);
                        let observing = Observing::new(run, observer, on_error);
                        self.source = Source::Running(Box::new(observing));
                    }
                    Err(error) => {
                        self.context.on_error.show(&error);
                        self.end(None);
                    }
                }
                begun.refusal.map_or(Ok(()), Err)
            }
            Err(refusal) => {
                let end = RunEnd::Failed(refusal.message().to_owned());
                self.recorder.handle_not_started(&end);
                Err(refusal)
            }
        };
        self.reply(result);
    }

    fn reply(&mut self, result: Result<(), Refusal>) {
        if let Some(reply) = self.reply.take() {
            // Fails only if the browser has left.
            let _ = reply.send(result);
        }
    }

    /// Starts to deliver the cost of the run to the budgets.
    fn charging(&self, outcome: Option<Box<Outcome>>) -> Source {
        // The cost comes before the end: a user who reads the end may ask the next question at once, and its check must include
        // this run.
        let bill = self.context.bill(self.run(), self.payer());
        let usage = outcome.as_ref().map(|outcome| outcome.usage);
        let charging = match bill.zip(usage) {
            Some((bill, usage)) => bill.deliver(usage),
            None => Box::pin(ready(())),
        };
        Source::Charging(charging, outcome)
    }

    fn payer(&self) -> Payer {
        let recording = self.recorder.recording();
        Payer::new(&recording.owner, &recording.chat)
    }

    /// Records the end of the run. Without an outcome its end is unknown.
    fn end(&mut self, outcome: Option<&Outcome>) {
        if let Some(outcome) = outcome {
            let subtype = outcome.result_subtype.clone();
            self.recorder.set_result(outcome.usage, subtype);
        }
        let lost = RunEnd::Failed(FinalChunks::BROKE_OFF.to_owned());
        self.recorder
            .end(outcome.map_or(&lost, |outcome| &outcome.end));
    }

    /// Gives the run a sandbox and a thread. A run that names none gets those of the turn before.
    fn placing(&mut self, before: Option<&RunRef>, carried: &[RawJson<'static>]) -> Source {
        let run = match self.start.take() {
            Some(run) => Some(*run),
            // A run that was taken over while it waited has no request here, so its stored question is started without callbacks.
            None => self.recorder.recording().ask.as_ref().and_then(|ask| {
                let start: StartRun = ask.deserialize().ok()?;
                Some(ChatRun::from(start))
            }),
        };
        let Some(mut run) = run else {
            return Source::Placing(Box::pin(async { Err(Refusal::internal(FAILED)) }));
        };
        // Messages that this turn interrupted before they were answered go along with it, in their order.
        for ask in carried.iter().rev() {
            if let Ok(earlier) = ask.deserialize() {
                run.start = run.start.carrying(&earlier);
            }
        }
        if let Some(before) = before {
            run.start = run.start.behind(before);
        }
        let (context, payer, id) = (self.context.clone(), self.payer(), self.run().to_owned());
        let has_waited = self.has_waited;
        Source::Placing(Box::pin(async move {
            if has_waited {
                let checked = catch_panic(context.check_budget(&payer)).await;
                checked.unwrap_or_else(|| Err(Refusal::internal(FAILED)))?;
            }
            let placed = place(context.clone(), run).await?;
            // Registered before the recorder knows the place: after its last check of the log, nothing may delay the sending.
            context.placed(&id, &placed.run).await;
            Ok(placed)
        }))
    }

    /// Carries out the recorder's steps. Completes when nothing more is recorded.
    fn poll_recorder(&mut self, cx: &mut Context<'_>) -> Poll<RecorderEnd> {
        loop {
            if let Some(request) = &mut self.request
                && let Poll::Ready(response) = request.as_mut().poll(cx)
            {
                self.request = None;
                self.handle_response(response);
            }
            // Checked on every poll, because `drain` wakes this task through the handle.
            if self.handle.wants_release(cx) {
                self.recorder.release();
            }
            self.poll_source(cx);
            // One request at a time: an append after a failed one must not be written.
            if self.request.is_some() {
                return Poll::Pending;
            }
            let now = self.wait.now();
            match self.recorder.poll(now) {
                RecorderStep::Append(log, append) => {
                    self.lag.append();
                    let logs = self.context.logs.clone();
                    self.ask(async move {
                        let (appended, cause) = logs.append(log, append).await;
                        Response::Appended(appended, cause)
                    });
                }
                RecorderStep::Last(log) => {
                    let logs = self.context.logs.clone();
                    self.ask(async move {
                        let (found, cause) = logs.last(&log).await;
                        Response::Last(found, cause)
                    });
                }
                RecorderStep::Read(log, after) => {
                    let logs = self.context.logs.clone();
                    self.ask(async move {
                        let (found, cause) = logs.page(&log, after).await;
                        Response::Page(found, cause)
                    });
                }
                RecorderStep::Deliver(append) => self.deliver(append),
                RecorderStep::WaitFor(run) => {
                    self.seat = None;
                    let context = self.context.clone();
                    let Recording { owner, chat, .. } = self.recorder.recording().clone();
                    self.source = Source::Waiting(Box::pin(async move {
                        context.wait_for(&run, &owner, &chat).await;
                    }));
                    self.has_waited = true;
                    // The browser reads from the log that its message waits.
                    self.reply(Ok(()));
                }
                RecorderStep::Stop(run) => self.context.stop_in_background(run),
                RecorderStep::Start { place, carried } => {
                    let room = self.context.supervision.room();
                    self.seat.get_or_insert_with(|| room.take_anyway());
                    self.source = self.placing(place.as_ref(), &carried);
                }
                RecorderStep::Send => {
                    if let Source::Placed(placed) = mem::replace(&mut self.source, Source::None) {
                        let context = self.context.clone();
                        self.source = Source::Starting(Box::pin(send(context, *placed)));
                    }
                }
                // By default this waits for the stored answer: a second live reader of the relay would cost stored history.
                RecorderStep::Follow(run, after) => {
                    // Not awaited: the run has started already, so nothing depends on when this is stored.
                    drop(self.context.placed(self.run(), &run));
                    let run = FollowRun::new(run).after(after);
                    match self.context.client.threads().follow(run) {
                        Ok(run) => {
                            let on_error = self.context.on_error.clone();
                            let observing = Observing::new(run, None, on_error);
                            self.source = Source::Running(Box::new(observing));
                        }
                        Err(error) => {
                            self.context.on_error.show(&error);
                            self.end(None);
                        }
                    }
                }
                RecorderStep::Cancel(run) => self.context.cancel_in_background(run),
                RecorderStep::Wait { until } => {
                    let Some(until) = until else {
                        return Poll::Pending;
                    };
                    // The deadline moves with every chunk. A timer that fires too early is harmless, so it is reset only for an
                    // earlier deadline.
                    if self.until.is_none_or(|last| until < last) {
                        self.wait.reset();
                    }
                    self.until = Some(until);
                    let left = until.saturating_duration_since(now);
                    if self.wait.poll(now, left, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                RecorderStep::Over(end) => return Poll::Ready(end),
                // There are no other steps.
                _ => return Poll::Ready(RecorderEnd::Gone),
            }
        }
    }

    fn deliver(&mut self, append: Append) {
        let is_alone = self.recorder.is_alone();
        let logs = self.context.logs.clone();
        let local = self.handle.local.clone();
        // The readers here see the entry in the log that they read anyway.
        if !logs.delivers(&local, is_alone) {
            return;
        }
        let log = self.recorder.log().clone();
        self.ask(async move {
            logs.deliver(&local, &log, append, is_alone).await;
            Response::Done
        });
    }

    fn ask(&mut self, request: impl Future<Output = Response> + Send + 'static) {
        self.request = Some(Box::pin(request));
    }

    fn over(&mut self, end: &RecorderEnd) {
        // A run that went without the store at any time can be read only here.
        let is_alone = self.recorder.is_alone() || self.has_complained;
        let (logs, run) = (self.context.logs.clone(), self.run().to_owned());
        if is_alone {
            // The part that was recorded without the store can be read only here, so keep it for as long as a log is kept.
            let runtime = &self.context.client.relay().runtime;
            let kept = runtime.sleep(self.context.limits.ended_ttl);
            let handle = self.handle.clone();
            runtime.spawn(Box::pin(async move {
                kept.await;
                logs.leave(&run, &handle);
            }));
        } else {
            logs.leave(&run, &self.handle);
        }
        if let RecorderEnd::Unreadable(error) = end {
            self.context
                .on_error
                .show(&Error::not_replayable(Some(error.clone().into())));
        }
        if let Source::Running(mut observing) = mem::replace(&mut self.source, Source::None) {
            // Another instance records on, so the span here says `handed_over` and not `dropped`.
            if matches!(end, RecorderEnd::Released | RecorderEnd::Fenced) {
                observing.run.hand_over();
            }
            observing.leave();
        }
        // Somebody must notice if the run that blocks this chat is recorded by nobody.
        if matches!(end, RecorderEnd::Busy | RecorderEnd::Full) {
            self.context.watch(self.recorder.recording());
        }
        self.reply(Err(match end {
            RecorderEnd::Busy => Refusal::conflict("the chat is answering"),
            RecorderEnd::Full => Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "the chat is answering, and its queue is full",
            ),
            RecorderEnd::Gone => Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                // It is unknown whether the message was entered in the queue. Sending it again could ask it twice.
                "the store of the chat does not respond, so the message may wait or not: load the chat again",
            ),
            _ => Refusal::internal(FAILED),
        }));
        // Before the handle is over: whoever drains this instance must not miss an end that is still to be reported.
        self.context.recorded(self.run(), end, is_alone);
        self.handle.over();
    }
}

impl Future for Keeper {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // Never stop while the run is being started: its messages may have been sent, and its caller needs the result.
        match this.poll_recorder(cx) {
            Poll::Ready(_) if this.is_starting() => {
                this.poll_source(cx);
                if this.is_starting() {
                    return Poll::Pending;
                }
                this.over(&RecorderEnd::Fenced);
                Poll::Ready(())
            }
            Poll::Ready(end) => {
                this.over(&end);
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The task was dropped before its end, for example with its runtime. Nobody may wait for it any longer.
        if !self.handle.is_over() {
            self.context.logs.leave(self.run(), &self.handle);
            self.handle.over();
        }
    }
}
