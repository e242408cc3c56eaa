//! A browser that presses stop.

use std::time::Duration;

use http_body_util::BodyExt;

use crate::support::{
    Reading, STORY, chats, connect, conversation, kinds, post, relay, resume, stop, text, whole,
};

const PACE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn what_was_said_stays_and_is_replayed_as_stopped() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let chats = chats(&client, &conversation(&client).await);
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    let stopped = chats
        .handle(stop())
        .await
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(stopped.to_bytes(), r#"{"ok":true,"status":"cancelled"}"#);
    let first = first.whole().await;
    assert!(text(&first).contains("upon") && !text(&first).contains("while"));
    let kinds = kinds(&first);
    assert_eq!(kinds[kinds.len() - 3..], ["abort", "finish", "[DONE]"]);
    assert_eq!(whole(chats.handle(resume()).await).await, first);
    let again = chats
        .handle(stop())
        .await
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(again.to_bytes(), r#"{"ok":true,"status":"idle"}"#);
}
