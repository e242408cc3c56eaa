//! The relay over HTTP/2.

mod common;

use bytes::Bytes;
use http::{Request, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use twentyfirst_local_relay::LocalRelay;

#[tokio::test]
async fn an_http2_connection_has_many_concurrent_requests() {
    let relay = LocalRelay::builder().http2().start().unwrap();
    let socket = TcpStream::connect(relay.address()).await.unwrap();
    let (sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .unwrap();
    tokio::spawn(connection);
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
