//! Content of files: headers of uploads, empty files, and blobs of any length.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use common::{Client, Produced};
use http_body_util::Either;
use twentyfirst_local_relay::LocalRelay;

/// Sends raw bytes, and returns the status, the content type and the error of the response.
fn raw(relay: &LocalRelay, target: &str, rest: &str) -> (String, String, serde_json::Value) {
    let mut stream = TcpStream::connect(relay.address()).unwrap();
    let key = relay.api_key();
    let head = format!(
        "{target} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {key}\r\nconnection: close\r\n{rest}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let kind = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type: "))
        .unwrap_or_default();
    let body = serde_json::from_str(body).unwrap_or_default();
    (head[9..12].to_owned(), kind.to_owned(), body)
}

#[tokio::test]
async fn a_blob_needs_headers_that_announce_a_body() {
    let relay = LocalRelay::start().unwrap();
    let sandbox = Client::new(&relay).create_sandbox("echo").await;
    let target = |format| format!("POST /v1/sandboxes/{sandbox}/files?path=a.bin&format={format}");

    let (status, _, body) = raw(&relay, &target("blob"), "\r\n");
    assert_eq!(status, "400");
    assert_eq!(
        body["error"]["message"],
        "blob writes require a binary request body"
    );
    for rest in [
        "content-length: 0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let (status, _, body) = raw(&relay, &target("blob"), rest);
        assert_eq!((&*status, &body["size"]), ("200", &0.into()), "{rest:?}");
    }
    let (status, _, body) = raw(&relay, &target("stream"), "\r\n");
    assert_eq!(status, "200", "a stream need not");
    assert_eq!(body, serde_json::json!({ "path": "a.bin" }));
}

#[tokio::test]
async fn an_empty_file_can_only_be_read_as_text() {
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    let sandbox = client.create_sandbox("echo").await;
    let target = format!("/v1/sandboxes/{sandbox}/files");
    let files = serde_json::json!({ "path": "empty.txt", "content": "" });
    client.post(&target, files).await.expect(200);

    let text = client.get(&format!("{target}?path=empty.txt")).await;
    assert_eq!(text.expect(200)["content"], "");
    for (format, message) in [
        ("blob", "blob.arrayBuffer is not a function"),
        (
            "stream",
            "The \"readableStream\" argument must be an instance of ReadableStream. Received type string ('')",
        ),
    ] {
        let read = format!("{target}?path=empty.txt&format={format}");
        let (status, kind, body) = raw(&relay, &format!("GET {read}"), "\r\n");
        assert_eq!(status, "500");
        assert_eq!(
            kind, "application/octet-stream",
            "it had begun with the file"
        );
        assert_eq!(body["error"]["code"], "internal_error");
        assert_eq!(body["error"]["message"], message);
    }
}

#[tokio::test]
async fn blob_uploads_are_limited_and_downloads_are_not() {
    const LIMIT: usize = 10 * 1024 * 1024;
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    let sandbox = client.create_sandbox("echo").await;
    let target = |format| format!("/v1/sandboxes/{sandbox}/files?path=big.bin&format={format}");
    let up = |format, length: usize| {
        let piece = Bytes::from(vec![7; length]);
        let request = client.request("POST", &target(format));
        let body = Either::Right(Produced(Box::new(std::iter::once(piece))));
        client.send_with(request.body(body).unwrap())
    };

    up("blob", LIMIT).await.expect(200);
    assert_eq!(up("blob", LIMIT + 1).await.status, 413);
    up("stream", LIMIT + LIMIT / 5).await.expect(200);
    let down = client.get(&target("blob")).await;
    assert_eq!(down.status, 200);
    assert_eq!(
        down.headers["content-length"],
        (LIMIT + LIMIT / 5).to_string()
    );
    assert_eq!(down.body.len(), LIMIT + LIMIT / 5);
    assert!(down.body.iter().all(|byte| *byte == 7));
}
