//! A chat server whose agent is silent for long, and a browser that measures the gaps in what it gets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use twentyfirst_client::backend::{ChatHandler, ChatRequest};
use twentyfirst_client::{AgentClient, Session};
use twentyfirst_local_relay::{Agent, LocalRelay, Run};

/// The time of silence between the agent's two words.
pub(crate) const SILENCE: Duration = Duration::from_secs(20);

/// The interval of the comments that a browser gets meanwhile.
const ALIVE: Duration = Duration::from_secs(2);

/// The limit of the layers and of nginx for silence: longer than the interval of the comments, and much shorter than the agent's
/// silence.
pub(crate) const GAP: Duration = Duration::from_secs(5);

/// A relay whose agent says `silence` and, unless it is asked for `short` words, much later `broken`.
pub(crate) fn relay() -> LocalRelay {
    let agent = Agent::new(async |run: Run| {
        run.say("silence").await;
        if !run.text().contains("short") {
            tokio::time::sleep(SILENCE).await;
        }
        run.say("broken").await;
        Ok(())
    });
    let relay = LocalRelay::builder().agent("quiet", agent);
    relay.hold_back(Duration::ZERO).start().unwrap()
}

/// The handlers of a server that records answers, and of one that passes bytes on.
pub(crate) fn handlers(relay: &LocalRelay) -> [ChatHandler; 2] {
    let client = AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
        .build()
        .unwrap();
    let chats = ChatHandler::new(client, async |request: ChatRequest| {
        Ok(Session::new("quiet").run(request.read().await?.messages))
    });
    let chats = chats.keep_alive(ALIVE).respond_at_once();
    [chats.clone(), chats.without_log()]
}

pub(crate) async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

pub(crate) fn body(chat: &str, text: &str) -> String {
    json!({
        "id": chat,
        "messages": [{ "id": "u1", "role": "user", "parts": [{ "type": "text", "text": text }] }],
        "trigger": "submit-message",
    })
    .to_string()
}

/// A response, and the longest time for which nothing of it arrived.
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) longest_gap: Duration,
}

/// Posts over HTTP/1.1 as a browser does, and reads to the end.
pub(crate) async fn post(address: SocketAddr, chat: &str, text: &str) -> Heard {
    let body = body(chat, text);
    let request = format!(
        "POST /api/chat HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip, br\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut heard, mut longest_gap) = (Vec::new(), Duration::ZERO);
    let mut buffer = [0; 4096];
    loop {
        let began = Instant::now();
        let length = socket.read(&mut buffer).await.unwrap();
        longest_gap = longest_gap.max(began.elapsed());
        if length == 0 {
            let text = String::from_utf8(heard).unwrap();
            return Heard { text, longest_gap };
        }
        heard.extend_from_slice(&buffer[..length]);
    }
}

impl Heard {
    /// Asserts that the response arrived whole, uncompressed, and without a gap that is too long.
    pub(crate) fn assert_whole(&self) {
        let Self { text, longest_gap } = self;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(text.contains(": stream-open\n"), "{text}");
        assert!(
            text.contains("silence") && text.contains("broken"),
            "{text}"
        );
        assert!(text.contains("data: [DONE]"), "{text}");
        assert!(*longest_gap < GAP, "{longest_gap:?}: {text}");
    }
}
