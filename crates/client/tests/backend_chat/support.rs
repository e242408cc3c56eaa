//! A scripted relay, and a browser.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, Refusal};
use twentyfirst_client::protocol::retry::RetryPolicy;
use twentyfirst_client::transport::{Body, from_fn};
use twentyfirst_client::{AgentClient, CallOptions, SandboxId, Session, StartRun, ThreadId};
use twentyfirst_local_relay::LocalRelay;

/// `METHOD /path body`, in the order in which they were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A client of a relay that responds by this function of the method and the path.
pub(crate) fn relay(
    respond: impl Fn(&str) -> Response<Body> + Send + Sync + 'static,
) -> (AgentClient, Log) {
    let log = Log::default();
    let (seen, respond) = (log.clone(), Arc::new(respond));
    let transport = from_fn(move |request: Request<Body>| {
        let (seen, respond) = (seen.clone(), Arc::clone(&respond));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_up_to(usize::MAX).await?;
            let target = format!("{} {}", head.method, head.uri.path());
            let response = respond(&target);
            let body = String::from_utf8_lossy(&body);
            let line = format!("{target} {body}").trim_end().to_owned();
            seen.0.lock().unwrap().push(line);
            Ok(response)
        }
    });
    let client = AgentClient::builder()
        .api_key("an_sk_secret")
        .base_url("https://relay.test")
        .transport(transport)
        .options(CallOptions::new().retry(RetryPolicy::never()))
        .build();
    (client.unwrap(), log)
}

/// A client of the local relay.
pub(crate) fn connect(relay: &LocalRelay) -> AgentClient {
    AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
        .build()
        .unwrap()
}

/// The relay's response with a stream.
pub(crate) fn stream(body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .header("content-type", "text/event-stream")
        .header("x-vercel-ai-ui-message-stream", "v1")
        .header("cache-control", "no-cache")
        .header("x-accel-buffering", "no")
        .header("content-encoding", "none")
        .body(body.into())
        .unwrap()
}

pub(crate) fn json_response(status: u16, body: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// The threads of a sandbox, the newest first.
pub(crate) fn threads(list: &[(&str, &str)]) -> Response<Body> {
    let threads = list.iter();
    let threads = threads.map(|(id, status)| json!({ "id": id, "name": null, "status": status }));
    json_response(200, &threads.collect())
}

/// A session that the server has stored.
pub(crate) fn session() -> Session {
    Session::new("my-agent")
        .sandbox_id(SandboxId::new("sb_1").unwrap())
        .thread_id(ThreadId::new("th_1").unwrap())
}

/// A run in that session that does not look at the thread first.
pub(crate) async fn run(request: ChatRequest) -> Result<StartRun, Refusal> {
    let messages = request.read().await?.messages;
    Ok(session().run(messages).look_first(false))
}

/// A handler for everybody, which passes the relay's streams on unchanged.
pub(crate) fn chats(client: &AgentClient) -> ChatHandler {
    ChatHandler::new(client.clone(), async |request: ChatRequest| {
        run(request).await
    })
    .without_log()
}

/// Adds a list of the errors that a handler's `on_error` gets, each with its causes.
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

/// A request of `useChat`.
pub(crate) fn post(text: &str) -> Request<Body> {
    let body = json!({
        "id": "chat-1",
        "messages": [{ "id": "u1", "role": "user", "parts": [{ "type": "text", "text": text }] }],
        "trigger": "submit-message",
    });
    request("POST", "/api/chat", body.to_string())
}

pub(crate) fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

/// Reads a whole response.
pub(crate) async fn read(response: Response<Body>) -> (StatusCode, HeaderMap, String) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (head.status, head.headers, text)
}

/// The chunks of a stream, as JSON, and `[DONE]`.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let events = text.split_terminator("\n\n");
    let is_data = |line: &&str| line.starts_with("data: ");
    let data = events.map(|event| event.lines().find(is_data).unwrap());
    let data = data.map(|line| line.strip_prefix("data: ").unwrap());
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into()))
        .collect()
}

/// All text of a stream.
pub(crate) fn text(events: &[Value]) -> String {
    let deltas = events.iter().filter(|event| event["type"] == "text-delta");
    deltas.filter_map(|event| event["delta"].as_str()).collect()
}

/// A body that is written while it is read.
pub(crate) fn channel() -> (mpsc::UnboundedSender<Result<&'static str, Broken>>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Body::wrap(Pieces(receiver)))
}

/// The error of a body that is cut off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the cable was pulled")
    }
}

impl std::error::Error for Broken {}

struct Pieces(mpsc::UnboundedReceiver<Result<&'static str, Broken>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let piece = self.0.poll_recv(cx);
        piece.map(|piece| Some(piece?.map(|piece| Frame::data(piece.into()))))
    }
}
