//! The side of the relay: starts the run, and reads it for the recorder.

use std::future::ready;
use std::mem;
use std::task::{Context, Poll};

use twentyfirst_protocol::run_log::{FinalChunks, Recording};
use twentyfirst_protocol::runs::{FollowRun, Outcome, RunEnd, RunRef, StartRun};
use twentyfirst_protocol::ui::{Chunk, RawJson};

use super::{FAILED, Keeper, Work};
use crate::backend::Refusal;
use crate::backend::chat::chat_run::ChatRun;
use crate::backend::chat::observing::Observing;
use crate::backend::chat::recorded::guard::guarded;
use crate::backend::chat::recorded::starting::{Begun, Placed, place, send};
use crate::client::seed;
use crate::run::Run;

/// The source of chunks, and the steps that come before it.
///
/// ```text
///   None ─► Placing ─► Placed ─► Starting ─► Running ─► Charging ─► None
///    │▲                                         ▲
///    ▼│ the run before is over                  └─ a run that was taken over starts here
///  Waiting
/// ```
///
/// The steps between `Placed` and `Starting` are separate, so that the place of the run is stored before the messages are sent:
/// an instance that takes over can then find the run, even if this one dies while it starts.
pub(super) enum Source {
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

impl Source {
    /// Whether requests to the relay are under way that create or start something.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self, Self::Placing(_) | Self::Starting(_))
    }
}

impl Keeper {
    /// Reads the run as far as the recorder wants chunks.
    pub(super) fn poll_source(&mut self, cx: &mut Context<'_>) {
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
                        Some(chunk) => self.push(&chunk),
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

    fn push(&mut self, chunk: &Chunk<'_>) {
        self.lag.read(|| self.wait.now());
        self.recorder.push(chunk);
    }

    /// Waits for the end of the run before this one.
    pub(super) fn wait_for(&mut self, run: String) {
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

    /// Gives the run a sandbox and a thread. A run that names none gets those of the turn before.
    pub(super) fn place(&mut self, before: Option<&RunRef>, carried: &[RawJson<'static>]) {
        let room = self.context.supervision.room();
        self.seat.get_or_insert_with(|| room.take_anyway());
        self.source = self.placing(before, carried);
    }

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
                context.check_budget(&payer).await?;
            }
            let placed = place(context.clone(), run).await?;
            // Registered before the recorder knows the place: after its last check of the log, nothing may delay the sending.
            context.placed(&id, &placed.run).await;
            Ok(placed)
        }))
    }

    /// Sends the messages to the place that was stored.
    pub(super) fn send(&mut self) {
        if let Source::Placed(placed) = mem::replace(&mut self.source, Source::None) {
            let context = self.context.clone();
            self.source = Source::Starting(Box::pin(send(context, *placed)));
        }
    }

    /// Handles the start of the run, or the refusal.
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
                        self.context.on_error.report(&error);
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

    /// Goes on with a run that was taken over. By default this waits for the stored answer: a second live reader of the relay
    /// would cost stored history.
    pub(super) fn follow(&mut self, run: RunRef, after: Vec<Chunk<'static>>) {
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
                self.context.on_error.report(&error);
                self.end(None);
            }
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
}
