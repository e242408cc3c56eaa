//! Requests are authorized before the store is read.

use std::time::Duration;

use http::StatusCode;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, Refusal};

use crate::store::{Fault, Store};
use crate::support::{STORY, chats, connect, conversation, post, relay, request, text, whole};

#[tokio::test]
async fn an_unauthorized_request_causes_no_look_up() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let store = Store::new(Fault::None);
    let chats = chats(&client, &conversation(&client).await).run_log(store.clone());
    let response = chats.handle(post(STORY)).await;
    let run = response.headers()["x-workflow-run-id"].clone();
    let path = format!("/api/chat/{}/stream", run.to_str().unwrap());
    whole(response).await;

    let closed = ChatHandler::new(client, async |_: ChatRequest| {
        Err::<ChatRun, _>(Refusal::unauthorized("please sign in"))
    });
    let closed = closed.run_log(store.clone());
    let before = store.reads();
    for method in ["GET", "DELETE"] {
        let refused = closed.handle(request(method, &path, "")).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{method}");
    }
    assert_eq!(store.reads(), before);

    // A function that reads the request still gets the chat.
    let resumed = chats.handle(request("GET", &path, "")).await;
    assert_eq!(text(&whole(resumed).await), STORY);
    assert!(store.reads() > before);
}
