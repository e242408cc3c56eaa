use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
#[cfg(doc)]
use twentyfirst_protocol::runs::FollowPolicy;
use twentyfirst_protocol::runs::{CancelStatus, Cancelled, RunRef};
use twentyfirst_run_log::{AnyRunLog, RunLog};
use twentyfirst_transport::Body;

use super::cancelling::{cancel, response};
use super::chat_request::{ChatRequest, ChatTurn};
use super::chat_run::ChatRun;
use super::direct::{Direct, events, nothing};
use super::kept_alive::KeptAlive;
use super::open_turn::OpenTurn;
#[cfg(doc)]
use super::recorded::EndedRun;
use super::recorded::{self, Cursor, Named, Recorded};
use super::route::{chat_id, stream_of};
use crate::backend::Refusal;
use crate::backend::budget::{Budget, Budgets, Payer};
use crate::backend::decide::Decide;
use crate::backend::handler::{Core, Handler, handler};
use crate::backend::on_error::OnError;
use crate::backend::respond::other_method;
use crate::backend::run_to_completion::run_to_completion;
use crate::client::AgentClient;
use crate::error::Error;

/// Lets browsers chat with agents: the routes for `useChat` of the AI SDK with its `DefaultChatTransport`, whose option `api` is
/// their path.
///
/// | request | response |
/// |---|---|
/// | `POST /api/chat` `{id, messages, trigger, messageId}` | the answer, as it arrives |
/// | `GET /api/chat/{id}/stream` | the answer under way, or one that ended in the last 5 min, from its start; 204 if there is none |
/// | `DELETE /api/chat/{id}/stream` | cancels the run: `{"ok": true, "status": "cancelled"}`, or `"idle"` if there is none |
///
/// The part of the path before `/{id}/stream` is free. `POST` works at any path; the other two need the id. A trailing slash is
/// allowed, and an id whose percent-encoding is not UTF-8 is refused with 400. Your function decides which users may use which
/// chat, and which sandbox and thread the chat has. It checks the head of the request, [reads](ChatRequest::read) the body, and
/// creates a [`StartRun`](crate::StartRun) from a [`Session`](crate::Session) that you have stored, or from a new one. The body
/// is not read before.
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
/// # Answers are recorded and replayed
/// A task of the client's [`Runtime`](crate::transport::Runtime) reads each run to its end, across cuts of the relay's connection
/// as the client's [`FollowPolicy`] says, and writes it to a log. All browsers read the log. So a browser that reloads, a second
/// tab, or a browser that was offline for a while gets the answer from its start, with the same ids. With `resume: true`,
/// `useChat` shows one complete message, once. The relay is read once, however many browsers there are.
///
/// The logs are kept in the memory of the process, at most 256 MiB. With [`run_log`](Self::run_log) they are in a store that all
/// instances of your server share. Then any instance can replay and cancel any run, and if one dies, another takes over: it waits
/// for the stored answer and delivers the missing part, at the earliest 15 s after the last sign of life. [`drain`](Self::drain)
/// hands over at once.
///
/// A log holds 32 MiB of an answer. The rest of a longer one comes from the stored answer when the run is over. For that, the
/// whole thread must be within the client's [`response_limit`](crate::AgentClientBuilder::response_limit), also 32 MiB by default;
/// otherwise the answer ends with an `error`. A log is kept for 10 min after the last sign of life, and for 5 min after the end.
///
/// Each event has an `id` with its run and its chunk, such as `1f2e3d4c-57`. A client can continue after it with `Last-Event-ID`,
/// as an `EventSource` does by itself. If the id belongs to an older answer of the chat, or is not an id of this server, the
/// response is the current answer from its start. So a client should discard what it has of the answer at each `start`. After the
/// last event of an answer that is over, the response is 204, which ends an `EventSource`. `useChat` of `ai` 5 also needs
/// `Last-Event-ID` when the connection of a loaded page is cut: it keeps the text that it has, and would otherwise show it twice.
/// `ai` 7 begins the message anew.
///
/// The responses have `x-workflow-run-id`, with which `WorkflowChatTransport` resumes: `GET …/{run id}/stream?startIndex=N`. A
/// `startIndex` counts the chunks of the run in the path, or of the current run if the path has a chat's id. An index beyond the
/// end gets a `finish`, and one that is not an integer gets 400. On a page that was reloaded, that transport uses the chat's id,
/// even after a cut: let its `prepareReconnectToStreamRequest` use the run's id if another run may have begun by then. It does not
/// send the chat's id by itself: let its `prepareSendMessagesRequest` return the body `{id, messages}`.
///
/// Every answer ends with `finish` and `[DONE]`. Before that, a cancelled answer has an `abort`, and a failed one an `error`.
/// During silence a comment every 15 s [keeps the connection alive](Self::keep_alive). Adjacent deltas of a part may be merged. A
/// chunk `data-gap` marks a place where content may be missing, which happens only with [`FollowPolicy::live`] and for events
/// that cannot be decoded. It is transient; the AI SDK passes it to `onData`.
///
/// [`without_log`](Self::without_log) passes the relay's streams on unchanged.
///
/// # Runs are supervised to their end
/// [`on_end`](Self::on_end) is called at least once when a run is over, by whichever instance is left. For this, an instance
/// registers its runs before it starts them. With [`supervise`](Self::supervise), other instances find the runs of one that is
/// gone, and take them over. [`begin`](Self::begin) starts a turn from a queue or a webhook, [`open_runs`](Self::open_runs) lists
/// the runs that are not over, and [`run_limit`](Self::run_limit) limits how many are followed at once. The rules are in
/// [`run_log::register`](crate::protocol::run_log::register).
///
/// A server calls `supervise()` when it starts, and `drain(…)` when it is asked to stop, as `web_chat` does.
///
/// # Failures
/// Before the stream begins, the response is `{"error": message}` with the status of the [`Refusal`];
/// [`on_error`](Self::on_error) gets the reason. A body that arrives too slowly is refused with 408, one that exceeds the
/// [limits](Self::limits) with 413.
///
/// A run that is lost ends with an `error` chunk. Without a log, the browser gets an `error` chunk and `[DONE]` if the relay's
/// connection is cut, or ends before the message does (without `finish`, `error`, `abort` or `[DONE]`). An unfinished event is
/// completed with an empty line first. If the run was cancelled, the relay sends only `[DONE]`, and the browser gets `abort`,
/// `finish` and `[DONE]` after it. So a page can tell the end, a cancellation (`abort`) and a cut (`error`) apart.
///
/// # Storing the user's messages
/// The relay stores a turn together with its answer, and [`Session::hydrate`](crate::Session::hydrate) reads both. For a turn
/// that failed or was cancelled it stores nothing. To keep the user's messages yourself, store them in [`ChatRun::on_started`],
/// which is called once the run has started. The function that decides is too early: a request that is refused after it (the chat
/// is answering, a budget is used up, or the relay refuses) would leave a turn in your database that never ran. Give the message
/// its id ([`UiMessage::with_id`](crate::UiMessage::with_id)), and store it by that id, so that a request that is sent twice is
/// stored once. [`on_end`](Self::on_end) gets the partial answer of a cancelled or failed turn, and the `user_message_id` of its
/// [`run`](EndedRun::run) is that id. `web_chat` keeps both, and shows them between the stored messages.
///
/// The handler refuses with 400: `trigger: "regenerate-message"`, and a history that does not end with a message of the user,
/// because the relay can only append a turn to a conversation. It refuses with 409: a chat that is answering, or whose thread is
/// streaming; see [`Session::run`](crate::Session::run).
///
/// # When the browser leaves
/// The run goes on, costs money, is recorded and stored; `DELETE` ends it. Without a log the relay's connection is closed at
/// once, unless a [budget](Self::budget) needs the cost of the run. Only [`ChatRun::on_started`] then learns the ids that were
/// created for a run that was still starting.
///
/// # Runs without a log
/// For a run that was started elsewhere, the handler waits for its end and sends the stored answer. [Without
/// logs](Self::without_log) it joins the stream if the relay would open the stream of this run. The relay's `GET` and `DELETE`
/// name a sandbox and mean its newest run. So the handler checks the threads first, and once more before it passes anything on:
/// it never sends the run of another thread. Only a run that begins between the check and the cancellation can be cancelled by
/// mistake.
#[derive(Clone)]
pub struct ChatHandler {
    pub(super) core: Core<ChatRequest, ChatRun>,
    /// Kept without a log as well, so that the order of the setters makes no difference.
    pub(super) recorded: Recorded,
    /// Whether answers are recorded. Otherwise the relay's streams are passed on unchanged.
    has_log: bool,
    /// The time of silence after which a comment is sent to the browser.
    keep_alive: Option<Duration>,
    responds_at_once: bool,
    budgets: Budgets,
}

impl ChatHandler {
    /// Creates a handler for the runs returned by `decide`: a [`StartRun`](crate::StartRun) or a [`ChatRun`].
    ///
    /// It is called for every request. If a run is to be resumed or cancelled, only the owner, the sandbox and the thread of its
    /// result are used.
    ///
    /// The closure may run many times at once. Its futures outlive the call, so clone what they need into them. They are dropped
    /// if the browser leaves in the meantime.
    pub fn new<F, Fut, R>(client: AgentClient, decide: F) -> Self
    where
        F: Fn(ChatRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Refusal>> + Send + 'static,
        R: Into<ChatRun>,
    {
        Self {
            recorded: Recorded::new(client.clone()),
            has_log: true,
            core: Core::new(client, Decide::new(decide)),
            keep_alive: Some(Duration::from_secs(15)),
            responds_at_once: false,
            budgets: Budgets::default(),
        }
    }

    /// Keeps the logs of answers in this store, which all instances share, instead of the memory of this process. Then a browser
    /// can resume on any instance, and another instance takes over if one ends.
    ///
    /// If the store fails, runs go on: they are delivered to the browsers of this instance, and [`on_error`](Self::on_error) is
    /// called with an error saying that [they cannot be replayed](Error::is_not_replayable).
    #[must_use]
    pub fn run_log(mut self, log: impl RunLog) -> Self {
        self.recorded.share(AnyRunLog::new(log));
        self.has_log = true;
        self
    }

    /// Sets the most bytes of memory for logs in this process; the default is 256 MiB. Logs of ended answers make room for
    /// others.
    ///
    /// If there is still no room, and no [other store](Self::run_log), an answer goes on for connected browsers that keep up, and
    /// [`on_error`](Self::on_error) is called with an error saying that [it cannot be replayed](Error::is_not_replayable). For
    /// such answers the last 256 KiB are held in addition to the limit. A browser that connects later gets an answer up to that
    /// length from its start, and an `error` for a longer one.
    #[must_use]
    pub fn log_memory(mut self, bytes: usize) -> Self {
        self.recorded.limit_memory(bytes);
        self
    }

    /// Passes the relay's streams on without a log, byte for byte and as fast as each browser reads them.
    ///
    /// A browser that reloads in the middle of an answer then gets only the part after it has joined. The relay holds that back
    /// until 5 s of silence, and gives it another message id, so `useChat` shows two messages or loses the beginning. Let the
    /// page read the stored messages again when the run is over.
    ///
    /// Only the answer to a message with an [observer](ChatRun::observe) is decoded here: it is followed across cuts as the
    /// client's [`FollowPolicy`] says, and encoded again.
    ///
    /// A [`run_log`](Self::run_log) that is set later takes this back. Other settings for logs have no effect, but are kept.
    #[must_use]
    pub fn without_log(mut self) -> Self {
        self.has_log = false;
        self
    }

    /// Returns the turns of a chat that are not over, in order: the one being answered, and those that
    /// [wait](ChatRun::turn_order). The relay stores a turn only together with its answer, so show these after the stored
    /// messages on a page that is loaded in the meantime.
    ///
    /// Turns that are in no log, or cannot be read, are missing. The list is empty if `owner` is not the owner of the
    /// [run](ChatRun::owner).
    pub async fn open_turns(&self, owner: &str, chat: &str) -> Vec<OpenTurn> {
        match self.recorded() {
            Some(recorded) => recorded.open(owner, chat).await,
            None => Vec::new(),
        }
    }

    /// Sets the time of silence after which a comment is sent to the browser; the default is 15 s. `None` or zero turns comments
    /// off. Readers of event streams ignore comments.
    ///
    /// Proxies close silent connections: nginx after 60 s, others sooner.
    #[must_use]
    pub fn keep_alive(mut self, every: impl Into<Option<Duration>>) -> Self {
        // A period of zero would send nothing but comments.
        self.keep_alive = every.into().filter(|every| !every.is_zero());
        self
    }

    /// Begins each response to a message at once with a comment, and only then starts the run. A first message that creates a
    /// sandbox takes some seconds, after which a proxy may give up.
    ///
    /// The status then reflects only the decision of your function. A refusal by the relay, otherwise a status of 400 or more,
    /// becomes an `error` chunk in a response with 200, and so do failures. `useChat` shows both in the same way.
    #[must_use]
    pub fn respond_at_once(mut self) -> Self {
        self.responds_at_once = true;
        self
    }

    /// Checks a budget before each turn, and reports the cost of each run to it. It is a
    /// [`SpendingLimit`](crate::backend::SpendingLimit) in dollars for each user or chat, or [one of your own](Budget). Call this
    /// once for each budget: all of them have to allow a turn.
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
    /// If a budget refuses, nothing is started. The browser gets 402 with the spending, as if the relay had refused because of
    /// one of its own [limits](crate::RunOptions::max_sandbox_budget_usd). The budget is checked again for a turn that has
    /// [waited](ChatRun::turn_order), which then ends with an `error`. If a budget is unavailable, the turn begins, and
    /// [`on_error`](Self::on_error) is called with the cause; see [`require_budget`](Self::require_budget).
    ///
    /// The cost of a run is reported before its end is written to the log. So if the user sends the next message after the end,
    /// the check includes that cost. The end is delayed for this by at most 5 s. [Without a log](Self::without_log) answers are
    /// decoded here, and read to their end when the browser leaves, so that their cost is known.
    #[must_use]
    pub fn budget(mut self, budget: impl Budget) -> Self {
        self.budgets.add(budget);
        self.pass_budgets_on()
    }

    /// Refuses turns with 503 while a [budget](Self::budget) is unavailable.
    #[must_use]
    pub fn require_budget(mut self) -> Self {
        self.budgets.require();
        self.pass_budgets_on()
    }

    fn pass_budgets_on(mut self) -> Self {
        self.recorded.budgets(self.budgets.clone());
        self
    }

    /// Sets a function that is called with the error of each failed call to the relay before it becomes a [`Refusal`]: for your
    /// log, and for the [ids that were created](Error::created) all the same.
    ///
    /// It is also called when a stream that has begun is cut or ends before its message, and when a run that is read here [is
    /// lost](Error::is_run_lost). A browser that leaves is not an error.
    #[must_use]
    pub fn on_error(mut self, on_error: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.core.on_error = OnError::new(on_error);
        self.recorded.on_error(self.core.on_error.clone());
        self
    }

    /// Returns what records answers. `None` if the relay's streams are passed on unchanged.
    pub(super) fn recorded(&self) -> Option<&Recorded> {
        self.has_log.then_some(&self.recorded)
    }

    async fn send(&self, head: Parts, body: Body) -> Result<Response<Body>, Refusal> {
        let body = self.core.unread(body);
        let request = ChatRequest::of_turn(head, body.clone());
        let run = self.core.decide.ask(request).await?;
        // The chat is in the body, which the function need not have read.
        let chat = match body.kept() {
            Some(chat) => chat.clone(),
            None => ChatTurn::read(&body).await?.id,
        };
        // Created before the run starts, because a response that begins at once already names the run in its head.
        let (handler, id) = (self.clone(), recorded::new_run());
        if !self.responds_at_once {
            return Ok(self.keep(handler.start(&id, &chat, run).await?));
        }
        let named = id.clone();
        let begin = Box::pin(async move { handler.start(&id, &chat, run).await });
        let body = KeptAlive::starting(begin, self.keep_alive, self.core.runtime());
        let mut response = events(&HeaderMap::new(), Body::wrap(body));
        if self.has_log {
            recorded::name(&mut response, &named);
        }
        Ok(response)
    }

    async fn start(self, id: &str, chat: &str, run: ChatRun) -> Result<Response<Body>, Refusal> {
        if let Some(recorded) = self.recorded() {
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
        // In a task, because a sandbox whose browser leaves before its ids are stored would cost money and be lost.
        run_to_completion(&runtime, async move { direct.start(run, bill).await }).await
    }

    async fn resume(&self, head: Parts, id: String) -> Result<Response<Body>, Refusal> {
        let run = match self.recorded() {
            None => self.run_of(head, id).await?,
            Some(recorded) => {
                // Read first, because `find` consumes the head.
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
        self.direct().resume(run, self.has_log).await
    }

    async fn cancel(&self, head: Parts, id: String) -> Result<Response<Body>, Refusal> {
        let (logged, run) = match self.recorded() {
            None => (None, self.run_of(head, id).await?),
            Some(recorded) => {
                let found = recorded.find(&self.core.decide, head, id).await?;
                let logged = found.logged;
                (logged.map(|logged| (recorded.clone(), logged)), found.run)
            }
        };
        // In a task in both cases: a page that closes right after the user has pressed stop must not keep the run from ending.
        if let Some((recorded, logged)) = logged {
            let stop = async move { recorded.stop(&logged).await };
            return Ok(response(
                run_to_completion(self.core.runtime(), stop).await?,
            ));
        }
        let cancelled = match run {
            None => Cancelled::new(CancelStatus::Idle, None),
            Some(run) => {
                let Direct { client, on_error } = self.direct();
                let work = async move { cancel(&client, &on_error, run).await };
                run_to_completion(self.core.runtime(), work).await?
            }
        };
        Ok(response(cancelled))
    }

    fn direct(&self) -> Direct {
        Direct {
            client: self.core.client.clone(),
            on_error: self.core.on_error.clone(),
        }
    }

    /// Returns the run under way, if the user's function names a thread for it.
    async fn run_of(&self, head: Parts, id: String) -> Result<Option<RunRef>, Refusal> {
        let request = ChatRequest::of_run(head, Named::new(id, None));
        let run = self.core.decide.ask(request).await?;
        Ok(run.place())
    }

    /// Adds comments to a response that keep its connection alive.
    fn keep(&self, response: Response<Body>) -> Response<Body> {
        // A 204 must stay empty.
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
            // At any path, since the handler may be mounted at one that ends with `/stream`.
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
