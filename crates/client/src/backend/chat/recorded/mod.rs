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
//!
//! The task that records a run is separate from all responses, so a browser that leaves does not end it. Even the response to the
//! `POST` is a replay of the log. Decisions are made by the state machines of the protocol crate; the code here carries out their
//! steps.

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
use crate::backend::run_to_completion::receive;
use crate::client::{AgentClient, seed};

/// Creates the id of a new run.
pub(super) fn new_run() -> String {
    // By the prefix, `chat_of_run` tells it from the ids of most chats.
    format!("run-{:016x}{:016x}", seed(), seed())
}

/// Adds the id of the run to a response.
pub(super) fn name(response: &mut Response<Body>, id: &str) {
    // An id that comes from a log may be one of another version, so it is not certain to fit into a header.
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(RUN_ID, id);
    }
}

/// The header with the run's id, by which browsers resume it, and the one with the index of the last chunk in its log.
const RUN_ID: HeaderName = HeaderName::from_static("x-workflow-run-id");
const TAIL_INDEX: HeaderName = HeaderName::from_static("x-workflow-stream-tail-index");

/// The delay after which a message that found no room is to be sent again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The shared parts of everything that records and replays. One pointer, because every run and every browser has a copy.
#[derive(Clone)]
pub(super) struct Recorded(Arc<Common>);

/// The fields of [`Recorded`].
#[derive(Clone)]
pub(super) struct Common {
    client: AgentClient,
    logs: Logs,
    on_error: OnError,
    budgets: Budgets,
    /// The name of this instance in the logs.
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

    /// Returns the settings for changing them. If the handler was cloned, it gets its own from now on.
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

    /// Checks whether a turn may begin.
    async fn check_budget(&self, payer: &Payer) -> Result<(), Refusal> {
        let runtime = &self.client.relay().runtime;
        self.budgets.check(runtime, &self.on_error, payer).await
    }

    /// Creates the bill of a run, if there are budgets.
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

    /// Starts the next turn of a chat, records it, and responds with its replay.
    pub(super) async fn begin(
        &self,
        id: &str,
        chat: &str,
        run: ChatRun,
    ) -> Result<Response<Body>, Refusal> {
        self.start(id, chat, run).await?;
        Ok(self.replay(id, 0))
    }

    /// Starts the next turn of a chat and records it to its end, even if nobody waits for this future.
    pub(super) async fn start(&self, id: &str, chat: &str, run: ChatRun) -> Result<(), Refusal> {
        // Checked in the request and not in the task, so that a refusal costs neither a seat nor an entry in the store.
        self.check_budget(&Payer::new(&run.owner, chat)).await?;
        // Taken before anything is written: a message that is refused must leave no trace in the chat.
        let Some(seat) = self.supervision.room().take() else {
            let message = "this server has reached its limit of runs, try again";
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
        receive(receiver).await
    }

    /// Creates the response with a run from this chunk on.
    fn replay(&self, id: &str, first: u64) -> Response<Body> {
        let body = Replay::new(self.clone(), id.to_owned(), first);
        let mut response = Response::new(Body::wrap(body));
        *response.headers_mut() = ui::response_headers();
        name(&mut response, id);
        response
    }

    /// Returns the response that resumes a run. `None` if nothing follows the last event, which makes an `EventSource` stop
    /// reconnecting.
    pub(super) async fn resume(&self, run: &LoggedRun, cursor: Cursor) -> Option<Response<Body>> {
        let mut total = run.last.chunks_after();
        let is_at_end = matches!(run.last.entry, Entry::End(_))
            && cursor.is_after()
            && cursor.first(&run.id, total) >= total;
        // A claim does not know the number of chunks, and an end does not know whether there are more than the log holds.
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

    /// Cancels a run, recorded by any instance.
    pub(super) async fn stop(&self, run: &LoggedRun) -> Result<Cancelled, Refusal> {
        // The relay's `DELETE` names no run, so after the end it could cancel another one of the sandbox.
        if matches!(run.last.entry, Entry::End(_)) {
            return Ok(Cancelled::new(CancelStatus::Idle, None));
        }
        // Written before the run is looked up. Either the run is found here and cancelled, or it starts later and its recorder
        // finds the stop.
        let append = Stop::new(&*self.instance).append();
        let (stopped, cause) = self.logs.clone().append(LogId::stop(&run.id), append).await;
        let started = self.run_ref(run).await;
        match (started, stopped) {
            // The relay is asked even if the stop could not be written: the run has started, so it can be cancelled directly.
            (Some(run), _) => cancel(&self.client, &self.on_error, run).await,
            // The recorder looks at the stop log after it has started the run, because the relay cancels nothing while a run
            // starts.
            (None, Appended::Yes | Appended::Fenced) => {
                Ok(Cancelled::new(CancelStatus::Cancelled, None))
            }
            (None, _) => {
                self.on_error
                    .report(&crate::error::Error::not_replayable(cause));
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
            // The error was reported already.
            let _ = cancel(&this.client, &this.on_error, run).await;
        };
        self.client.relay().runtime.spawn(Box::pin(cancel));
    }

    /// Cancels a run that gives way to another.
    fn stop_in_background(&self, run: String) {
        let this = self.clone();
        let stop = async move {
            // Looked up in the task, because the caller must not wait for the store. A run without a log needs no stop.
            if let Some(run) = this.logged(&run).await {
                // The error was reported already.
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

    /// Ten thousand browsers have these ten thousand times, so their growth must be noticed.
    #[test]
    fn a_run_that_is_recorded_takes_little() {
        let (keeper, reading) = (size_of::<Keeper>(), size_of::<Observing>());
        assert!(keeper <= 768, "{keeper}");
        assert!(reading <= 3072, "{reading}");
        let replay = size_of::<Replay>();
        assert!(replay <= 640, "{replay}");
    }
}
