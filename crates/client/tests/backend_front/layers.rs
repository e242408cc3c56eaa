use axum::Router;
use axum::routing::get;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::{ResponseBodyTimeoutLayer, TimeoutLayer};

use crate::support::{GAP, handlers, post, relay, serve};

#[tokio::test]
async fn compression_delays_nothing_and_timeouts_cut_nothing() {
    let relay = relay();
    let [recorded, passing] = handlers(&relay).map(|chats| {
        Router::new()
            .route_service("/api/chat", chats)
            // That it compresses is seen here.
            .route("/page", get(async || "a".repeat(10_000)))
            .layer(CompressionLayer::new())
            .layer(ResponseBodyTimeoutLayer::new(GAP))
            .layer(TimeoutLayer::with_status_code(
                http::StatusCode::GATEWAY_TIMEOUT,
                GAP,
            ))
    });
    let (recorded, passing) = (serve(recorded).await, serve(passing).await);
    let (recorded, passing) = tokio::join!(
        post(recorded, "chat-1", "Hi"),
        post(passing, "chat-2", "Hi")
    );
    recorded.assert_whole();
    passing.assert_whole();
}
