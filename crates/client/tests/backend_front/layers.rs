use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use tower::ServiceExt as _;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::{ResponseBodyTimeoutLayer, TimeoutLayer};

use crate::support::{GAP, handlers, post, relay, serve};

#[tokio::test]
async fn compression_delays_nothing_and_timeouts_cut_nothing() {
    let relay = relay();
    let [recorded, passing] = handlers(&relay).map(|chats| {
        Router::new()
            .route_service("/api/chat", chats)
            .route("/page", get(async || "a".repeat(10_000)))
            .layer(CompressionLayer::new())
            .layer(ResponseBodyTimeoutLayer::new(GAP))
            .layer(TimeoutLayer::with_status_code(
                http::StatusCode::GATEWAY_TIMEOUT,
                GAP,
            ))
    });
    // The layer compresses other responses.
    let page = Request::get("/page").header("accept-encoding", "gzip");
    let page = page.body(Body::empty()).unwrap();
    let page = recorded.clone().oneshot(page).await.unwrap();
    assert_eq!(page.headers()["content-encoding"], "gzip");

    let (recorded, passing) = (serve(recorded).await, serve(passing).await);
    let (recorded, passing) = tokio::join!(
        post(recorded, "chat-1", "Hi"),
        post(passing, "chat-2", "Hi")
    );
    recorded.assert_whole();
    passing.assert_whole();
}
