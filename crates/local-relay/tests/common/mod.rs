//! A small HTTP client for the tests, with a connection per request.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file is a program of its own, and none needs all of it"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use twentyfirst_local_relay::{Agent, Isolation, LocalRelay, LocalRelayBuilder, Run, RunResult};

/// The time within which everything happens unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A client of a relay, with a key.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    key: String,
}

/// A complete response.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Checks the status, and returns the JSON body.
    pub fn expect(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// Returns the status, the code and the message of an error in the usual shape.
    pub fn error(&self) -> (u16, String, String) {
        let error = &self.json()["error"];
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), text("code"), text("message"))
    }
}

impl Client {
    pub fn new(relay: &LocalRelay) -> Self {
        Self {
            address: relay.address(),
            key: relay.api_key().to_owned(),
        }
    }

    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }

    /// Returns a request with only the key.
    pub fn request(&self, method: &str, target: &str) -> http::request::Builder {
        Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(target)
            .header("authorization", format!("Bearer {}", self.key))
    }

    pub async fn get(&self, target: &str) -> Reply {
        let request = self.request("GET", target).body(Bytes::new()).unwrap();
        self.send(request).await
    }

    pub async fn delete(&self, target: &str) -> Reply {
        let request = self.request("DELETE", target).body(Bytes::new()).unwrap();
        self.send(request).await
    }

    pub async fn post(&self, target: &str, body: Value) -> Reply {
        self.send(self.json("POST", target, body)).await
    }

    pub fn json(&self, method: &str, target: &str, body: Value) -> Request<Bytes> {
        self.request(method, target)
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))
            .unwrap()
    }

    pub async fn send(&self, request: Request<Bytes>) -> Reply {
        let body = |body| Either::Left(Full::new(body));
        self.send_with(request.map(body)).await
    }

    pub async fn send_with(&self, request: Request<Either<Full<Bytes>, Produced>>) -> Reply {
        timeout(PATIENCE, async {
            let (response, _connection) = self.open_with(request).await;
            let (head, body) = response.into_parts();
            Reply {
                status: head.status,
                headers: head.headers,
                body: body.collect().await.unwrap().to_bytes(),
            }
        })
        .await
        .expect("the relay responds in time")
    }

    /// Sends a request, and returns when the response headers are there. Dropping the handle closes the connection.
    pub async fn open(&self, request: Request<Bytes>) -> (http::Response<Incoming>, Connection) {
        let request = request.map(|body| Either::Left(Full::new(body)));
        self.open_with(request).await
    }

    pub async fn open_with(
        &self,
        request: Request<Either<Full<Bytes>, Produced>>,
    ) -> (http::Response<Incoming>, Connection) {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
        let connection = Connection(tokio::spawn(async { drop(connection.await) }).abort_handle());
        let mut request = request;
        let host = self.address.to_string().parse().unwrap();
        request.headers_mut().insert("host", host);
        let response = timeout(PATIENCE, sender.send_request(request)).await;
        (response.expect("the relay responds").unwrap(), connection)
    }

    pub async fn create_sandbox(&self, agent: &str) -> String {
        let sandbox = self.post("/v1/sandboxes", json!({ "agent": agent })).await;
        sandbox.expect(201)["id"].as_str().unwrap().to_owned()
    }

    pub async fn create_thread(&self, sandbox: &str) -> String {
        let target = format!("/v1/sandboxes/{sandbox}/threads");
        let thread = self.post(&target, json!({})).await.expect(201);
        thread["id"].as_str().unwrap().to_owned()
    }

    pub async fn thread(&self, sandbox: &str, thread: &str) -> Value {
        let target = format!("/v1/sandboxes/{sandbox}/threads/{thread}");
        self.get(&target).await.expect(200)
    }

    pub async fn exec(&self, sandbox: &str, body: Value) -> Reply {
        self.post(&format!("/v1/sandboxes/{sandbox}/exec"), body)
            .await
    }

    /// Runs a command that has to succeed, and returns its standard output.
    pub async fn shell(&self, sandbox: &str, command: &str) -> String {
        let output = self.exec(sandbox, json!({ "command": command })).await;
        let output = output.expect(200);
        assert_eq!(output["exitCode"], 0, "{output}");
        output["stdout"].as_str().unwrap().to_owned()
    }

    /// Waits until a thread has this status.
    pub async fn wait_for(&self, sandbox: &str, thread: &str, status: &str) -> Value {
        timeout(PATIENCE, async {
            loop {
                let found = self.thread(sandbox, thread).await;
                if found["status"] == status {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("the thread is never {status}"))
    }

    /// Starts a run with this text.
    pub async fn chat(&self, agent: &str, sandbox: &str, thread: &str, text: &str) -> Stream {
        let body = json!({
            "messages": [user(text)],
            "sandboxId": sandbox,
            "threadId": thread,
        });
        self.chat_with(agent, body).await
    }

    pub async fn chat_with(&self, agent: &str, body: Value) -> Stream {
        let request = self.json("POST", &format!("/v1/chat/{agent}"), body);
        let (response, connection) = self.open(request).await;
        Stream::new(response, connection)
    }

    /// Joins the run of a sandbox.
    pub async fn resume(&self, agent: &str, sandbox: &str) -> Stream {
        let target = format!("/v1/chat/{agent}/{sandbox}/stream");
        let request = self.request("GET", &target).body(Bytes::new()).unwrap();
        let (response, connection) = self.open(request).await;
        Stream::new(response, connection)
    }
}

/// A point at which an agent waits for the test. Tests thus do not depend on the speed of the machine.
#[derive(Clone, Default)]
pub struct Gate(Arc<Notify>);

impl Gate {
    /// Lets the agent pass once, now or when it comes.
    pub fn open(&self) {
        self.0.notify_one();
    }

    /// Waits for the test.
    pub async fn pass(&self) {
        self.0.notified().await;
    }
}

/// Creates an agent that waits for the test at a gate.
pub fn gated<R>(gate: &Gate, behaviour: impl Fn(Run, Gate) -> R + Send + Sync + 'static) -> Agent
where
    R: Future<Output = RunResult> + Send + 'static,
{
    let gate = gate.clone();
    Agent::new(move |run| behaviour(run, gate.clone()))
}

/// Lets a relay run commands even without namespaces. A relay of root would otherwise refuse them.
pub fn with_commands(builder: LocalRelayBuilder) -> LocalRelayBuilder {
    let default = LocalRelay::start().unwrap().isolation();
    if default == Isolation::NoCommands {
        eprintln!("this system does not allow namespaces: commands run unconfined");
        builder.isolation(Isolation::Unconfined)
    } else {
        builder
    }
}

/// A relay with the agent `agent`, a sandbox of it and a thread.
pub struct Scene {
    pub client: Client,
    pub sandbox: String,
    pub thread: String,
    pub relay: LocalRelay,
}

impl Scene {
    pub async fn with(agent: impl Into<Agent>) -> Self {
        Self::of(LocalRelay::builder().agent("agent", agent)).await
    }

    /// Creates a scene in which the agent or the test runs commands.
    pub async fn with_commands(agent: impl Into<Agent>) -> Self {
        Self::of(with_commands(LocalRelay::builder().agent("agent", agent))).await
    }

    pub async fn of(relay: LocalRelayBuilder) -> Self {
        Self::on(relay.start().unwrap()).await
    }

    pub async fn on(relay: LocalRelay) -> Self {
        let client = Client::new(&relay);
        let sandbox = client.create_sandbox("agent").await;
        let thread = client.create_thread(&sandbox).await;
        Self {
            client,
            sandbox,
            thread,
            relay,
        }
    }

    pub async fn chat(&self, text: &str) -> Stream {
        let client = &self.client;
        client
            .chat("agent", &self.sandbox, &self.thread, text)
            .await
    }

    pub async fn resume(&self) -> Stream {
        self.client.resume("agent", &self.sandbox).await
    }

    pub async fn cancel(&self) -> Value {
        let target = format!("/v1/chat/agent/{}/stream", self.sandbox);
        self.client.delete(&target).await.expect(200)
    }

    pub async fn thread(&self) -> Value {
        self.client.thread(&self.sandbox, &self.thread).await
    }

    pub async fn wait_for(&self, status: &str) -> Value {
        self.client
            .wait_for(&self.sandbox, &self.thread, status)
            .await
    }
}

/// Returns the text of the last stored message.
pub fn stored_text(thread: &Value) -> String {
    let messages = thread["messages"].as_array().unwrap();
    let parts = messages.last().unwrap()["parts"].as_array().unwrap();
    parts
        .iter()
        .filter_map(|part| part["text"].as_str())
        .collect()
}

/// Returns a message of the user.
pub fn user(text: &str) -> Value {
    json!({ "id": "u1", "role": "user", "parts": [{ "type": "text", "text": text }] })
}

/// A handle that closes its connection when it is dropped.
pub struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The events of a run.
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    buffer: Vec<u8>,
    _connection: Connection,
}

impl Stream {
    fn new(response: http::Response<Incoming>, connection: Connection) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body,
            buffer: Vec::new(),
            _connection: connection,
        }
    }

    /// Returns the data of the next event, or `None` at the end.
    pub async fn next(&mut self) -> Option<String> {
        let next = self.try_next().await;
        next.unwrap_or_else(|error| panic!("the stream breaks: {error}"))
    }

    async fn try_next(&mut self) -> Result<Option<String>, hyper::Error> {
        timeout(PATIENCE, async {
            loop {
                let end = self.buffer.windows(2).position(|pair| pair == b"\n\n");
                if let Some(end) = end {
                    let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                    let event = String::from_utf8(event).unwrap();
                    let data = event.strip_prefix("data: ").unwrap().trim_end();
                    return Ok(Some(data.to_owned()));
                }
                let Some(frame) = self.body.frame().await else {
                    return Ok(None);
                };
                self.buffer.extend(frame?.into_data().unwrap_or_default());
            }
        })
        .await
        .expect("the stream continues")
    }

    /// Returns the next event as JSON.
    pub async fn chunk(&mut self) -> Value {
        let data = self.next().await.expect("there is a chunk");
        serde_json::from_str(&data).unwrap_or_else(|_| panic!("not JSON: {data}"))
    }

    /// Reads all remaining events.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Reads all remaining events of a stream that breaks off.
    pub async fn until_broken(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        loop {
            match self.try_next().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => panic!("the stream ends properly: {events:?}"),
                Err(_) => return events,
            }
        }
    }

    /// Reads all remaining events, and joins their texts.
    pub async fn text(&mut self) -> String {
        let events = self.rest().await;
        text_of(&events)
    }

    /// Reads until an event with a text that contains this.
    pub async fn until(&mut self, text: &str) -> Value {
        loop {
            let chunk = self.chunk().await;
            if chunk.to_string().contains(text) {
                return chunk;
            }
        }
    }
}

/// Joins the texts of the deltas among these events.
pub fn text_of(events: &[String]) -> String {
    events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter(|chunk| chunk["type"] == "text-delta")
        .map(|chunk| chunk["delta"].as_str().unwrap().to_owned())
        .collect()
}

/// Returns the types of the chunks among these events, and `[DONE]`.
pub fn kinds(events: &[String]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            let chunk = serde_json::from_str::<Value>(event);
            chunk.map_or_else(
                |_| event.clone(),
                |chunk| chunk["type"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

/// A body that is produced while it is sent, without a known length.
pub struct Produced(pub Box<dyn Iterator<Item = Bytes> + Send + Sync>);

impl http_body::Body for Produced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.next().map(|piece| Ok(http_body::Frame::data(piece))))
    }
}
