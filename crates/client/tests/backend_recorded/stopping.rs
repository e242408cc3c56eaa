//! A browser that presses stop.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use twentyfirst_client::transport::Body;
use twentyfirst_local_relay::{Agent, LocalRelay};

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

/// The relay responds with `idle` while a run is starting, and cancels nothing.
#[tokio::test]
async fn a_run_is_cancelled_while_it_starts_and_its_end_has_the_id_of_the_question() {
    let agent = Agent::echo().pace(PACE).start_up(PACE * 10);
    let relay = LocalRelay::builder().agent("echo", agent).start().unwrap();
    let client = connect(&relay);
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let chats = chats(&client, &conversation(&client).await);
    let chats = chats.on_end(move |ended| {
        let sent = sender.send(ended);
        async move { sent }
    });
    let stopping = async {
        // The turn is taken before the run is started.
        while chats.open_turns("user-1", "chat-1").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        status(chats.handle(stop()).await).await
    };
    let (response, stopped) = tokio::join!(chats.handle(post(STORY)), stopping);
    assert_eq!(stopped, "cancelled");
    let events = whole(response).await;
    assert!(!text(&events).contains("while"), "{}", text(&events));
    let kinds = kinds(&events);
    assert_eq!(kinds[kinds.len() - 3..], ["abort", "finish", "[DONE]"]);

    let ended = ends.recv().await.unwrap();
    assert_eq!(ended.outcome.end.as_str(), "cancelled");
    assert_eq!(ended.message.text(), text(&events));
    let question = ended.run.unwrap().user_message_id.unwrap();
    assert_eq!(question, format!("u-{}", STORY.len()).as_str());
}

async fn status(response: Response<Body>) -> String {
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    body["status"].as_str().unwrap().to_owned()
}
