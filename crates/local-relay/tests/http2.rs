//! The relay over HTTP/2.

mod common;

use bytes::Bytes;
use common::with_commands;
use http::{Request, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use twentyfirst_local_relay::LocalRelay;

async fn connect(relay: &LocalRelay) -> http2::SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(relay.address()).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn an_http2_connection_has_many_concurrent_requests() {
    let relay = LocalRelay::builder().http2().start().unwrap();
    let sender = connect(&relay).await;
    let ask = async |number: usize| {
        let body = json!({ "agent": "echo", "name": format!("box {number}") }).to_string();
        let request = Request::post(format!("{}/v1/sandboxes", relay.url()))
            .header(header::AUTHORIZATION, format!("Bearer {}", relay.api_key()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        sender.clone().send_request(request).await.unwrap()
    };
    let (one, other) = tokio::join!(ask(1), ask(2));
    for response in [one, other] {
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.status(), 201);
        // HTTP/2 forbids this header.
        assert!(!response.headers().contains_key(header::CONNECTION));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let sandbox: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(sandbox["id"].is_string(), "{sandbox}");
    }
}

#[tokio::test]
async fn a_blob_that_grows_while_it_is_read_is_as_long_as_announced() {
    // More than the relay and the connection buffer.
    const LENGTH: usize = 8 << 20;
    let relay = with_commands(LocalRelay::builder().http2())
        .start()
        .unwrap();
    let sender = connect(&relay).await;
    let send = async |method: &str, target: &str, kind: &str, body: String| {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/v1/sandboxes{target}", relay.url()))
            .header(header::AUTHORIZATION, format!("Bearer {}", relay.api_key()))
            .header(header::CONTENT_TYPE, kind)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        sender.clone().send_request(request).await.unwrap()
    };
    let body = json!({ "agent": "echo", "name": "box" }).to_string();
    let created = send("POST", "", "application/json", body).await;
    let created = created.into_body().collect().await.unwrap().to_bytes();
    let created: serde_json::Value = serde_json::from_slice(&created).unwrap();
    let sandbox = created["id"].as_str().unwrap();

    let target = format!("/{sandbox}/files?path=big.bin&format=blob");
    let content = "x".repeat(LENGTH);
    let written = send("POST", &target, "application/octet-stream", content).await;
    assert_eq!(written.status(), 200);
    let read = send("GET", &target, "", String::new()).await;
    assert_eq!(read.headers()[header::CONTENT_LENGTH], LENGTH.to_string());

    let command = json!({ "command": "head -c 100000 /dev/zero >> big.bin && wc -c < big.bin" });
    let target = format!("/{sandbox}/exec");
    let grown = send("POST", &target, "application/json", command.to_string()).await;
    let grown = grown.into_body().collect().await.unwrap().to_bytes();
    let grown: serde_json::Value = serde_json::from_slice(&grown).unwrap();
    let length = grown["stdout"].as_str().unwrap().trim();
    assert_eq!(length, (LENGTH + 100_000).to_string(), "{grown}");
    let content = read.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(content.len(), LENGTH);
}
