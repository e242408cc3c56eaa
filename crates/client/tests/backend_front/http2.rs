use axum::Router;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{body, handlers, relay, serve};

#[tokio::test]
async fn a_hundred_browsers_share_a_connection_of_http_2() {
    let relay = relay();
    for chats in handlers(&relay) {
        let address = serve(Router::new().route_service("/api/chat", chats)).await;
        let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let connection = hyper::client::conn::http2::handshake(TokioExecutor::new(), socket);
        let (sender, connection) = connection.await.unwrap();
        tokio::spawn(connection);
        let browsers = (0..100).map(|number| {
            let mut sender = sender.clone();
            let body = body(&format!("chat-{number}"), &format!("short {number}"));
            async move {
                let request = Request::post(format!("http://{address}/api/chat"))
                    .header("content-type", "application/json");
                let request = request.body(Full::new(bytes::Bytes::from(body))).unwrap();
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(
                    (response.status().as_u16(), response.version()),
                    (200, Version::HTTP_2)
                );
                let body = response.into_body().collect().await.unwrap().to_bytes();
                let text = String::from_utf8(body.to_vec()).unwrap();
                assert!(
                    text.contains("broken") && text.ends_with("data: [DONE]\n\n"),
                    "{text}"
                );
            }
        });
        browsers.collect::<JoinSet<_>>().join_all().await;
    }
}
