//! The header `content-length` of requests, also of those with an empty body: the relay refuses an upload without it.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use twentyfirst_client::protocol::files::WriteStream;
use twentyfirst_client::protocol::threads::CreateThread;
use twentyfirst_client::transport::Body;
use twentyfirst_client::{AgentClient, SandboxId};

use crate::support::{client, json};

/// Starts a server that accepts any request. Returns its URL, and the heads of the requests in lower case.
fn server() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (heads, seen) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            // The client's own error tells why it closed in the middle of a request.
            let Ok(head) = read_request(&mut stream) else {
                continue;
            };
            heads.send(head).unwrap();
            let body = r#"{"id":"th_1","status":"idle","path":"a"}"#;
            let length = body.len();
            write!(
                stream.get_mut(),
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    (url, seen)
}

/// Reads a request, and returns its head in lower case.
fn read_request(stream: &mut impl BufRead) -> io::Result<String> {
    let head = read_until(stream, "\r\n\r\n")?.to_ascii_lowercase();
    let length = stated_length(&head).map_or(0, |length| length.parse().unwrap());
    stream.read_exact(&mut vec![0; length])?;
    if head.contains("transfer-encoding: chunked") {
        read_until(stream, "0\r\n\r\n")?;
    }
    Ok(head)
}

/// Reads lines up to this end.
fn read_until(stream: &mut impl BufRead, end: &str) -> io::Result<String> {
    let mut lines = String::new();
    while !lines.ends_with(end) {
        if stream.read_line(&mut lines)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(lines)
}

fn stated_length(head: &str) -> Option<&str> {
    head.lines()
        .find_map(|line| line.strip_prefix("content-length: "))
}

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

/// A body that does not know its own length.
struct Streamed(Option<&'static str>);

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|text| Ok(Frame::data(text.into()))))
    }
}

fn streamed(content: &'static str) -> Body {
    Body::wrap(Streamed(Some(content)))
}

#[test]
fn the_server_survives_clients_that_close_in_the_middle_of_a_request() {
    let (url, heads) = server();
    let connect = || TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    for cut in [
        "",
        "POST / HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\ntwo",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n",
    ] {
        connect().write_all(cut.as_bytes()).unwrap();
    }
    let whole = "GET / HTTP/1.1\r\n\r\n";
    let mut client = connect();
    client.write_all(whole.as_bytes()).unwrap();
    let head = heads.recv_timeout(Duration::from_secs(10));
    assert_eq!(head.unwrap(), whole.to_ascii_lowercase());
}

#[tokio::test]
async fn over_the_wire() {
    let (url, heads) = server();
    let client = AgentClient::builder().api_key("k").base_url(&url).build();
    let client = client.unwrap();
    let files = client.sandboxes().files();

    files.write(sandbox(), "a", "").await.unwrap();
    assert_eq!(
        stated_length(&heads.recv().unwrap()),
        Some("0"),
        "an empty blob"
    );
    files.write(sandbox(), "a", "four").await.unwrap();
    assert_eq!(stated_length(&heads.recv().unwrap()), Some("4"), "a blob");
    let create = CreateThread::new(sandbox());
    client.execute(&create).await.unwrap();
    assert_eq!(stated_length(&heads.recv().unwrap()), Some("2"), "JSON");

    for (content, length, expected) in [
        (Body::empty(), None, Some("0")),
        (Body::from("four"), None, Some("4")),
        (Body::empty(), Some(0), Some("0")),
        (streamed(""), Some(0), Some("0")),
        (streamed("four"), Some(4), Some("4")),
        (streamed("four"), None, None),
    ] {
        let about = format!("{content:?} of {length:?}");
        let call = files.write_stream(sandbox(), "a", content);
        let call = match length {
            Some(length) => call.length(length),
            None => call,
        };
        call.await.unwrap();
        let head = heads.recv().unwrap();
        assert_eq!(stated_length(&head), expected, "{about}");
        assert_eq!(
            head.contains("transfer-encoding: chunked"),
            expected.is_none(),
            "{about}"
        );
    }

    let own = Request::post("/v1/own").body(Body::empty()).unwrap();
    client.send(own).await.unwrap();
    assert_eq!(
        stated_length(&heads.recv().unwrap()),
        Some("0"),
        "a request of one's own"
    );
}

#[tokio::test]
async fn through_another_http_client() {
    let (client, log) = client("https://relay.example", |_| json(200, r#"{"path":"a"}"#));
    let files = client.sandboxes().files();
    files.write(sandbox(), "a", "").await.unwrap();
    let upload = WriteStream::new(sandbox(), "a");
    client.upload(&upload, Body::empty()).await.unwrap();
    for sent in log.take() {
        assert_eq!(sent.headers["content-length"], "0", "{}", sent.target);
    }
}
