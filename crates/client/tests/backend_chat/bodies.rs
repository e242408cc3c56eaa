//! Bodies of browsers, decoded as `request.json()` decodes them.

use std::sync::{Arc, Mutex};

use serde_json::json;
use twentyfirst_client::StartRun;
use twentyfirst_client::backend::{
    ChatHandler, ChatRequest, Refusal, ThreadHandler, ThreadRequest,
};
use twentyfirst_client::transport::Body;

use crate::support::{read, relay, request};

/// Returns the request that a handler's function gets for this body, or the refusal.
async fn chat(body: impl Into<Body>) -> String {
    let asked = Arc::new(Mutex::new(None));
    let see = Arc::clone(&asked);
    let (client, _) = relay(|target| panic!("{target} was sent"));
    let chats = ChatHandler::new(client, move |request: ChatRequest| {
        let see = Arc::clone(&see);
        async move {
            let turn = request.read().await?;
            let last = turn.messages.as_slice().last().unwrap();
            let parts = serde_json::to_string(&last.parts).unwrap();
            let asked = format!("{} {:?} {parts}", turn.id, turn.message_id);
            see.lock().unwrap().replace(asked);
            Err::<StartRun, _>(Refusal::not_found("there is no such chat"))
        }
    });
    let (status, _, body) = read(chats.handle(request("POST", "/api/chat", body)).await).await;
    let asked = asked.lock().unwrap().take();
    asked.unwrap_or_else(|| format!("{} {body}", status.as_u16()))
}

/// Returns the same for a request for a new thread.
async fn thread(body: impl Into<Body>) -> String {
    let (client, _) = relay(|target| panic!("{target} was sent"));
    let threads = ThreadHandler::new(client, async |request: ThreadRequest| {
        let body = request.read().await?;
        Err(Refusal::not_found(format!(
            "{:?} {:?}",
            body.sandbox_id, body.name
        )))
    });
    let (status, _, body) = read(threads.handle(request("POST", "/api/threads", body)).await).await;
    format!("{} {body}", status.as_u16())
}

fn body(input: &str) -> String {
    let part =
        r#"{"type":"tool-x","toolCallId":"c","state":"output-available","input":INPUT,"output":1}"#;
    let part = part.replace("INPUT", input);
    format!(
        r#"{{"id":"c1","messages":[{{"role":"user","parts":[{part}]}}],"trigger":"submit-message","more":{input}}}"#
    )
}

#[tokio::test]
async fn a_chat_is_read_as_a_browser_would_read_it() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for (body, asked) in [
        ("\u{feff}".to_owned() + &body("1"), body("1")),
        (body("1e400"), body("1e400")),
        (
            body("12345678901234567890123"),
            body("12345678901234567890123"),
        ),
        (body("-1.0E+2"), body("-1.0E+2")),
        (body(r#""\ud83d""#), body(r#""\ud83d""#)),
        (body(&deep), body(&deep)),
        (body("{\n \"a\" :\t1 }"), body(r#"{"a":1}"#)),
        (
            body("1").replace(r#"{"id":"c1","#, r#"{"id":7,"messages":null,"id":"c1","#),
            body("1"),
        ),
    ] {
        let parts = &asked[asked.find("[{\"type\"").unwrap()..asked.find("}],\"trigger").unwrap()];
        assert_eq!(
            chat(body.clone()).await,
            format!("c1 None {parts}"),
            "{body:.300}"
        );
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_replaced_as_browsers_do() {
    let mut bytes = body("\"?\"").into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'?').unwrap();
    bytes[at] = 0xff;
    let asked = chat(bytes).await;
    assert!(asked.contains("\"input\":\"\u{fffd}\""), "{asked}");
}

#[tokio::test]
async fn the_refusal_names_the_problem_of_a_body() {
    let mut responses = Vec::new();
    for body in [
        body(r#"{"__proto__":1}"#),
        body(r#"{"constructor":{"prototype":1}}"#),
        body("1").replace("c1", r"\ud83d"),
        body("1").replace("c1", ""),
        body("nul"),
        "{\n \"id\": \"c1\",\n}".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "\u{feff}".to_owned(),
        "\u{feff}\u{feff}{}".to_owned(),
    ] {
        responses.push(chat(body).await);
    }
    insta::assert_debug_snapshot!(responses);
}

#[tokio::test]
async fn a_thread_is_named_as_a_browser_would_name_it() {
    let mut responses = Vec::new();
    for body in [
        "\u{feff}{\"sandboxId\":\"sb_1\",\"name\":\"a\"}".to_owned(),
        json!({ "sandboxId": "sb_1", "name": "a", "more": null }).to_string(),
        // Cut after 80 UTF-16 units, as pages do.
        r#"{"sandboxId":"sb_1","name":"a\ud83d"}"#.to_owned(),
        r#"{"sandboxId":"sb_0","sandboxId":"sb_1","name":1,"name":null}"#.to_owned(),
        r#"{"sandboxId":"\ud83d"}"#.to_owned(),
        r#"{"sandboxId":"sb_1","n":1e400}"#.to_owned(),
        format!(
            r#"{{"sandboxId":"sb_1","n":{}{}}}"#,
            "[".repeat(200_000),
            "]".repeat(200_000)
        ),
        r#"{"sandboxId":"sb_1","__proto__":{}}"#.to_owned(),
        r#"{"sandboxId":["sb_1"]}"#.to_owned(),
        "[]".to_owned(),
        String::new(),
    ] {
        responses.push(thread(body).await);
    }
    insta::assert_debug_snapshot!(responses);
}
