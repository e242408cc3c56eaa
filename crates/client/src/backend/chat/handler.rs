use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;
use twentyfirst_protocol::flow::Open;
use twentyfirst_protocol::runs::{CancelStatus, Cancelled, Follow, ResumeStream, Resumed, RunRef};
use twentyfirst_protocol::threads::{StreamTarget, ThreadStatus};
use twentyfirst_protocol::{Endpoint as _, ui};
use twentyfirst_transport::Body;

use super::chat_request::ChatRequest;
use super::chat_run::{ChatRun, Observer};
use super::following::Following;
use super::observing::{Feed, Observing, Rest};
use super::passing::{Passing, Watch};
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
/// | request | answer |
/// |---|---|
/// | `POST /api/chat` `{id, messages, trigger, messageId}` | the relay's stream |
/// | `GET /api/chat/{id}/stream` | the stream of the run that is under way, 204 if there is none |
/// | `DELETE /api/chat/{id}/stream` | ends that run: `{"ok": true, "status": "cancelled"}`, or `"idle"` if there is none |
///
/// The routes may have any other name before `/{id}/stream`: `POST` sends wherever it comes, the other two need the id. A slash may follow, and an id whose
/// percent-encoding is not UTF-8 is refused with 400. Your function decides who may use which chat, and where it takes
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
///             let run = ChatRun::new(session.run(request.messages));
///             Ok(run.on_started(move |started| async move {
///                 database.store(&user, &request.id, started.run.session()).await
///             }))
///         }
///     })
/// }
/// ```
///
/// # What is passed on
/// The answer comes as the relay sends it: byte for byte, unbuffered, on one connection, and as fast as the browser takes it.
/// Of the headers only `content-type`, `cache-control`, `x-vercel-ai-ui-message-stream` and `x-accel-buffering` are passed on. A
/// browser that loses the connection resumes; the relay does not replay, so it reads the stored messages again when the run is
/// over. With [`follow_cuts`](Self::follow_cuts) runs are followed here instead.
///
/// # When it fails
/// Before the stream, `{"error": message}` with the status that [`Refusal`] tells; [`on_error`](Self::on_error) sees the reason. Where the relay's
/// connection breaks off, or ends before the message does (without `finish`, `error`, `abort` or `[DONE]`), the browser gets an `error` chunk and
/// `[DONE]`. An event that was under way ends with an empty line first.
///
/// Refused with 400: `trigger: "regenerate-message"` and a history that does not end with a message of the user's, since the
/// relay can only append a turn to a conversation. A thread that is streaming is refused with 409; see
/// [`Session::run`](crate::Session::run).
///
/// # When the browser leaves
/// The relay's connection is closed at once. The run goes on, costs, and is stored; `DELETE` ends it. What was created for a
/// run that was still starting then is known only to [`ChatRun::on_started`]. With [`read_on`](Self::read_on) the rest is read for the
/// [observer](ChatRun::observe).
///
/// # Resuming
/// The relay's `GET` and `DELETE` name a sandbox and mean its newest run. This handler asks first, and once more before it passes
/// anything on, so that it is never the run of another thread; only a run that begins in the moment between asking and ending can be
/// ended in its place. Where the run cannot be joined because of a newer one, or is still starting, its end is waited
/// for, with a comment each 15 s, and its stored answer sent. Ending goes on when the browser leaves.
#[derive(Clone)]
pub struct ChatHandler {
    client: AgentClient,
    decide: Decide<ChatRequest, ChatRun>,
    on_error: OnError,
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
            client,
            decide: Decide::new(decide),
            on_error: OnError::default(),
            follows_cuts: false,
            read_on: None,
        }
    }

    /// Follows each run across cuts of the relay's connection, as the client's [`Follow`] says, and encodes its chunks again.
    ///
    /// The browser then sees one stream that ends with `[DONE]` when the run is over. What the AI SDK does not know of a
    /// chunk is left out. Where something may be missing, which only [`Follow::live`] lets happen and events that cannot be read, a
    /// chunk `data-gap` says so; it is transient, which the AI SDK hands to `onData`. The page does well to read the
    /// stored messages again when the answer is over. There is one `start`, the first: another would begin the message
    /// anew. A run that was cancelled ends with `abort` where the relay says nothing. While nothing comes, a comment each 15 s keeps the
    /// browser's connection alive.
    #[must_use]
    pub fn follow_cuts(mut self) -> Self {
        self.follows_cuts = true;
        self
    }

    /// Reads on for the [observer](ChatRun::observe) when the browser has left, or its stream broke off: for so long at most. Not by
    /// default.
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
        let run = self.decide.ask(ChatRequest::send(head, &body)?).await?;
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
        let Some(run) = self.run_of(head, id).await? else {
            return Ok(nothing());
        };
        let target = self.target(&run).await;
        let target = target.map_err(|error| self.on_error.refuse(&error))?;
        if target.status() != Some(&ThreadStatus::Streaming) {
            return Ok(nothing());
        }
        let mut client = self.client.clone();
        if !self.follows_cuts {
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

        let cancelled = match self.run_of(head, id).await? {
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
        let run = self.decide.ask(ChatRequest::of_run(head, id)).await?.start;
        let place = run.sandbox_id.zip(run.thread_id);
        Ok(place.map(|(sandbox, thread)| RunRef::new(run.agent, sandbox, thread)))
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
            .field("follows_cuts", &self.follows_cuts)
            .field("read_on", &self.read_on)
            .finish_non_exhaustive()
    }
}
