//! The task that records a run. Its [`Recorder`] decides, and it carries that out on two sides:
//!
//! ```text
//!                 begin, take_over ──► Keeper, polled as a task ──► over
//!
//!   source.rs                                                                        steps.rs
//!   the relay ──► Source ── placed, started, chunks, end ──► Recorder ── Append, Last, Read ──► the store
//!                    ▲                                       │      ▲                             │
//!                    └──── WaitFor, Start, Send, Follow ─────┘      └───────── Response ──────────┘
//! ```

mod source;
mod steps;

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_channel::oneshot;
use http::StatusCode;
use twentyfirst_protocol::run_log::register::Obligation;
use twentyfirst_protocol::run_log::{Position, Recorder, RecorderEnd, Recording};
use twentyfirst_transport::Wait;

use self::source::Source;
use self::steps::{Request, Response};
use super::Recorded;
use super::handle::Handle;
use super::logs::Cause;
use super::supervision::Seat;
use crate::backend::Refusal;
use crate::backend::budget::Payer;
use crate::backend::chat::chat_run::ChatRun;
use crate::error::Error;
use crate::telemetry::{self, Asker, Lag};

/// Records one run: the task that reads the relay on behalf of all browsers.
///
/// It carries out the steps of its [`Recorder`], with at most one request to the store at a time, and reads the run meanwhile.
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

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) const FAILED: &str = "this server failed";

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
        // The first request, so that the obligation is in a register before the log of the run is claimed.
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

    fn run(&self) -> &str {
        &self.recorder.recording().run
    }

    fn payer(&self) -> Payer {
        let recording = self.recorder.recording();
        Payer::new(&recording.owner, &recording.chat)
    }

    /// Tells the caller how the start ended. Only the first call has an effect.
    fn reply(&mut self, result: Result<(), Refusal>) {
        if let Some(reply) = self.reply.take() {
            // Fails only if the browser has left.
            let _ = reply.send(result);
        }
    }

    /// Leaves the run to its readers and to the supervision, after nothing more is recorded.
    fn over(&mut self, end: &RecorderEnd) {
        // A run that went without the store at any time can be read only here, so it is kept for as long as a log is kept.
        let is_alone = self.recorder.is_alone() || self.has_complained;
        let (logs, run) = (self.context.logs.clone(), self.run().to_owned());
        if is_alone {
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
        let error = match end {
            RecorderEnd::Unreadable(error) => {
                Some(Error::not_replayable(Some(error.clone().into())))
            }
            RecorderEnd::ChatUnreadable(error) => Some(Error::chat_unreadable(error.clone())),
            _ => None,
        };
        if let Some(error) = error {
            self.context.on_error.report(&error);
        }
        if let Source::Running(mut observing) = mem::replace(&mut self.source, Source::None) {
            // Another instance records on, so the span here says `handed_over` and not `dropped`.
            if matches!(end, RecorderEnd::Released | RecorderEnd::Fenced) {
                observing.run.hand_over();
            }
            observing.leave();
        }
        // Somebody must notice if the run that blocks this chat is recorded by nobody.
        if matches!(
            end,
            RecorderEnd::Busy | RecorderEnd::Full | RecorderEnd::ChatUnreadable(_)
        ) {
            self.context.watch(self.recorder.recording());
        }
        // Reaches the caller only if nothing was replied before: the run ended without a start.
        self.reply(Err(match end {
            RecorderEnd::Busy => Refusal::conflict("the chat is answering"),
            RecorderEnd::Full => Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "the chat is answering, and its queue is full",
            ),
            RecorderEnd::ChatUnreadable(_) => {
                Refusal::internal("this server cannot read the log of the chat")
            }
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
        match this.poll_recorder(cx) {
            // Never stop while the run is being started: its messages may have been sent, and its caller needs the result.
            Poll::Ready(_) if this.source.is_starting() => {
                this.poll_source(cx);
                if this.source.is_starting() {
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
