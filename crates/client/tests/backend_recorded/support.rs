//! A chat server on a local relay, and its browsers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun};
use twentyfirst_client::protocol::run_log::{Claim, Entry, Logged, Turn};
use twentyfirst_client::run_log::{Keep, LogId, MemoryLog, Position, RunLog};
use twentyfirst_client::transport::{Body, HttpTransport, Transport as _, from_fn};
use twentyfirst_client::{AgentClient, AgentClientBuilder, SandboxId, Session, ThreadId};
use twentyfirst_local_relay::{Agent, LocalRelay};

pub(crate) const STORY: &str =
    "Once upon a time an agent worked in a sandbox far away and was not heard of for a while";

/// Longer than any answer takes, even with a take-over.
const LONGEST: Duration = Duration::from_secs(40);

/// A relay whose agent says what it is asked, at this pace.
pub(crate) fn relay(pace: Duration) -> LocalRelay {
    let agent = Agent::echo().pace(pace);
    let relay = LocalRelay::builder().agent("echo", agent);
    relay.hold_back(Duration::ZERO).start().unwrap()
}

pub(crate) fn builder(relay: &LocalRelay) -> AgentClientBuilder {
    AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
}

pub(crate) fn connect(relay: &LocalRelay) -> AgentClient {
    builder(relay).build().unwrap()
}

/// A client, and its requests to the relay.
pub(crate) fn watched(relay: &LocalRelay) -> (AgentClient, Arc<Mutex<Vec<String>>>) {
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&requests);
    let http = HttpTransport::new().unwrap();
    let transport = from_fn(move |request: Request<Body>| {
        let line = format!("{} {}", request.method(), request.uri().path());
        seen.lock().unwrap().push(line);
        http.send(request)
    });
    let client = builder(relay).transport(transport).build().unwrap();
    (client, requests)
}

/// The errors that `on_error` gets, each with its causes.
pub(crate) fn logged(chats: ChatHandler) -> (ChatHandler, Arc<Mutex<Vec<String>>>) {
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let chats = chats.on_error(move |error| {
        let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
            error.source()
        });
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        seen.lock().unwrap().push(causes.join(" <- "));
    });
    (chats, errors)
}

/// A conversation that exists already.
pub(crate) async fn conversation(client: &AgentClient) -> Session {
    let sandbox = client.sandboxes().create("echo").await.unwrap();
    let thread = client.threads().create(&sandbox.id).await.unwrap();
    Session::new("echo")
        .sandbox_id(&sandbox.id)
        .thread_id(&thread.id)
}

/// A handler for the chats of one user, in one conversation.
pub(crate) fn chats(client: &AgentClient, session: &Session) -> ChatHandler {
    chats_with(client, session, |run| run)
}

/// A handler like [`chats`] whose runs pass through `with`.
pub(crate) fn chats_with(
    client: &AgentClient,
    session: &Session,
    with: impl Fn(ChatRun) -> ChatRun + Send + Sync + 'static,
) -> ChatHandler {
    let (session, with) = (session.clone(), Arc::new(with));
    ChatHandler::new(client.clone(), move |request: ChatRequest| {
        let (session, with) = (session.clone(), Arc::clone(&with));
        async move {
            let run = session.run(request.read().await?.messages);
            Ok(with(ChatRun::new(run).owner("user-1")))
        }
    })
}

/// Two instances with one store, for the chats of one user.
pub(crate) struct Two<S> {
    pub(crate) one: ChatHandler,
    pub(crate) other: ChatHandler,
    pub(crate) store: S,
    pub(crate) client: AgentClient,
    pub(crate) session: Session,
    _relay: LocalRelay,
}

/// Two instances with a store in memory.
pub(crate) async fn two(pace: Duration) -> Two<MemoryLog> {
    two_over(MemoryLog::new(tokio::time::sleep), pace).await
}

pub(crate) async fn two_over<S: RunLog + Clone>(store: S, pace: Duration) -> Two<S> {
    let relay = relay(pace);
    let client = connect(&relay);
    let session = conversation(&client).await;
    Two {
        one: chats(&client, &session).run_log(store.clone()),
        other: chats(&client, &session).run_log(store.clone()),
        store,
        client,
        session,
        _relay: relay,
    }
}

/// A runtime of its own, with which an instance can die.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn post(text: &str) -> Request<Body> {
    let body = json!({
        "id": "chat-1",
        "messages": [{ "id": format!("u-{}", text.len()), "role": "user", "parts": [{ "type": "text", "text": text }] }],
        "trigger": "submit-message",
    });
    request("POST", "/api/chat", body.to_string())
}

pub(crate) fn resume() -> Request<Body> {
    request("GET", "/api/chat/chat-1/stream", "")
}

/// The request of an `EventSource` that has seen this event and reconnects.
pub(crate) fn resume_behind(id: &str) -> Request<Body> {
    let mut request = resume();
    let id = HeaderValue::from_bytes(id.as_bytes()).unwrap();
    request.headers_mut().insert("last-event-id", id);
    request
}

pub(crate) fn stop() -> Request<Body> {
    request("DELETE", "/api/chat/chat-1/stream", "")
}

pub(crate) fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

/// An event: its id and its data.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

/// A response that is being read.
pub(crate) struct Reading {
    body: Body,
    text: String,
}

impl Reading {
    pub(crate) fn new(response: Response<Body>) -> Self {
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// Reads until this text has arrived.
    pub(crate) async fn until(&mut self, word: &str) {
        while !text(&events(&self.text)).contains(word) {
            let frame = timeout(LONGEST, self.body.frame()).await;
            let frame = frame.expect("no silence for 40 s");
            let frame = frame.expect("more of the answer").unwrap();
            self.text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
        }
    }

    /// Returns the events that were read.
    pub(crate) fn so_far(&self) -> Vec<Event> {
        events(&self.text)
    }

    /// Reads to the end.
    pub(crate) async fn whole(mut self) -> Vec<Event> {
        let rest = timeout(LONGEST, self.body.collect()).await;
        let rest = rest.expect("an end within 40 s").unwrap().to_bytes();
        self.text += std::str::from_utf8(&rest).unwrap();
        events(&self.text)
    }
}

pub(crate) async fn whole(response: Response<Body>) -> Vec<Event> {
    Reading::new(response).whole().await
}

fn events(text: &str) -> Vec<Event> {
    let events = text
        .split_inclusive("\n\n")
        .filter(|event| event.ends_with("\n\n"));
    let events = events.filter(|event| !event.starts_with(':'));
    events
        .map(|event| {
            let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            let data = line("data: ").unwrap();
            Event {
                id: line("id: ").map(str::to_owned),
                data: serde_json::from_str(data).unwrap_or_else(|_| data.into()),
            }
        })
        .collect()
}

/// Returns all text of an answer.
pub(crate) fn text(events: &[Event]) -> String {
    let deltas = events
        .iter()
        .filter(|event| event.data["type"] == "text-delta");
    deltas
        .filter_map(|event| event.data["delta"].as_str())
        .collect()
}

/// Returns the ids of those events that have one.
pub(crate) fn ids(events: &[Event]) -> Vec<&str> {
    let ids = events.iter().filter_map(|event| event.id.as_deref());
    ids.collect()
}

pub(crate) fn kinds(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.data["type"].as_str().or(event.data.as_str()).unwrap())
        .collect()
}

/// A conversation that the relay does not know.
pub(crate) fn elsewhere() -> Session {
    Session::new("echo")
        .sandbox_id(SandboxId::new("sb_other").unwrap())
        .thread_id(ThreadId::new("th_other").unwrap())
}

/// Writes the log of a run that another server has claimed, as the current turn of the only chat.
pub(crate) async fn of_another_server(log: &MemoryLog, entries: impl IntoIterator<Item = Entry>) {
    let keep = Keep::existing(Duration::from_secs(60)).or_create();
    let claim = Position::START.next_claim();
    let turn = Logged::new(0, Entry::Turn(Turn::new("run-1"))).encode();
    let chat = LogId::chat("user-1", "chat-1");
    log.append(&chat, claim, turn, keep).await.unwrap();
    let (mut at, mut chunks) = (claim, 0);
    let claim = Entry::Claim(Claim::new("other", "user-1", "chat-1"));
    for entry in std::iter::once(claim).chain(entries) {
        let logged = Logged::new(chunks, entry);
        log.append(&LogId::run("run-1"), at, logged.encode(), keep)
            .await
            .unwrap();
        (at, chunks) = (at.next(), logged.chunks_after());
    }
}
