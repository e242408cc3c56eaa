//! A browser that presses stop.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use twentyfirst_client::transport::Body;

use crate::support::{
    Reading, STORY, chats, connect, conversation, kinds, post, relay, resume, stop, text, whole,
};

const PACE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_cancelled_answer_is_kept_and_replayed_as_cancelled() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    assert_eq!(status(chats.handle(stop()).await).await, "cancelled");
    let first = first.whole().await;
    assert!(text(&first).contains("upon") && !text(&first).contains("while"));
    let kinds = kinds(&first);
    assert_eq!(kinds[kinds.len() - 3..], ["abort", "finish", "[DONE]"]);
    assert_eq!(whole(chats.handle(resume()).await).await, first);
    assert_eq!(status(chats.handle(stop()).await).await, "idle");
}

async fn status(response: Response<Body>) -> String {
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    body["status"].as_str().unwrap().to_owned()
}
