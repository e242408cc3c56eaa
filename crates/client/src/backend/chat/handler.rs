use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;
use twentyfirst_protocol::flow::Open;
use twentyfirst_protocol::runs::{CancelStatus, Cancelled, Follow, ResumeStream, Resumed, RunRef};
use twentyfirst_protocol::threads::{StreamTarget, ThreadStatus};
use twentyfirst_protocol::{Endpoint as _, ui};
use twentyfirst_run_log::{AnyRunLog, RunLog};
use twentyfirst_transport::Body;

use super::chat_request::ChatRequest;
use super::chat_run::{ChatRun, Observer};
use super::following::Following;
use super::observing::{Feed, Observing, Rest};
use super::passing::{Passing, Watch};
use super::recorded::{Cursor, Recorded};
use crate::backend::Refusal;
use crate::backend::decide::Decide;
use crate::backend::handover::{Giver, to_its_end};
use crate::backend::on_error::OnError;
use crate::backend::request::{BODY_LIMIT, json, other_method, percent_decode, read_body};
use crate::backend::service::service;
use crate::client::{AgentClient, seed};
use crate::error::Error;
use crate::run::Run;

/// How long it is tried to end a run that is still starting. Later, the thread could have begun another.
const LONGEST_CANCEL: Duration = Duration::from_secs(30);

/// Lets browsers chat with agents: the routes that `useChat` of the AI SDK, with its `DefaultChatTransport`, calls its `api`.
///
/// | request | response |
/// |---|---|
/// | `POST /api/chat` `{id, messages, trigger, messageId}` | the answer, while it comes |
/// | `GET /api/chat/{id}/stream` | the answer that is under way, or has ended in the last 5 min, from its start; 204 if there is none |
/// | `DELETE /api/chat/{id}/stream` | ends the run: `{"ok": true, "status": "cancelled"}`, or `"idle"` if there is none |
///
/// The routes may have any other name before `/{id}/stream`: `POST` sends wherever it comes, the other two need the id. A slash may follow,
/// and an id whose percent-encoding is not UTF-8 is refused with 400. Your function decides who may use which chat, and where it takes
/// place: it makes a [`StartRun`](crate::StartRun) of a [`Session`](crate::Session) that you have stored, or of a new one.
///
/// ```
/// use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, Refusal};
/// use twentyfirst_client::{AgentClient, Session};
/// # #[derive(Clone)]
/// # struct Database;
/// # impl Database {
/// #     async fn session(&self, user: &str, chat: &str) -> Option<Session> { None }
/// #     async fn store(&self, user: &str, chat: &str, session: Session) -> Result<(), Refusal> { Ok(()) }
/// # }
///
/// #[derive(Clone)]
/// struct User {
///     id: String,
/// }
///
/// fn chats(client: AgentClient, database: Database) -> ChatHandler {
///     ChatHandler::new(client, move |request: ChatRequest| {
///         let database = database.clone();
///         async move {
///             // Put there by the layer that reads the session.
///             let Some(User { id: user }) = request.head.extensions.get().cloned() else {
///                 return Err(Refusal::unauthorized("please sign in"));
///             };
///             let session = database.session(&user, &request.id).await;
///             let session = session.unwrap_or_else(|| Session::new("my-agent"));
///             let run = ChatRun::new(session.run(request.messages)).owner(&user);
///             Ok(run.on_started(move |started| async move {
///                 database.store(&user, &request.id, started.run.session()).await
///             }))
///         }
///     })
/// }
/// ```
///
/// # Answers are recorded, and replay
/// A task of the client's [`Runtime`](crate::transport::Runtime) reads each run to its end, across cuts of the relay's connection as the
/// client's [`Follow`] says, and writes what comes into a log; all browsers read the log. So a browser that reloads, a second tab, a
/// browser that was offline for a while get the answer from its start, with the same ids: with `resume: true`, `useChat` shows one message,
/// whole, once. The relay is read once, however many browsers there are.
///
/// The logs are kept in the memory of the process, at most 256 MiB of them; [`run_log`](Self::run_log) puts them where all instances of
/// your server find them. Then any instance replays and stops any run, and where one dies another goes on: it waits for the stored answer
/// and delivers what is missing, 15 s after the last sign of life at the earliest. [`drain`](Self::drain) hands over at once.
///
/// A log holds 32 MiB of an answer; the rest of a longer one comes from the stored answer, when the run is over, if its thread is within the
/// client's [`answer_limit`](crate::AgentClientBuilder::answer_limit), 32 MiB too unless you raise it: else the answer ends with an `error`.
/// A log is kept 10 min behind the last sign of life, and 5 min behind the end.
///
/// Each event has an `id`, the number of its chunk: a reader of your own goes on behind it with `Last-Event-ID`. So has `useChat` of `ai` 5
/// to do when the connection of a loaded page broke off: it keeps what it has, where `ai` 7 begins the message anew, and would show the
/// text twice. Behind the last event of an answer that is over there is 204, which an `EventSource` takes for the end. The responses have `x-workflow-run-id`, by which `WorkflowChatTransport` resumes: `GET …/{run id}/stream?startIndex=N`. It
/// sends no id of a chat by itself: let its `prepareSendMessagesRequest` give the body `{id, messages}`. Every answer ends with `finish`
/// and `[DONE]`; one that was cancelled has an `abort` before, one that failed an `error`. A `startIndex` beyond the end gets a `finish`. While nothing comes, a comment each 15 s keeps
/// the connection alive. Adjacent deltas of a part may come as one. Where something may be missing, which only [`Follow::live`] lets happen
/// and events that cannot be read, a chunk `data-gap` says so; it is transient, which the AI SDK hands to `onData`.
///
/// [`without_log`](Self::without_log) passes the relay's streams on as they are.
///
/// # When it fails
/// Before the stream, `{"error": message}` with the status that [`Refusal`] tells; [`on_error`](Self::on_error) sees the reason. A run that
/// is lost ends with an `error` chunk. Without a log, a browser gets an `error` chunk and `[DONE]` where the relay's connection breaks off, or
/// ends before the message does (without `finish`, `error`, `abort` or `[DONE]`); an event that was under way ends with an empty line first.
///
/// Refused with 400: `trigger: "regenerate-message"` and a history that does not end with a message of the user's, since the
/// relay can only append a turn to a conversation. Refused with 409: a chat that is answering, or whose thread is streaming; see
/// [`Session::run`](crate::Session::run).
///
/// # When the browser leaves
/// The run goes on, costs, is recorded and stored; `DELETE` ends it. Without a log the relay's connection is closed at once, and with
/// [`read_on`](Self::read_on) the rest is read for the [observer](ChatRun::observe); what was created for a run that was still starting
/// is known only to [`ChatRun::on_started`].
///
/// # Runs that are not in the log
/// Of a run that was started elsewhere, the end is waited for, with a comment each 15 s, and its stored answer sent. Without a log its
/// stream is joined, if the relay would open it: the relay's `GET` and `DELETE` name a sandbox and mean its newest run, so this handler
/// asks first, and once more before it passes anything on, so that it is never the run of another thread; only a run that begins in the
/// moment between asking and ending can be ended in its place.
#[derive(Clone)]
pub struct ChatHandler {
    client: AgentClient,
    decide: Decide<ChatRequest, ChatRun>,
    on_error: OnError,
    /// None where the relay's streams are passed on as they are.
    recorded: Option<Recorded>,
    follows_cuts: bool,
    read_on: Option<Duration>,
}

impl ChatHandler {
    /// Lets those chat for whom `decide` gives a run: a [`StartRun`](crate::StartRun) or a [`ChatRun`].
    ///
    /// It is asked for every request, also for the run that is to be resumed or ended: then only its sandbox and its thread count.
    ///
    /// The closure may run many times at once. Its futures outlive the call, so what they need of what it holds is cloned
    /// into them. They are dropped when the browser leaves meanwhile.
    pub fn new<F, Fut, R>(client: AgentClient, decide: F) -> Self
    where
        F: Fn(ChatRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Refusal>> + Send + 'static,
        R: Into<ChatRun>,
    {
        Self {
            recorded: Some(Recorded::new(client.clone())),
            client,
            decide: Decide::new(decide),
            on_error: OnError::default(),
            follows_cuts: false,
            read_on: None,
        }
    }

    /// Keeps the logs of answers in this store, which all instances share, instead of the memory of this process: so that a browser can
    /// resume on any of them, and another goes on where one ends.
    ///
    /// Should the store fail, runs go on: they are delivered to the browsers of this instance, and [`on_error`](Self::on_error) is told
    /// that [they cannot be replayed](Error::is_not_replayable).
    #[must_use]
    pub fn run_log(mut self, log: impl RunLog) -> Self {
        let recorded = self.recorded.get_or_insert_with(|| {
            let mut recorded = Recorded::new(self.client.clone());
            recorded.on_error(self.on_error.clone());
            recorded
        });
        recorded.share(AnyRunLog::new(log));
        self
    }

    /// Sets how many bytes of memory logs take in this process: 256 MiB by default. Logs of answers that are over make room for others.
    ///
    /// Where there is no room even so, and no [other store](Self::run_log), an answer goes on to the browsers that are there and keep up, and
    /// [`on_error`](Self::on_error) is told that [it cannot be replayed](Error::is_not_replayable). For these, 256 KiB of each answer are
    /// held beside the limit: who comes later gets an answer that is no longer than that from its start, and else an `error`.
    #[must_use]
    pub fn log_memory(mut self, bytes: usize) -> Self {
        if let Some(recorded) = &mut self.recorded {
            recorded.limit_memory(bytes);
        }
        self
    }

    /// Passes the relay's streams on, byte for byte and as fast as each browser takes them, without a log.
    ///
    /// Then a browser that reloads in the middle of an answer gets what comes after it has joined, held back by the relay until 5 s of quiet,
    /// under another message id: `useChat` shows two messages, or loses the beginning. The page does well to read the stored messages
    /// again when the run is over.
    #[must_use]
    pub fn without_log(mut self) -> Self {
        self.recorded = None;
        self
    }

    /// Lets all runs go that this instance reads, so that others go on with them at once: for a deploy, when no more requests come. Ready
    /// when they have been let go; without a [store that is shared](Self::run_log), when they have ended.
    ///
    /// Bodies of responses that are under way go on from the store. From now on this instance takes over no run.
    pub async fn drain(&self) {
        if let Some(recorded) = &self.recorded {
            recorded.drain().await;
        }
    }

    /// Follows each run across cuts of the relay's connection where answers are passed on [without a log](Self::without_log), as the
    /// client's [`Follow`] says, and encodes its chunks again.
    ///
    /// The browser then sees one stream that ends with `[DONE]` when the run is over. What the AI SDK does not know of a
    /// chunk is left out. Where something may be missing, which only [`Follow::live`] lets happen and events that cannot be read, a
    /// chunk `data-gap` says so; it is transient, which the AI SDK hands to `onData`. The page does well to read the
    /// stored messages again when the answer is over. There is one `start`, the first: another would begin the message
    /// anew. A run that was cancelled ends with `abort` where the relay says nothing, and every run with `finish`. While nothing comes, a comment each 15 s keeps the
    /// browser's connection alive.
    #[must_use]
    pub fn follow_cuts(mut self) -> Self {
        self.follows_cuts = true;
        self
    }

    /// Reads on for the [observer](ChatRun::observe) when the browser has left, or its stream broke off, where answers are passed on
    /// [without a log](Self::without_log): for so long at most. Not by default. With a log, every run is read to its end.
    ///
    /// Then the run is followed as the client's [`Follow`] says, by a task of the client's
    /// [`Runtime`](crate::transport::Runtime). It takes a connection, and memory for the answer.
    #[must_use]
    pub fn read_on(mut self, limit: Duration) -> Self {
        self.read_on = Some(limit);
        self
    }

    /// Sees why a call to the relay failed, before it becomes a [`Refusal`]: for your log, and for [what was created](Error::created) all the
    /// same.
    ///
    /// It also sees why a stream that has begun broke off, or that it ended before its message, and a run that is followed here, or read to its end for its
    /// [observer](ChatRun::observe), and [is lost](Error::is_run_lost). A browser that leaves is no error.
    #[must_use]
    pub fn on_error(mut self, on_error: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_error = OnError::new(on_error);
        if let Some(recorded) = &mut self.recorded {
            recorded.on_error(self.on_error.clone());
        }
        self
    }

    /// Answers one request. It never fails: what goes wrong is an answer, too.
    ///
    /// Dropping the future, or the body of its answer, is how the browser leaves.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.answer(request.map(Body::wrap)).await
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let result = match head.method {
            // Wherever it is mounted: that may end with `/stream`, too.
            Method::POST => self.send(head, body).await,
            Method::GET | Method::DELETE => match chat_id(head.uri.path()) {
                Ok(Some(id)) if head.method == Method::GET => self.resume(head, id).await,
                Ok(Some(id)) => self.cancel(head, id).await,
                Ok(None) => return other_method(&head.method, "OPTIONS, POST"),
                Err(refusal) => Err(refusal),
            },
            _ if stream_of(head.uri.path()).is_some() => {
                return other_method(&head.method, "DELETE, GET, OPTIONS, POST");
            }
            _ => return other_method(&head.method, "OPTIONS, POST"),
        };
        result.unwrap_or_else(Response::from)
    }

    async fn send(&self, head: Parts, body: Body) -> Result<Response<Body>, Refusal> {
        let body = read_body(body, BODY_LIMIT).await?;
        let request = ChatRequest::send(head, &body)?;
        let chat = request.id.clone();
        let run = self.decide.ask(request).await?;
        if let Some(recorded) = &self.recorded {
            return recorded.begin(&chat, run).await;
        }
        if run.on_started.is_none() {
            return self.start(run).await;
        }
        let handler = self.clone();
        let runtime = &self.client.shared().runtime;
        to_its_end(runtime, async move { handler.start(run).await }).await
    }

    async fn start(&self, run: ChatRun) -> Result<Response<Body>, Refusal> {
        let ChatRun {
            start,
            on_started,
            observer,
            ..
        } = run;
        let started = self.client.threads().start(start, None).await;
        let (started, stream) = started.map_err(|error| self.on_error.refuse(&error))?;
        if let Some(on_started) = on_started {
            on_started(started.clone()).await?;
        }
        if self.follows_cuts {
            let (client, body) = (self.client.clone(), stream.into_body());
            let run = Run::reading(client, started, body, seed());
            let run = run.map_err(|error| self.on_error.refuse(&error))?;
            return Ok(self.follow(run, observer));
        }
        let watch = match observer {
            None => None,
            Some(observer) => {
                let feed = Feed::default();
                let (client, body) = (self.client.clone(), Body::wrap(feed.clone()));
                let run = Run::reading(client, started, body, seed());
                let run = run.map_err(|error| self.on_error.refuse(&error))?;
                Some(Watch {
                    observing: Observing::new(run, Some(observer), self.on_error.clone()),
                    feed,
                    reader: self.reader(),
                    reads_on: self.read_on.is_some(),
                    is_written: true,
                })
            }
        };
        Ok(self.pass(stream, watch))
    }

    async fn resume(&self, head: Parts, id: String) -> Result<Response<Body>, Refusal> {
        let run = match &self.recorded {
            None => self.run_of(head, id).await?,
            Some(recorded) => {
                let cursor = Cursor::of(&head)?;
                let found = recorded.find(&self.decide, head, id).await?;
                if let Some(logged) = found.logged {
                    let response = recorded.resume(&logged, cursor).await;
                    return Ok(response.unwrap_or_else(nothing));
                }
                found.run
            }
        };
        let Some(run) = run else {
            return Ok(nothing());
        };
        let target = self.target(&run).await;
        let target = target.map_err(|error| self.on_error.refuse(&error))?;
        if target.status() != Some(&ThreadStatus::Streaming) {
            return Ok(nothing());
        }
        let mut client = self.client.clone();
        if self.recorded.is_none() && !self.follows_cuts {
            let ours = self.join(&run, &target).await;
            if let Some(stream) = ours.map_err(|error| self.on_error.refuse(&error))? {
                return Ok(self.pass(stream, None));
            }
            client = client.with_options(client.options().follow(Follow::wait()));
        }
        let run = client.threads().follow(run);
        Ok(self.follow(run.map_err(|error| self.on_error.refuse(&error))?, None))
    }

    async fn cancel(&self, head: Parts, id: String) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer {
            ok: bool,
            #[serde(flatten)]
            cancelled: Cancelled,
        }

        let (logged, run) = match &self.recorded {
            None => (None, self.run_of(head, id).await?),
            Some(recorded) => {
                let found = recorded.find(&self.decide, head, id).await?;
                let logged = found.logged;
                (logged.map(|logged| (recorded.clone(), logged)), found.run)
            }
        };
        if let Some((recorded, logged)) = logged {
            let runtime = Arc::clone(&self.client.shared().runtime);
            let stop = async move { recorded.stop(&logged).await };
            let cancelled = to_its_end(&runtime, stop).await?;
            let answer = Answer {
                ok: true,
                cancelled,
            };
            return Ok(json(StatusCode::OK, &answer));
        }
        let cancelled = match run {
            None => Cancelled::new(CancelStatus::Idle, None),
            Some(run) => {
                let handler = self.clone();
                to_its_end(&self.client.shared().runtime, async move {
                    let options = handler.client.options().deadline(LONGEST_CANCEL);
                    let client = handler.client.with_options(options);
                    let cancelled = client.threads().cancel(run).await;
                    cancelled.map_err(|error| handler.on_error.refuse(&error))
                })
                .await?
            }
        };
        let answer = Answer {
            ok: true,
            cancelled,
        };
        Ok(json(StatusCode::OK, &answer))
    }

    /// The run that is under way, if there is a thread for one.
    async fn run_of(&self, head: Parts, id: String) -> Result<Option<RunRef>, Refusal> {
        let run = self.decide.ask(ChatRequest::of_run(head, id)).await?;
        Ok(run.place())
    }

    /// Which stream of its sandbox would be opened.
    async fn target(&self, run: &RunRef) -> Result<StreamTarget, Error> {
        let threads = self.client.threads().list(&run.sandbox_id).await?;
        Ok(StreamTarget::of(&threads, &run.thread_id))
    }

    /// Opens the stream of a run, if it is the one that would be opened, and still was when it had been.
    async fn join(
        &self,
        run: &RunRef,
        before: &StreamTarget,
    ) -> Result<Option<Response<Body>>, Error> {
        if !before.is_ours() {
            return Ok(None);
        }
        let resume = ResumeStream::new(run.agent.clone(), &run.sandbox_id);
        let flow = Open::new(&resume, self.client.options(), seed())?;
        let (Resumed::Streaming, stream) = self.client.drive(&ResumeStream::ROUTE, flow).await?
        else {
            return Ok(None);
        };
        let target = self.target(run).await;
        let is_ours = target.is_ok_and(|target| target.is_still_ours(before));
        Ok(is_ours.then_some(stream))
    }

    /// A stream of the relay as it is.
    fn pass(&self, stream: Response<Body>, watch: Option<Watch>) -> Response<Body> {
        let (head, body) = stream.into_parts();
        let body = Passing::new(body, watch, self.on_error.clone());
        answer(&head.headers, Body::wrap(body))
    }

    /// An answer with the chunks of a run.
    fn follow(&self, run: Run, observer: Option<Observer>) -> Response<Body> {
        let reader = (observer.is_some() && self.read_on.is_some()).then(|| self.reader());
        let observing = Observing::new(run, observer, self.on_error.clone());
        let body = Following::new(observing, reader, &self.client.shared().runtime);
        answer(&HeaderMap::new(), Body::wrap(body))
    }

    fn reader(&self) -> Giver<Rest> {
        Rest::reader(&self.client.shared().runtime, self.read_on)
    }
}

/// What stands before `/stream`, which a slash may follow, at the end of a path.
fn stream_of(path: &str) -> Option<&str> {
    path.strip_suffix('/')
        .unwrap_or(path)
        .strip_suffix("/stream")
}

/// The id in `/…/{id}/stream`.
fn chat_id(path: &str) -> Result<Option<String>, Refusal> {
    let Some(chat) = stream_of(path) else {
        return Ok(None);
    };
    match chat.rsplit('/').next() {
        None | Some("") => Err(Refusal::bad_request("the chat has no `id`")),
        Some(id) => percent_decode(id).map(Some),
    }
}

/// A UI message stream, with those of these headers that are a browser's business.
fn answer(headers: &HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    // What says that nothing on the way may collect the events is said in any case.
    *response.headers_mut() = ui::response_headers();
    for (name, value) in response.headers_mut() {
        if let Some(passed) = headers.get(name) {
            value.clone_from(passed);
        }
    }
    response
}

fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

service!(ChatHandler);

impl fmt::Debug for ChatHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatHandler")
            .field("records", &self.recorded.is_some())
            .field("follows_cuts", &self.follows_cuts)
            .field("read_on", &self.read_on)
            .finish_non_exhaustive()
    }
}
