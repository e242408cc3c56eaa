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
use crate::backend::chat::recorded::guard::caught;
use crate::backend::chat::recorded::logs::Cause;
use crate::error::Error;

/// A run that is over: what [`ChatHandler::on_end`](crate::backend::ChatHandler::on_end) is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EndedRun {
    /// The id of the run in the log, the one that browsers are sent as `x-workflow-run-id`. No other run has it, and each repetition of
    /// the call has the same: keep it with what you do, and do nothing where you have it already.
    pub id: String,
    /// The [owner](crate::backend::ChatRun::owner) of the chat.
    pub owner: String,
    /// The chat.
    pub chat: String,
    /// Where the run took place: `None` if it was never started, as where the relay has refused it.
    pub run: Option<RunRef>,
    /// How it ended, what it used and cost.
    pub outcome: Outcome,
    /// The message of the agent; of a run that did not complete, as far as it came.
    pub message: UiMessage,
}

/// The user's function that is told of ends.
#[derive(Clone)]
pub(in crate::backend::chat) struct OnEnd(Arc<Function>);

type Function = dyn Fn(EndedRun) -> Telling + Send + Sync;
type Telling = Pin<Box<dyn Future<Output = Result<(), Cause>> + Send>>;

impl OnEnd {
    pub(in crate::backend::chat) fn new<F, Fut, E>(on_end: F) -> Self
    where
        F: Fn(EndedRun) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self(Arc::new(move |ended| {
            let telling = on_end(ended);
            Box::pin(async move { telling.await.map_err(Into::into) })
        }))
    }

    /// What came of it: the cause is `None` where the function has panicked.
    async fn tell(&self, ended: EndedRun) -> Result<(), Option<Cause>> {
        let function = Arc::clone(&self.0);
        // Within a future, so that a panic of the function itself is caught, too.
        let told = caught(async move { function(ended).await }).await;
        told.map_or(Err(None), |told| told.map_err(Some))
    }
}

impl fmt::Debug for OnEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnEnd").finish_non_exhaustive()
    }
}

/// How long to wait until an end is told again: at first, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Recorded {
    /// Has the end of a run told, and then answers for it no more.
    pub(super) fn settle(&self, run: &str) {
        let obligation = {
            let mut state = self.supervision.state();
            let Some(held) = state.held.get_mut(run).filter(|held| !held.is_ending) else {
                return;
            };
            held.is_ending = true;
            held.obligation.clone()
        };
        let Some(on_end) = self.supervision.on_end.clone() else {
            return self.close(run);
        };
        let this = self.clone();
        // At once: whoever drains this instance waits for it.
        self.supervision.telling.fetch_add(1, Ordering::Relaxed);
        self.spawn(async move {
            if this.tell_until_told(&on_end, &obligation).await {
                this.close(&obligation.run);
            }
        });
    }

    /// Tells the end of a run until that succeeds: `false` where others do so.
    async fn tell_until_told(&self, on_end: &OnEnd, obligation: &Obligation) -> bool {
        let (mut pause, mut outcome) = (PAUSE, None);
        loop {
            let telling = &self.supervision.telling;
            let told = self.tell_once(on_end, obligation, &mut outcome).await;
            telling.fetch_sub(1, Ordering::Relaxed);
            match told {
                Ok(()) => return true,
                Err(cause) => {
                    let error = Error::new_end_not_told(&obligation.run, cause);
                    self.on_error.show(&error);
                }
            }
            // Others go on with it. In memory there are none.
            if self.is_draining.load(Ordering::Relaxed) && self.is_shared() {
                return false;
            }
            self.client.relay().runtime.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if self.is_theirs(&obligation.run) {
                return false;
            }
            telling.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn tell_once(
        &self,
        on_end: &OnEnd,
        obligation: &Obligation,
        known: &mut Option<(Outcome, Option<RunRef>)>,
    ) -> Result<(), Option<Cause>> {
        let (outcome, message, run) = self.read_end(obligation).await;
        // What was known once stays so, also when the log is gone.
        let (outcome, run) = known.get_or_insert((outcome, run)).clone();
        let ended = EndedRun {
            id: obligation.run.clone(),
            owner: obligation.owner.clone(),
            chat: obligation.chat.clone(),
            run,
            outcome,
            message,
        };
        on_end.tell(ended).await
    }

    fn is_theirs(&self, run: &str) -> bool {
        let mut state = self.supervision.state();
        let is_theirs = state.held.get(run).is_none_or(|held| held.is_theirs);
        if is_theirs {
            state.held.remove(run);
        }
        is_theirs
    }

    /// What a run came to, its message, and where it was: from its log, or where that does not have all of it, from the relay.
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
                ReaderStep::Read { after, .. } => match self.page_of(&log, after).await {
                    Found::Some(entries) if !entries.is_empty() => {
                        reader.handle_page(entries, runtime.now());
                    }
                    _ => break None,
                },
                ReaderStep::Over(ReaderEnd::Ended(ended)) => break Some(ended),
                _ => break None,
            }
        };
        let stated = ended.as_ref().and_then(|ended| ended.run.as_ref());
        let run = stated.or_else(|| reader.run());
        let run = run.or(obligation.place.as_ref());
        let run = run.cloned();
        if let Some(ended) = ended {
            let (outcome, message) = summary.of(&ended, run.as_ref());
            return (outcome, message, run);
        }
        if let Some(place) = &run
            && let Some((outcome, message)) = self.follow_to_its_end(place).await
        {
            // No recorder has told it.
            let payer = Payer::new(&obligation.owner, &obligation.chat);
            if let Some(bill) = self.bill(&obligation.run, payer) {
                bill.tell(outcome.usage).await;
            }
            return (outcome, message, run);
        }
        let mut nothing = Summary::new();
        nothing.failed(FinalChunks::BROKE_OFF);
        let (outcome, message) = nothing.of(&Ended::new("lost"), run.as_ref());
        (outcome, message, run)
    }

    /// The run at the relay: the answer that is stored there.
    async fn follow_to_its_end(&self, place: &RunRef) -> Option<(Outcome, UiMessage)> {
        let _room = self.wait_for_room().await;
        let run = FollowRun::new(place.clone());
        let mut run = match self.client.threads().follow(run) {
            Ok(run) => run,
            Err(error) => {
                self.on_error.show(&error);
                return None;
            }
        };
        let outcome = run.outcome().await;
        Some((outcome, run.message_so_far().clone()))
    }
}
