//! Over sockets: a browser that leaves, and what the relay notices of it.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use twentyfirst_client::AgentClient;
use twentyfirst_client::backend::ChatHandler;

use crate::observing::observed;
use crate::support::chats;

/// The time for which the relay's connection may stay open after the browser has left: less than the 15 s after which a comment
/// to the browser would fail.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A relay whose connections are held by the test.
async fn relay() -> (TcpListener, AgentClient) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = AgentClient::builder()
        .api_key("an_sk_secret")
        .base_url(format!("http://{}", listener.local_addr().unwrap()))
        .build();
    (listener, client.unwrap())
}

/// A web server with axum.
async fn serve(chats: ChatHandler) -> std::net::SocketAddr {
    let app = axum::Router::new()
        .route_service("/api/chat", chats.clone())
        .route_service("/api/chat/{id}/stream", chats);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A browser that sends a message.
async fn browser(server: std::net::SocketAddr) -> TcpStream {
    let body = r#"{"id":"chat-1","messages":[{"role":"user","parts":[{"type":"text","text":"Hi"}]}],"trigger":"submit-message"}"#;
    let mut socket = TcpStream::connect(server).await.unwrap();
    let request = format!(
        "POST /api/chat HTTP/1.1\r\nhost: server\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// Reads until this has arrived.
async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        read.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

/// Takes the request for a run.
async fn accept(relay: &TcpListener) -> TcpStream {
    let (mut socket, _) = relay.accept().await.unwrap();
    read_until(&mut socket, "\r\n\r\n").await;
    socket
}

/// Begins to respond with a stream.
async fn begin(socket: &mut TcpStream) {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    send(socket, "data: {\"type\":\"start\"}\n\n").await;
}

async fn send(socket: &mut TcpStream, event: &str) {
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    socket.write_all(chunk.as_bytes()).await.unwrap();
}

/// Returns whether the other side closes within the time.
async fn is_closed(socket: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(AT_ONCE, socket.read_to_end(&mut rest)).await;
    closed.is_ok()
}

#[tokio::test]
async fn the_relays_connection_is_closed_at_once() {
    let (relay, client) = relay().await;
    for chats in [chats(&client), observed(&client).0] {
        let server = serve(chats).await;
        let mut browser = browser(server).await;
        let mut relays = accept(&relay).await;
        begin(&mut relays).await;
        read_until(&mut browser, "\"start\"}\n\n").await;
        drop(browser);
        let begin = Instant::now();
        assert!(is_closed(&mut relays).await, "after {:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn the_relays_connection_is_closed_even_while_the_run_is_starting() {
    let (relay, client) = relay().await;
    let server = serve(chats(&client)).await;
    let browser = browser(server).await;
    let mut relays = accept(&relay).await;
    drop(browser);
    assert!(is_closed(&mut relays).await);
}

#[tokio::test]
async fn the_browser_reads_what_the_relay_writes_without_delay() {
    let (relay, client) = relay().await;
    let server = serve(chats(&client)).await;
    let mut browser = browser(server).await;
    let mut relays = accept(&relay).await;
    begin(&mut relays).await;
    let head = read_until(&mut browser, "\"start\"}\n\n").await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("content-length"),
        "{head}"
    );
    let mut delays = Vec::new();
    for number in 0..20 {
        let event = format!("data: {{\"type\":\"data-n\",\"data\":{number}}}\n\n");
        let begin = Instant::now();
        send(&mut relays, &event).await;
        read_until(&mut browser, &event).await;
        delays.push(begin.elapsed());
    }
    // A buffer or a timer would delay every event, and a busy machine delays only some.
    delays.sort_unstable();
    assert!(delays[10] < Duration::from_millis(100), "{delays:?}");
}
