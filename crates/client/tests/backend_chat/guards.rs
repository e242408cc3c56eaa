//! Guarantees: no answer of another run, no session in debug output, and no panic that ends the process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use serde_json::json;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun};

use crate::support::{
    channel, chats, json_response, post, read, relay, request, run, stream, threads,
};

#[tokio::test]
async fn a_run_that_begins_while_another_is_resumed_is_not_passed_on() {
    let lists = AtomicUsize::new(0);
    let (client, _) = relay(move |target| match target {
        "GET /v1/sandboxes/sb_1/threads" => match lists.fetch_add(1, Ordering::SeqCst) {
            0 => threads(&[("th_1", "streaming")]),
            1 => threads(&[("th_2", "streaming"), ("th_1", "streaming")]),
            _ => threads(&[("th_2", "streaming"), ("th_1", "completed")]),
        },
        "GET /v1/sandboxes/sb_1/threads/th_1" => json_response(
            200,
            &json!({ "id": "th_1", "status": "completed", "messages": [
                { "id": "m1", "role": "assistant", "parts": [{ "type": "text", "text": "ours" }] }
            ] }),
        ),
        _ => stream("data: {\"type\":\"start\",\"messageId\":\"foreign\"}\n\ndata: [DONE]\n\n"),
    });
    let request = request("GET", "/api/chat/chat-1/stream", "");
    let (status, _, body) = read(chats(&client).handle(request).await).await;
    assert_eq!(status.as_u16(), 200);
    assert!(body.contains("ours") && !body.contains("foreign"), "{body}");
}

#[tokio::test]
async fn debug_output_shows_no_session() {
    let (client, _) = relay(|_| stream("data: [DONE]\n\n"));
    let shown = Arc::new(Mutex::new(String::new()));
    let show = Arc::clone(&shown);
    let chats = ChatHandler::new(client, move |request: ChatRequest| {
        *show.lock().unwrap() = format!("{request:?}");
        run(request)
    });
    let mut request = post("Hi");
    let cookie = "session=hunter2".parse().unwrap();
    request.headers_mut().insert("cookie", cookie);
    chats.handle(request).await;
    let shown = shown.lock().unwrap();
    assert!(
        shown.contains("ChatRequest") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_panic_of_an_observer_affects_only_its_own_answer() {
    let (pieces, body) = channel();
    let body = Mutex::new(Some(body));
    let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let chats = ChatHandler::new(client, async |request: ChatRequest| {
        let run = ChatRun::new(run(request).await?);
        Ok(run.observe(|_| panic!("an observer's own mistake")))
    })
    .without_log();
    let response = chats.handle(post("Hi")).await;
    pieces.send(Ok("data: {\"type\":\"start\"}\n\n")).unwrap();
    let passed = tokio::spawn(async move { response.into_body().collect().await.is_ok() });
    // A second panic while it is dropped would end the whole process, and this test with it.
    assert!(passed.await.is_err());
}
