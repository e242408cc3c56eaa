use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use twentyfirst_protocol::run_log::register::Obligation;
use twentyfirst_protocol::run_log::{
    Ended, FinalChunks, Found, LogId, Reader, ReaderEnd, ReaderStep, Summary,
};
use twentyfirst_protocol::runs::{FollowRun, Outcome, RunRef};
use twentyfirst_protocol::ui::UiMessage;

use super::Recorded;
use crate::backend::budget::Payer;
use crate::backend::catch_panic::catch_panic;
use crate::backend::chat::recorded::logs::Cause;
use crate::error::Error;

/// A run that is over, for [`ChatHandler::on_end`](crate::backend::ChatHandler::on_end).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EndedRun {
    /// The id of the run in the log, which browsers get as `x-workflow-run-id`. It is unique, and the same in each repetition of
    /// the call. Store it with the result of your function, and do nothing if it is stored already.
    pub id: String,
    /// The [owner](crate::backend::ChatRun::owner) of the chat.
    pub owner: String,
    /// The id of the chat.
    pub chat: String,
    /// The reference of the run. `None` if it was never started, for example because the relay refused it.
    pub run: Option<RunRef>,
    /// The end of the run, its usage and its cost.
    pub outcome: Outcome,
    /// The message of the agent. If the run did not complete, the part that was received.
    pub message: UiMessage,
}

/// The user's function that is called for ends of runs.
#[derive(Clone)]
pub(in crate::backend::chat) struct OnEnd(Arc<Function>);

type Function = dyn Fn(EndedRun) -> OnEndFuture + Send + Sync;
type OnEndFuture = Pin<Box<dyn Future<Output = Result<(), Cause>> + Send>>;

impl OnEnd {
    pub(in crate::backend::chat) fn new<F, Fut, E>(on_end: F) -> Self
    where
        F: Fn(EndedRun) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self(Arc::new(move |ended| {
            let call = on_end(ended);
            Box::pin(async move { call.await.map_err(Into::into) })
        }))
    }

    /// Calls the function. An error without a cause means that it panicked.
    async fn call(&self, ended: EndedRun) -> Result<(), Option<Cause>> {
        let function = Arc::clone(&self.0);
        // Called within a future, so that a panic before its first await is caught, too.
        let result = catch_panic(async move { function(ended).await }).await;
        result.map_or(Err(None), |result| result.map_err(Some))
    }
}

impl fmt::Debug for OnEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnEnd").finish_non_exhaustive()
    }
}

/// The delays before an end is reported again: the first one, doubling up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Recorded {
    /// Reports the end of a run to `on_end`, and then drops its obligation.
    pub(super) fn settle(&self, run: &str) {
        let obligation = {
            let mut state = self.supervision.state();
            let Some(held) = state.held.get_mut(run).filter(|held| !held.is_ending) else {
                return;
            };
            // Set once, so that an end is reported by one task even if several notice it.
            held.is_ending = true;
            held.obligation.clone()
        };
        let Some(on_end) = self.supervision.on_end.clone() else {
            return self.close(run);
        };
        let this = self.clone();
        // Counted at once, and not in the task: `drain` waits for this count.
        self.supervision.reporting.fetch_add(1, Ordering::Relaxed);
        self.spawn(async move {
            this.report_until_accepted(&on_end, &obligation).await;
        });
    }

    /// Reports the end of a run until that succeeds or another instance does so, and then closes the obligation.
    async fn report_until_accepted(&self, on_end: &OnEnd, obligation: &Obligation) {
        let (mut pause, mut outcome) = (PAUSE, None);
        loop {
            let reporting = &self.supervision.reporting;
            let result = self.report_once(on_end, obligation, &mut outcome).await;
            if result.is_ok() {
                // Closed before it stops counting: `drain` releases the registers when nothing counts any more, and another
                // instance would report an end again whose obligation is still open then.
                self.close(&obligation.run);
            }
            reporting.fetch_sub(1, Ordering::Relaxed);
            let Err(cause) = result else {
                return;
            };
            let error = Error::new_on_end_failed(&obligation.run, cause);
            self.on_error.report(&error);
            // Other instances go on with it. With a log in memory there are none.
            if self.is_draining.load(Ordering::Relaxed) && self.is_shared() {
                return;
            }
            // Not counted during the delay, because `drain` need not wait for it: another instance can repeat the call.
            self.client.relay().runtime.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            // Another instance may have taken the register over during the delay. It reports the end then.
            if !self.is_ours(&obligation.run) {
                return;
            }
            reporting.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn report_once(
        &self,
        on_end: &OnEnd,
        obligation: &Obligation,
        known: &mut Option<(Outcome, Option<RunRef>)>,
    ) -> Result<(), Option<Cause>> {
        // Read again for each attempt: only the outcome is kept between them, since the message may be large.
        let (outcome, message, run) = self.read_end(obligation).await;
        // Keep the first known outcome, even if the log is gone at the next attempt.
        let (outcome, run) = known.get_or_insert((outcome, run)).clone();
        let ended = EndedRun {
            id: obligation.run.clone(),
            owner: obligation.owner.clone(),
            chat: obligation.chat.clone(),
            run,
            outcome,
            message,
        };
        on_end.call(ended).await
    }

    /// Returns the outcome of a run, its message and its reference. They come from its log or, if that is incomplete, from the
    /// relay.
    async fn read_end(&self, obligation: &Obligation) -> (Outcome, UiMessage, Option<RunRef>) {
        let (mut reader, mut summary) = (Reader::from(0), Summary::new());
        let log = LogId::run(&obligation.run);
        let runtime = &self.client.relay().runtime;
        let ended = loop {
            match reader.poll(runtime.now()) {
                ReaderStep::Chunk { json, .. } => {
                    if summary.read(&json).is_err() {
                        break None;
                    }
                }
                ReaderStep::Read { after, .. } => match self.logs.page_here(&log, after).await {
                    Found::Some(entries) if !entries.is_empty() => {
                        reader.handle_page(entries, runtime.now());
                    }
                    // The log is gone, or has no end: the relay is asked.
                    _ => break None,
                },
                ReaderStep::Over(ReaderEnd::Ended(ended)) => break Some(ended),
                _ => break None,
            }
        };
        // The end names the run even where the entry of its start is missing. The obligation knows at least the place.
        let stated = ended.as_ref().and_then(|ended| ended.run.as_ref());
        let run = stated.or_else(|| reader.run());
        let run = run.or(obligation.place.as_ref());
        let run = run.cloned();
        if let Some(ended) = ended {
            let (outcome, message) = summary.of(&ended, run.as_ref());
            return (outcome, message, run);
        }
        if let Some(place) = &run
            && let Some((outcome, message)) = self.follow_to_end(place).await
        {
            // No recorder has delivered the cost, as none has read the end.
            let payer = Payer::new(&obligation.owner, &obligation.chat);
            if let Some(bill) = self.bill(&obligation.run, payer) {
                bill.deliver(outcome.usage).await;
            }
            return (outcome, message, run);
        }
        let mut nothing = Summary::new();
        nothing.failed(FinalChunks::BROKE_OFF);
        let (outcome, message) = nothing.of(&Ended::new("lost"), run.as_ref());
        (outcome, message, run)
    }

    /// Reads the run's stored answer from the relay.
    async fn follow_to_end(&self, place: &RunRef) -> Option<(Outcome, UiMessage)> {
        // Following a run counts towards the limit like recording one. While this instance is drained there is no waiting for
        // room, since `drain` waits for this report.
        let _room = self.wait_for_room().await;
        let run = FollowRun::new(place.clone());
        let mut run = match self.client.threads().follow(run) {
            Ok(run) => run,
            Err(error) => {
                self.on_error.report(&error);
                return None;
            }
        };
        let outcome = run.outcome().await;
        Some((outcome, run.message_so_far().clone()))
    }
}
