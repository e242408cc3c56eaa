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
mod guard;
mod handle;
mod keeper;
mod local;
mod logs;
mod replay;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Response};
use twentyfirst_protocol::run_log::{
    Append, Appended, Entry, Found, LateTurn, LateTurnStep, LogId, Logged, Position, Reader,
    Recording, Stop,
};
use twentyfirst_protocol::runs::{CancelStatus, Cancelled, RunRef};
use twentyfirst_protocol::ui;
use twentyfirst_run_log::{AnyRunLog, Keep};
use twentyfirst_transport::Body;

pub(super) use self::cursor::Cursor;
use self::handle::Handle;
use self::keeper::Keeper;
use self::logs::{Logs, PAGE};
use self::replay::Replay;
use super::chat_request::ChatRequest;
use super::chat_run::ChatRun;
use crate::backend::Refusal;
use crate::backend::decide::Decide;
use crate::backend::handover::handover;
use crate::backend::on_error::OnError;
use crate::client::{AgentClient, seed};

/// The header that names a run to browsers that resume by it, and the one that tells them how far its log goes.
const RUN_ID: HeaderName = HeaderName::from_static("x-workflow-run-id");
const TAIL_INDEX: HeaderName = HeaderName::from_static("x-workflow-stream-tail-index");

/// How long a stop is kept.
const STOP_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// How long it is tried to end a run that is still starting.
const LONGEST_CANCEL: Duration = Duration::from_secs(30);

/// What all that records and replays has in common.
#[derive(Clone)]
pub(super) struct Recorded {
    client: AgentClient,
    logs: Logs,
    on_error: OnError,
    /// This instance, as others see it.
    instance: Arc<str>,
    is_draining: Arc<AtomicBool>,
}

/// What a request that names a chat or a run is about.
pub(super) struct Sought {
    /// The run in the logs, if there is one that whoever asks may see.
    pub(super) logged: Option<LoggedRun>,
    /// The run at the relay, if there is a thread for one.
    pub(super) run: Option<RunRef>,
}

/// A run that was found in the logs.
pub(super) struct LoggedRun {
    id: String,
    /// Its last entry, and where that stands.
    last: Logged,
    at: Position,
}

impl Recorded {
    pub(super) fn new(client: AgentClient) -> Self {
        let logs = Logs::new(&client.shared().runtime);
        Self {
            client,
            logs,
            on_error: OnError::default(),
            instance: format!("{:016x}", seed()).into(),
            is_draining: Arc::default(),
        }
    }

    pub(super) fn share(&mut self, store: AnyRunLog) {
        self.logs.share(store);
    }

    pub(super) fn limit_memory(&mut self, bytes: usize) {
        self.logs.limit_memory(bytes);
    }

    pub(super) fn on_error(&mut self, on_error: OnError) {
        self.on_error = on_error;
    }

    pub(super) fn is_shared(&self) -> bool {
        self.logs.is_shared()
    }

    /// Starts the next turn of a chat, records it, and answers with its replay.
    pub(super) async fn begin(&self, chat: &str, run: ChatRun) -> Result<Response<Body>, Refusal> {
        let id = format!("run-{:016x}{:016x}", seed(), seed());
        let recording = Recording::new(id.clone(), &*self.instance).of_chat(&run.owner, chat);
        let (giver, taker) = handover();
        Keeper::begin(self.clone(), recording, run, giver).spawn();
        let told = taker.await;
        told.unwrap_or_else(|| Err(Refusal::internal("this server failed")))?;
        Ok(self.replay(&id, 0))
    }

    /// The response with a run from this chunk on.
    fn replay(&self, id: &str, first: u64) -> Response<Body> {
        let body = Replay::new(self.clone(), id.to_owned(), first);
        let mut response = Response::new(Body::wrap(body));
        *response.headers_mut() = ui::response_headers();
        if let Ok(id) = HeaderValue::from_str(id) {
            response.headers_mut().insert(RUN_ID, id);
        }
        response
    }

    /// What a request is about whose path names a chat, or a run by its id in the log.
    pub(super) async fn find(
        &self,
        decide: &Decide<ChatRequest, ChatRun>,
        head: Parts,
        id: String,
    ) -> Result<Sought, Refusal> {
        let of_run = self.chat_of_run(&id).await;
        let chat = of_run.as_ref().map_or(&id, |(_, chat)| chat).clone();
        let decided = decide.ask(ChatRequest::of_run(head, chat.clone())).await?;
        let logged = match of_run {
            Some((owner, _)) if owner != decided.owner => None,
            Some(_) => self.logged(&id).await,
            None => self.current(&decided.owner, &chat).await,
        };
        let run = decided.place();
        let may_see = match (&logged, &run) {
            (None, _) => false,
            (Some(logged), Some(place)) => match self.run_ref(logged).await {
                Some(run) => run.sandbox_id == place.sandbox_id && run.thread_id == place.thread_id,
                None => !decided.owner.is_empty(),
            },
            // Who has no thread yet is known by the owner only.
            (Some(_), None) => !decided.owner.is_empty(),
        };
        Ok(Sought {
            logged: logged.filter(|_| may_see),
            run,
        })
    }

    /// The current run of a chat, if there is a log of it.
    async fn current(&self, owner: &str, chat: &str) -> Option<LoggedRun> {
        let (Found::Some((_, turn)), _) = self.logs.last(&LogId::chat(owner, chat)).await else {
            return None;
        };
        match Logged::decode(&turn).ok()?.entry {
            Entry::Turn(turn) => self.logged(&turn.run).await,
            _ => None,
        }
    }

    /// A run, if there is a log of it.
    async fn logged(&self, id: &str) -> Option<LoggedRun> {
        let (Found::Some((at, last)), _) = self.logs.last(&LogId::run(id)).await else {
            return None;
        };
        let last = Logged::decode(&last).ok()?;
        let id = id.to_owned();
        Some(LoggedRun { id, last, at })
    }

    /// The chat and its owner of a run, if a browser can mean it by this id.
    async fn chat_of_run(&self, id: &str) -> Option<(String, String)> {
        if !id.starts_with("run-") {
            return None;
        }
        let reader = self.read_head(id).await?;
        let claim = reader.claim()?;
        Some((claim.owner.clone(), claim.chat.clone()))
    }

    /// The run, if its start stands in its log.
    async fn run_ref(&self, run: &LoggedRun) -> Option<RunRef> {
        let here = self.logs.here().get(&LogId::run(&run.id)).cloned();
        if let Some(run) = here.and_then(|handle| handle.run()) {
            return Some(run);
        }
        self.read_head(&run.id).await?.run().cloned()
    }

    /// Reads a log up to the start of its run, if that stands there.
    async fn read_head(&self, id: &str) -> Option<Reader> {
        // What is recorded without the store is here.
        let here = self.head(id, true).await;
        if here.as_ref().is_some_and(|head| head.run().is_some()) {
            return here;
        }
        self.head(id, false).await.or(here)
    }

    async fn head(&self, id: &str, is_here: bool) -> Option<Reader> {
        let (mut entries, mut head, mut after) = (Vec::new(), None, Position::START);
        // A run that takes long to start has a beat each few seconds before.
        while head
            .as_ref()
            .is_none_or(|head: &Reader| head.run().is_none())
        {
            let found = match is_here {
                true => {
                    let logs = self.logs.clone();
                    logs.read(id.to_owned(), after, PAGE, Duration::ZERO).await
                }
                false => self.logs.page(&LogId::run(id), after).await.0,
            };
            match found {
                Found::Some(page) if !page.is_empty() => entries.extend(page),
                _ => break,
            }
            let reader = Reader::glance(entries.iter().cloned()).ok()?;
            after = reader.at();
            head = Some(reader);
        }
        head
    }

    /// The response that resumes a run: `None` if nothing comes behind the last event, which makes an `EventSource` stop asking.
    pub(super) async fn resume(&self, run: &LoggedRun, cursor: Cursor) -> Option<Response<Body>> {
        let mut total = run.last.chunks_after();
        let is_at_end = matches!(run.last.entry, Entry::End(_))
            && matches!(cursor, Cursor::Behind(_))
            && cursor.first(total) >= total;
        // A claim does not know how many there are, and an end not whether there are more than stand in the log.
        if is_at_end || matches!(run.last.entry, Entry::Claim(_)) {
            let (counted, has_overflowed) = self.count(&run.id).await;
            if is_at_end && !has_overflowed {
                return None;
            }
            total = counted;
        }
        let mut response = self.replay(&run.id, cursor.first(total));
        if cursor.is_from_end() {
            let tail = HeaderValue::from(total.saturating_sub(1));
            response.headers_mut().insert(TAIL_INDEX, tail);
        }
        Some(response)
    }

    /// How many chunks stand in the log of a run, and whether that is not all of them.
    async fn count(&self, id: &str) -> (u64, bool) {
        let (mut after, mut total, mut has_overflowed) = (Position::START, 0, false);
        while let (Found::Some(entries), _) = self.logs.page(&LogId::run(id), after).await {
            let Some((last, _)) = entries.last() else {
                break;
            };
            after = *last;
            for (_, entry) in &entries {
                match Logged::decode(entry) {
                    Ok(logged) if !matches!(logged.entry, Entry::Claim(_)) => {
                        has_overflowed |= matches!(logged.entry, Entry::Overflow);
                        total = logged.chunks_after().max(total);
                    }
                    _ => {}
                }
            }
        }
        (total, has_overflowed)
    }

    /// Ends a run, from whatever instance.
    pub(super) async fn stop(&self, run: &LoggedRun) -> Result<Cancelled, Refusal> {
        if matches!(run.last.entry, Entry::End(_)) {
            return Ok(Cancelled::new(CancelStatus::Idle, None));
        }
        // First, so that whoever starts the run finds it.
        let stop = Entry::Stop(Stop::new(&*self.instance));
        let append = Append::new(
            Position::START.next_claim(),
            Logged::new(0, stop).encode(),
            Keep::existing(STOP_TTL).or_create().over(),
        );
        let (stopped, cause) = self.logs.clone().append(LogId::stop(&run.id), append).await;
        let started = self.run_ref(run).await;
        match (started, stopped) {
            (Some(run), _) => self.cancel(run).await,
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

    async fn cancel(&self, run: RunRef) -> Result<Cancelled, Refusal> {
        let options = self.client.options().deadline(LONGEST_CANCEL);
        let client = self.client.with_options(options);
        let cancelled = client.threads().cancel(run).await;
        cancelled.map_err(|error| self.on_error.refuse(&error))
    }

    fn cancel_in_background(&self, run: RunRef) {
        let this = self.clone();
        let cancel = async move {
            // What failed was shown.
            let _ = this.cancel(run).await;
        };
        self.client.shared().runtime.spawn(Box::pin(cancel));
    }

    /// Goes on with a run that nobody seems to record any more.
    fn take_over(&self, id: &str, reader: &Reader, after: Position) {
        if let Some(claim) = reader.claim() {
            self.take_over_of(id, &claim.owner, &claim.chat, after);
        }
    }

    fn take_over_of(&self, id: &str, owner: &str, chat: &str, after: Position) {
        if self.is_draining.load(Ordering::Relaxed) {
            return;
        }
        let recording = Recording::new(id, &*self.instance).of_chat(owner, chat);
        if let Some(keeper) = Keeper::take_over(self.clone(), recording, after) {
            keeper.spawn();
        }
    }

    /// Has the store told, as soon as it responds again, that the last turn of a chat is this one.
    fn take_turn_late(&self, recording: &Recording) {
        let chat = LogId::chat(&recording.owner, &recording.chat);
        self.logs.enter_late(chat.clone(), &recording.run);
        let (this, recording) = (self.clone(), recording.clone());
        self.client.shared().runtime.spawn(Box::pin(async move {
            let run = recording.run.clone();
            this.take_turn_late_of(&chat, recording).await;
            this.logs.leave_late(&chat, &run);
        }));
    }

    async fn take_turn_late_of(&self, chat: &LogId, recording: Recording) {
        let run = recording.run.clone();
        let mut turn = LateTurn::new(recording);
        // As long as it can be read here, and no later turn was taken here.
        while self.logs.is_late(chat, &run) {
            let Some(handle) = self.logs.here().get(&LogId::run(&run)).cloned() else {
                return;
            };
            match turn.poll(handle.is_over()) {
                LateTurnStep::Last(log) => turn.handle_last(self.logs.stored_last(&log).await.0),
                LateTurnStep::Append(log, append) => {
                    turn.handle_append(self.logs.clone().append(log, append).await.0);
                }
                LateTurnStep::Wait(pause) => self.client.shared().runtime.sleep(pause).await,
                // There is no other.
                _ => return,
            }
        }
    }

    /// Looks whether the run that this chat waits for is still recorded, and goes on with it if not: no browser may be there to see.
    fn watch(&self, waiting: &Recording) {
        let (this, waiting) = (self.clone(), waiting.clone());
        self.client.shared().runtime.spawn(Box::pin(async move {
            this.watch_to_its_end(&waiting).await;
        }));
    }

    async fn watch_to_its_end(&self, waiting: &Recording) {
        let (owner, chat) = (&waiting.owner, &waiting.chat);
        let Some(LoggedRun { id, last, at }) = self.current(owner, chat).await else {
            return;
        };
        if self.logs.is_here(&id) || !self.logs.enter_watch(&id) {
            return;
        }
        if self.is_silent(&id, &last.entry, at).await {
            self.take_over_of(&id, owner, chat, at);
        }
        self.logs.leave_watch(&id);
    }

    /// Whether nothing comes behind this entry of a run for so long that somebody should take over.
    async fn is_silent(&self, id: &str, last: &Entry, at: Position) -> bool {
        let mut silence = match last {
            Entry::End(_) => return false,
            Entry::Release => Reader::SILENCE,
            _ => Duration::ZERO,
        };
        while silence < Reader::SILENCE {
            let reading = self
                .logs
                .clone()
                .read(id.to_owned(), at, PAGE, Reader::WAIT);
            match reading.await {
                Found::Some(entries) if entries.is_empty() => silence += Reader::WAIT,
                _ => return false,
            }
        }
        true
    }

    /// Lets all runs go that are recorded here, and waits until they are.
    pub(super) async fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        let handles: Vec<Handle> = self.logs.here().values().cloned().collect();
        if self.is_shared() {
            for handle in &handles {
                handle.release();
            }
        }
        for handle in handles {
            poll_fn(|cx| handle.poll_over(cx)).await;
        }
    }
}
