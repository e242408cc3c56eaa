use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
#[cfg(doc)]
use twentyfirst_protocol::runs::Follow;
use twentyfirst_protocol::runs::{CancelStatus, Cancelled, RunRef};
use twentyfirst_run_log::{AnyRunLog, RunLog};
use twentyfirst_transport::Body;

use super::cancelling::{cancel, told};
use super::chat_request::ChatRequest;
use super::chat_run::ChatRun;
use super::direct::{Direct, nothing};
use super::recorded::{Cursor, Recorded};
use super::route::{chat_id, stream_of};
use crate::backend::Refusal;
use crate::backend::decide::Decide;
use crate::backend::handover::to_its_end;
use crate::backend::on_error::OnError;
use crate::backend::request::{BODY_LIMIT, other_method, read_body};
use crate::backend::service::service;
use crate::client::AgentClient;
use crate::error::Error;

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
    decide: Decide<ChatRequest, ChatRun>,
    direct: Direct,
    /// None where the relay's streams are passed on as they are.
    recorded: Option<Recorded>,
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
            decide: Decide::new(decide),
            recorded: Some(Recorded::new(client.clone())),
            direct: Direct::new(client),
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
            let mut recorded = Recorded::new(self.direct.client.clone());
            recorded.on_error(self.direct.on_error.clone());
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
        self.direct.follows_cuts = true;
        self
    }

    /// Reads on for the [observer](ChatRun::observe) when the browser has left, or its stream broke off, where answers are passed on
    /// [without a log](Self::without_log): for so long at most. Not by default. With a log, every run is read to its end.
    ///
    /// Then the run is followed as the client's [`Follow`] says, by a task of the client's
    /// [`Runtime`](crate::transport::Runtime). It takes a connection, and memory for the answer.
    #[must_use]
    pub fn read_on(mut self, limit: Duration) -> Self {
        self.direct.read_on = Some(limit);
        self
    }

    /// Sees why a call to the relay failed, before it becomes a [`Refusal`]: for your log, and for [what was created](Error::created) all the
    /// same.
    ///
    /// It also sees why a stream that has begun broke off, or that it ended before its message, and a run that is followed here, or read to its end for its
    /// [observer](ChatRun::observe), and [is lost](Error::is_run_lost). A browser that leaves is no error.
    #[must_use]
    pub fn on_error(mut self, on_error: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.direct.on_error = OnError::new(on_error);
        if let Some(recorded) = &mut self.recorded {
            recorded.on_error(self.direct.on_error.clone());
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
            return self.direct.start(run).await;
        }
        let direct = self.direct.clone();
        let runtime = &self.direct.client.shared().runtime;
        to_its_end(runtime, async move { direct.start(run).await }).await
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
        self.direct.resume(run, self.recorded.is_some()).await
    }

    async fn cancel(&self, head: Parts, id: String) -> Result<Response<Body>, Refusal> {
        let (logged, run) = match &self.recorded {
            None => (None, self.run_of(head, id).await?),
            Some(recorded) => {
                let found = recorded.find(&self.decide, head, id).await?;
                let logged = found.logged;
                (logged.map(|logged| (recorded.clone(), logged)), found.run)
            }
        };
        if let Some((recorded, logged)) = logged {
            let runtime = Arc::clone(&self.direct.client.shared().runtime);
            let stop = async move { recorded.stop(&logged).await };
            return Ok(told(to_its_end(&runtime, stop).await?));
        }
        let cancelled = match run {
            None => Cancelled::new(CancelStatus::Idle, None),
            Some(run) => {
                let Direct {
                    client, on_error, ..
                } = self.direct.clone();
                let runtime = Arc::clone(&client.shared().runtime);
                to_its_end(
                    &runtime,
                    async move { cancel(&client, &on_error, run).await },
                )
                .await?
            }
        };
        Ok(told(cancelled))
    }

    /// The run that is under way, if there is a thread for one.
    async fn run_of(&self, head: Parts, id: String) -> Result<Option<RunRef>, Refusal> {
        let run = self.decide.ask(ChatRequest::of_run(head, id)).await?;
        Ok(run.place())
    }
}

service!(ChatHandler);

impl fmt::Debug for ChatHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatHandler")
            .field("records", &self.recorded.is_some())
            .field("follows_cuts", &self.direct.follows_cuts)
            .field("read_on", &self.direct.read_on)
            .finish_non_exhaustive()
    }
}
