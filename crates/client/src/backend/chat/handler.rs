use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
#[cfg(doc)]
use twentyfirst_protocol::runs::FollowPolicy;
use twentyfirst_protocol::runs::{CancelStatus, Cancelled, RunRef};
use twentyfirst_run_log::{AnyRunLog, RunLog};
use twentyfirst_transport::Body;

use super::cancelling::{cancel, told};
use super::chat_request::{ChatRequest, ChatTurn};
use super::chat_run::ChatRun;
use super::direct::{Direct, events, nothing};
use super::kept_alive::KeptAlive;
use super::open_turn::OpenTurn;
use super::recorded::{self, Cursor, Named, Recorded};
use super::route::{chat_id, stream_of};
use crate::backend::Refusal;
use crate::backend::budget::{Budget, Budgets, Payer};
use crate::backend::decide::Decide;
use crate::backend::handler::{Core, Handler, handler};
use crate::backend::on_error::OnError;
use crate::backend::respond::other_method;
use crate::backend::to_its_end::to_its_end;
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
/// place: it looks at the head of the request, [reads](ChatRequest::read) what is asked for, and makes a [`StartRun`](crate::StartRun) of a
/// [`Session`](crate::Session) that you have stored, or of a new one. Nothing of the body is read before.
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
///             let turn = request.read().await?;
///             let session = database.session(&user, &turn.id).await;
///             let session = session.unwrap_or_else(|| Session::new("my-agent"));
///             let run = ChatRun::new(session.run(turn.messages)).owner(&user);
///             Ok(run.on_started(move |started| async move {
///                 database.store(&user, &turn.id, started.run.session()).await
///             }))
///         }
///     })
/// }
/// ```
///
/// # Answers are recorded, and replay
/// A task of the client's [`Runtime`](crate::transport::Runtime) reads each run to its end, across cuts of the relay's connection as the
/// client's [`FollowPolicy`] says, and writes what comes into a log; all browsers read the log. So a browser that reloads, a second tab, a
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
/// Each event has an `id` that names its run and its chunk, as in `1f2e3d4c-57`: a reader of your own goes on behind it with
/// `Last-Event-ID`, as an `EventSource` does by itself. The id of an older answer of the chat gets the current one from its start, and so
/// does what is no id of this server's: who goes on clears at each `start` what it has of the answer. Behind the last event of an answer
/// that is over there is 204, which an `EventSource` takes for the end. `useChat` of `ai` 5 needs `Last-Event-ID` too when the connection
/// of a loaded page broke off: it keeps what it has, where `ai` 7 begins the message anew, and would show the text twice.
///
/// The responses have `x-workflow-run-id`, by which `WorkflowChatTransport` resumes: `GET …/{run id}/stream?startIndex=N`. A `startIndex`
/// counts the chunks of the run in the path, or of the current one where the path names a chat; one beyond the end gets a `finish`, one
/// that is not an integer 400. On a page that is loaded again that transport names the chat, also behind a cut: let its
/// `prepareReconnectToStreamRequest` name the run where another may have begun by then. It sends no id of a chat by itself: let its
/// `prepareSendMessagesRequest` give the body `{id, messages}`.
///
/// Every answer ends with `finish` and `[DONE]`; one that was cancelled has an `abort` before, one that failed an `error`. While nothing
/// comes, a comment each 15 s [keeps the connection alive](Self::keep_alive). Adjacent deltas of a part may come as one. Where something
/// may be missing, which only [`FollowPolicy::live`] lets happen and events that cannot be read, a chunk `data-gap` says so; it is transient,
/// which the AI SDK hands to `onData`.
///
/// [`without_log`](Self::without_log) passes the relay's streams on as they are.
///
/// # Runs have an end, and somebody is told
/// [`on_end`](Self::on_end) is called when a run is over, at least once, whichever instance is still there. For that, an instance writes down which
/// runs it answers for before it begins them; with [`supervise`](Self::supervise), the others find what one that is gone has left, and go
/// on with it. [`begin`](Self::begin) starts a turn from a queue or a webhook, [`open_runs`](Self::open_runs) tells what is not over, and
/// [`run_limit`](Self::run_limit) bounds what is followed at once. The rules are in
/// [`run_log::register`](crate::protocol::run_log::register).
///
/// A server says `supervise()` when it starts, and `drain(…)` when it is told to stop, as `web_chat` does.
///
/// # When it fails
/// Before the stream, `{"error": message}` with the status that [`Refusal`] tells; [`on_error`](Self::on_error) sees the reason. A body that
/// comes too slowly is refused with 408, one that is over the [limits](Self::limits) with 413.
///
/// A run that is lost ends with an `error` chunk. Without a log, a browser gets an `error` chunk and `[DONE]` where the relay's connection
/// breaks off, or ends before the message does (without `finish`, `error`, `abort` or `[DONE]`); an event that was under way ends with an
/// empty line first. Where somebody has stopped the run, the relay says only `[DONE]`, and the browser gets `abort`, `finish` and `[DONE]` behind
/// it: so a page can tell the end, a stop (`abort`) and a break (`error`).
///
/// # Where to store what the user says
/// The relay stores a turn with its answer, and [`Session::hydrate`](crate::Session::hydrate) reads both; of a turn that failed or was stopped it
/// stores nothing. To keep the user's words yourself, store them in [`ChatRun::on_started`], which is called once the run has begun. In the
/// function that decides it would be too early: what is refused behind it (a chat that is answering, a budget that is used up, a request that
/// the relay does not take) would stand in your database as a turn that never was. Give the message its id
/// ([`UiMessage::with_id`](crate::UiMessage::with_id)), and store it by that id, so that a request that is sent twice stores it once.
///
/// Refused with 400: `trigger: "regenerate-message"` and a history that does not end with a message of the user's, since the
/// relay can only append a turn to a conversation. Refused with 409: a chat that is answering, or whose thread is streaming; see
/// [`Session::run`](crate::Session::run).
///
/// # When the browser leaves
/// The run goes on, costs, is recorded and stored; `DELETE` ends it. Without a log the relay's connection is closed at once, and what was
/// created for a run that was still starting is known only to [`ChatRun::on_started`].
///
/// # Runs that are not in the log
/// Of a run that was started elsewhere, the end is waited for, and its stored answer sent. Without a log its
/// stream is joined, if the relay would open it: the relay's `GET` and `DELETE` name a sandbox and mean its newest run, so this handler
/// asks first, and once more before it passes anything on, so that it is never the run of another thread; only a run that begins in the
/// moment between asking and ending can be ended in its place.
#[derive(Clone)]
pub struct ChatHandler {
    pub(super) core: Core<ChatRequest, ChatRun>,
    /// None where the relay's streams are passed on as they are.
    pub(super) recorded: Option<Recorded>,
    /// After how much silence a browser is sent a comment.
    keep_alive: Option<Duration>,
    responds_at_once: bool,
    budgets: Budgets,
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
            core: Core::new(client, Decide::new(decide)),
            keep_alive: Some(Duration::from_secs(15)),
            responds_at_once: false,
            budgets: Budgets::default(),
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
            let mut recorded = Recorded::new(self.core.client.clone());
            recorded.on_error(self.core.on_error.clone());
            recorded.budgets(self.budgets.clone());
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
    ///
    /// Only the answer to a message that has an [observer](ChatRun::observe) is read here: followed across cuts as the client's [`FollowPolicy`]
    /// says, and encoded again.
    #[must_use]
    pub fn without_log(mut self) -> Self {
        self.recorded = None;
        self
    }

    /// Returns the turns of a chat that are not over, in their order: the one that is answered, and those that
    /// [wait](ChatRun::turn_order). The relay stores what was asked with the answer only, so a page that is loaded meanwhile shows them behind
    /// the stored messages.
    ///
    /// What does not stand in a log, or cannot be read, is not there. So it is where the owner is not the one of the
    /// [run](ChatRun::owner).
    pub async fn open_turns(&self, owner: &str, chat: &str) -> Vec<OpenTurn> {
        match &self.recorded {
            Some(recorded) => recorded.open(owner, chat).await,
            None => Vec::new(),
        }
    }

    /// Sets after how much silence a browser is sent a comment, which readers of event streams pass over; `None`, as zero,
    /// for never. Default: 15 s.
    ///
    /// What lies between gives up connections on which nothing comes: nginx after 60 s, others sooner.
    #[must_use]
    pub fn keep_alive(mut self, every: impl Into<Option<Duration>>) -> Self {
        // Without a pause between them, there would be nothing but comments.
        self.keep_alive = every.into().filter(|every| !every.is_zero());
        self
    }

    /// Begins each response to a message at once, with a comment, and then starts the run: a first message that creates a sandbox takes
    /// some seconds, in which something between may give up.
    ///
    /// The status then tells only what your function has decided. What the relay refuses, which is a status of 400 or more
    /// otherwise, comes as an `error` chunk in a response of 200, and so does what fails: `useChat` shows both alike.
    #[must_use]
    pub fn respond_at_once(mut self) -> Self {
        self.responds_at_once = true;
        self
    }

    /// Asks a budget before each turn, and tells it what each run has cost: a [`SpendingLimit`](crate::backend::SpendingLimit) of so many
    /// dollars for each user or chat, or [one of yours](Budget). It may be called more than once: each has to agree.
    ///
    /// ```
    /// use twentyfirst_client::AgentClient;
    /// use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, Period, Refusal, SpendingLimit};
    /// # async fn run_of(request: ChatRequest) -> Result<ChatRun, Refusal> { Err(Refusal::unauthorized("please sign in")) }
    ///
    /// fn chats(client: AgentClient) -> ChatHandler {
    ///     ChatHandler::new(client, run_of)
    ///         .budget(SpendingLimit::in_memory(Period::Day).per_owner(2.0).per_chat(0.5))
    ///         .budget(SpendingLimit::in_memory(Period::Month).per_owner(20.0))
    /// }
    /// ```
    ///
    /// Where it refuses, nothing is started: the browser gets 402 and what was spent, as where the relay refuses because of a
    /// [limit](crate::RunOptions::max_sandbox_budget_usd) of its own. It is asked again for a turn that has
    /// [waited](ChatRun::turn_order), which then ends with an `error`. One that cannot be asked lets the turn begin, and
    /// [`on_error`](Self::on_error) sees why; see [`require_budget`](Self::require_budget).
    ///
    /// A run is told of before its end stands in the log: whoever asks the next question behind the end is asked for with
    /// its cost. An end is held back for that, for 5 s at most. [Without a log](Self::without_log) answers are read here, and read on when
    /// the browser leaves, so that their cost is known.
    #[must_use]
    pub fn budget(mut self, budget: impl Budget) -> Self {
        self.budgets.add(budget);
        self.pass_budgets_on()
    }

    /// Refuses turns with 503 while a [budget](Self::budget) cannot be asked.
    #[must_use]
    pub fn require_budget(mut self) -> Self {
        self.budgets.require();
        self.pass_budgets_on()
    }

    fn pass_budgets_on(mut self) -> Self {
        if let Some(recorded) = &mut self.recorded {
            recorded.budgets(self.budgets.clone());
        }
        self
    }

    /// Sees why a call to the relay failed, before it becomes a [`Refusal`]: for your log, and for [what was created](Error::created) all the
    /// same.
    ///
    /// It also sees why a stream that has begun broke off, or that it ended before its message, and a run that is read here and
    /// [is lost](Error::is_run_lost). A browser that leaves is no error.
    #[must_use]
    pub fn on_error(mut self, on_error: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.core.on_error = OnError::new(on_error);
        if let Some(recorded) = &mut self.recorded {
            recorded.on_error(self.core.on_error.clone());
        }
        self
    }

    async fn send(&self, head: Parts, body: Body) -> Result<Response<Body>, Refusal> {
        let body = self.core.unread(body);
        let request = ChatRequest::of_turn(head, body.clone());
        let run = self.core.decide.ask(request).await?;
        let chat = match body.kept() {
            Some(chat) => chat.clone(),
            None => ChatTurn::read(&body).await?.id,
        };
        let (handler, id) = (self.clone(), recorded::new_run());
        if !self.responds_at_once {
            return Ok(self.keep(handler.start(&id, &chat, run).await?));
        }
        let named = id.clone();
        let begin = Box::pin(async move { handler.start(&id, &chat, run).await });
        let body = KeptAlive::starting(begin, self.keep_alive, self.core.runtime());
        let mut response = events(&HeaderMap::new(), Body::wrap(body));
        if self.recorded.is_some() {
            recorded::name(&mut response, &named);
        }
        Ok(response)
    }

    async fn start(self, id: &str, chat: &str, run: ChatRun) -> Result<Response<Body>, Refusal> {
        if let Some(recorded) = &self.recorded {
            return recorded.begin(id, chat, run).await;
        }
        let (runtime, on_error) = (Arc::clone(self.core.runtime()), &self.core.on_error);
        let payer = Payer::new(&run.owner, chat);
        self.budgets.check(&runtime, on_error, &payer).await?;
        let bill = self.budgets.bill(&runtime, on_error, id, payer);
        let direct = self.direct();
        if run.on_started.is_none() {
            return direct.start(run, bill).await;
        }
        to_its_end(&runtime, async move { direct.start(run, bill).await }).await
    }

    async fn resume(&self, head: Parts, id: String) -> Result<Response<Body>, Refusal> {
        let run = match &self.recorded {
            None => self.run_of(head, id).await?,
            Some(recorded) => {
                let cursor = Cursor::of(&head)?;
                let found = recorded.find(&self.core.decide, head, id).await?;
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
        self.direct().resume(run, self.recorded.is_some()).await
    }

    async fn cancel(&self, head: Parts, id: String) -> Result<Response<Body>, Refusal> {
        let (logged, run) = match &self.recorded {
            None => (None, self.run_of(head, id).await?),
            Some(recorded) => {
                let found = recorded.find(&self.core.decide, head, id).await?;
                let logged = found.logged;
                (logged.map(|logged| (recorded.clone(), logged)), found.run)
            }
        };
        if let Some((recorded, logged)) = logged {
            let stop = async move { recorded.stop(&logged).await };
            return Ok(told(to_its_end(self.core.runtime(), stop).await?));
        }
        let cancelled = match run {
            None => Cancelled::new(CancelStatus::Idle, None),
            Some(run) => {
                let Direct { client, on_error } = self.direct();
                let work = async move { cancel(&client, &on_error, run).await };
                to_its_end(self.core.runtime(), work).await?
            }
        };
        Ok(told(cancelled))
    }

    fn direct(&self) -> Direct {
        Direct {
            client: self.core.client.clone(),
            on_error: self.core.on_error.clone(),
        }
    }

    /// The run that is under way, if there is a thread for one.
    async fn run_of(&self, head: Parts, id: String) -> Result<Option<RunRef>, Refusal> {
        let request = ChatRequest::of_run(head, Named::new(id, None));
        let run = self.core.decide.ask(request).await?;
        Ok(run.place())
    }

    /// A response whose connection is kept alive.
    fn keep(&self, response: Response<Body>) -> Response<Body> {
        if response.status() != StatusCode::OK {
            return response;
        }
        response.map(|body| Body::wrap(KeptAlive::new(body, self.keep_alive, self.core.runtime())))
    }
}

impl Handler for ChatHandler {
    async fn respond(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        match head.method {
            // Wherever it is mounted: that may end with `/stream`, too.
            Method::POST => self.send(head, body).await,
            Method::GET | Method::DELETE => match chat_id(head.uri.path())? {
                Some(id) if head.method == Method::GET => {
                    Ok(self.keep(self.resume(head, id).await?))
                }
                Some(id) => self.cancel(head, id).await,
                None => Ok(other_method(&head.method, "OPTIONS, POST")),
            },
            _ if stream_of(head.uri.path()).is_some() => {
                Ok(other_method(&head.method, "DELETE, GET, OPTIONS, POST"))
            }
            _ => Ok(other_method(&head.method, "OPTIONS, POST")),
        }
    }
}

handler!(ChatHandler);
