//! Chats whose answers are recorded: see [`twentyfirst_protocol::run_log`].
//!
//! ```text
//!   POST ──► Keeper (a task) ──► the relay, once
//!               │ Recorder
//!               ▼
//!             Logs: the store of all instances, and a copy in memory of what is recorded here
//!               ▲
//!               │ Reader
//!   POST, GET ──┴── Replay (the body of a response), any number
//!   DELETE ──► the stop log, then the relay
//! ```

mod cursor;
mod event_id;
mod finding;
mod guard;
mod handle;
mod keeper;
mod late_turn;
mod local;
mod logs;
mod replay;
mod starting;
mod supervision;
mod taking_over;
mod waiting;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_channel::oneshot;
use http::{HeaderName, HeaderValue, Response};
use twentyfirst_protocol::run_log::register::Obligation;
use twentyfirst_protocol::run_log::{Appended, Entry, Limits, LogId, Recording, Stop};
use twentyfirst_protocol::runs::{CancelStatus, Cancelled, RunRef};
use twentyfirst_protocol::ui;
use twentyfirst_run_log::AnyRunLog;
use twentyfirst_transport::Body;

pub(super) use self::cursor::Cursor;
use self::finding::LoggedRun;
pub(super) use self::finding::Named;
use self::keeper::Keeper;
use self::logs::Logs;
use self::replay::Replay;
pub(super) use self::supervision::OnEnd;
use self::supervision::Supervision;
pub use self::supervision::{EndedRun, OpenRun};
use super::cancelling::cancel;
use super::chat_run::ChatRun;
use crate::backend::Refusal;
use crate::backend::budget::{Bill, Budgets, Payer};
use crate::backend::on_error::OnError;
use crate::backend::to_its_end::told;
use crate::client::{AgentClient, seed};

/// The id of a run that has none yet.
pub(super) fn new_run() -> String {
    format!("run-{:016x}{:016x}", seed(), seed())
}

/// Tells a browser the id of its run.
pub(super) fn name(response: &mut Response<Body>, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(RUN_ID, id);
    }
}

/// The header that names a run to browsers that resume by it, and the one that tells them how far its log goes.
const RUN_ID: HeaderName = HeaderName::from_static("x-workflow-run-id");
const TAIL_INDEX: HeaderName = HeaderName::from_static("x-workflow-stream-tail-index");

/// After how long a message is to be sent again for which there is no room.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What all that records and replays has in common.
#[derive(Clone)]
pub(super) struct Recorded(Arc<Common>);

/// Behind one pointer, as every run and every browser has it.
#[derive(Clone)]
pub(super) struct Common {
    client: AgentClient,
    logs: Logs,
    on_error: OnError,
    budgets: Budgets,
    /// This instance, as others see it.
    instance: Arc<str>,
    is_draining: Arc<AtomicBool>,
    supervision: Supervision,
    limits: Arc<Limits>,
}

impl Deref for Recorded {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.0
    }
}

impl Recorded {
    pub(super) fn new(client: AgentClient) -> Self {
        let logs = Logs::new(&client.relay().runtime);
        Self(Arc::new(Common {
            client,
            logs,
            on_error: OnError::default(),
            budgets: Budgets::default(),
            instance: format!("{:016x}", seed()).into(),
            is_draining: Arc::default(),
            supervision: Supervision::default(),
            limits: Arc::default(),
        }))
    }

    /// To be set: by a handler of its own from now on, if it was cloned.
    fn common(&mut self) -> &mut Common {
        Arc::make_mut(&mut self.0)
    }

    pub(super) fn share(&mut self, store: AnyRunLog) {
        self.common().logs.share(store);
    }

    pub(super) fn limit_memory(&mut self, bytes: usize) {
        self.common().logs.limit_memory(bytes);
    }

    pub(super) fn on_error(&mut self, on_error: OnError) {
        self.common().on_error = on_error;
    }

    pub(super) fn budgets(&mut self, budgets: Budgets) {
        self.common().budgets = budgets;
    }

    /// Asks whether a turn may begin.
    async fn check_budget(&self, payer: &Payer) -> Result<(), Refusal> {
        let runtime = &self.client.relay().runtime;
        self.budgets.check(runtime, &self.on_error, payer).await
    }

    /// The bill of a run, if there is somebody to be told what it has cost.
    fn bill(&self, run: &str, payer: Payer) -> Option<Bill> {
        let runtime = &self.client.relay().runtime;
        self.budgets.bill(runtime, &self.on_error, run, payer)
    }

    pub(super) fn on_end(&mut self, on_end: OnEnd) {
        self.common().supervision.on_end(on_end);
    }

    pub(super) fn limit_runs(&mut self, runs: usize) {
        self.common().supervision.limit(runs);
    }

    pub(super) fn is_shared(&self) -> bool {
        self.logs.is_shared()
    }

    /// Starts the next turn of a chat, records it, and answers with its replay.
    pub(super) async fn begin(
        &self,
        id: &str,
        chat: &str,
        run: ChatRun,
    ) -> Result<Response<Body>, Refusal> {
        self.start(id, chat, run).await?;
        Ok(self.replay(id, 0))
    }

    /// Starts the next turn of a chat and records it, to its end also if nobody waits for this.
    pub(super) async fn start(&self, id: &str, chat: &str, run: ChatRun) -> Result<(), Refusal> {
        self.check_budget(&Payer::new(&run.owner, chat)).await?;
        let Some(seat) = self.supervision.room().take() else {
            let message = "this server follows as many answers as it can, try again";
            let refusal = Refusal::new(http::StatusCode::SERVICE_UNAVAILABLE, message);
            return Err(refusal.retry_after(RETRY_AFTER));
        };
        let obligation = Obligation::new(id, &run.owner, chat);
        let recording = Recording::new(id, &*self.instance)
            .of_chat(&run.owner, chat)
            .order(run.order)
            .asking(&run.start);
        let (tell, receiver) = oneshot::channel();
        let keeper = Keeper::begin(self.clone(), recording, obligation, run, tell, seat);
        self.client.relay().runtime.spawn(Box::pin(keeper));
        told(receiver).await
    }

    /// The response with a run from this chunk on.
    fn replay(&self, id: &str, first: u64) -> Response<Body> {
        let body = Replay::new(self.clone(), id.to_owned(), first);
        let mut response = Response::new(Body::wrap(body));
        *response.headers_mut() = ui::response_headers();
        name(&mut response, id);
        response
    }

    /// The response that resumes a run: `None` if nothing comes behind the last event, which makes an `EventSource` stop asking.
    pub(super) async fn resume(&self, run: &LoggedRun, cursor: Cursor) -> Option<Response<Body>> {
        let mut total = run.last.chunks_after();
        let is_at_end = matches!(run.last.entry, Entry::End(_))
            && cursor.is_behind()
            && cursor.first(&run.id, total) >= total;
        // A claim does not know how many there are, and an end not whether there are more than stand in the log.
        if is_at_end || matches!(run.last.entry, Entry::Claim(_)) {
            let (counted, has_overflowed) = self.count(&run.id).await;
            if is_at_end && !has_overflowed {
                return None;
            }
            total = counted;
        }
        let mut response = self.replay(&run.id, cursor.first(&run.id, total));
        if cursor.is_from_end() {
            let tail = HeaderValue::from(total.saturating_sub(1));
            response.headers_mut().insert(TAIL_INDEX, tail);
        }
        Some(response)
    }

    /// Ends a run, from whatever instance.
    pub(super) async fn stop(&self, run: &LoggedRun) -> Result<Cancelled, Refusal> {
        if matches!(run.last.entry, Entry::End(_)) {
            return Ok(Cancelled::new(CancelStatus::Idle, None));
        }
        // First, so that whoever starts the run finds it.
        let append = Stop::new(&*self.instance).append();
        let (stopped, cause) = self.logs.clone().append(LogId::stop(&run.id), append).await;
        let started = self.run_ref(run).await;
        match (started, stopped) {
            (Some(run), _) => cancel(&self.client, &self.on_error, run).await,
            (None, Appended::Yes | Appended::Fenced) => {
                Ok(Cancelled::new(CancelStatus::Cancelled, None))
            }
            (None, _) => {
                self.on_error
                    .show(&crate::error::Error::not_replayable(cause));
                Err(Refusal::new(
                    http::StatusCode::SERVICE_UNAVAILABLE,
                    "the run is still starting, try again",
                ))
            }
        }
    }

    fn cancel_in_background(&self, run: RunRef) {
        let this = self.clone();
        let cancel = async move {
            // What failed was shown.
            let _ = cancel(&this.client, &this.on_error, run).await;
        };
        self.client.relay().runtime.spawn(Box::pin(cancel));
    }

    /// Ends a run that gives way to another.
    fn stop_in_background(&self, run: String) {
        let this = self.clone();
        let stop = async move {
            if let Some(run) = this.logged(&run).await {
                // What failed was shown.
                let _ = this.stop(&run).await;
            }
        };
        self.client.relay().runtime.spawn(Box::pin(stop));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::chat::observing::Observing;

    /// What ten thousand browsers have ten thousand times is noticed when it grows.
    #[test]
    fn a_run_that_is_recorded_takes_little() {
        let (keeper, reading) = (size_of::<Keeper>(), size_of::<Observing>());
        assert!(keeper <= 768, "{keeper}");
        assert!(reading <= 3072, "{reading}");
        let replay = size_of::<Replay>();
        assert!(replay <= 640, "{replay}");
    }
}
