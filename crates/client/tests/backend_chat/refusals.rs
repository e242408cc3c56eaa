//! Failures before the stream begins.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, Refusal};
use twentyfirst_client::{AgentClient, Session};

use crate::support::{chats, json_response, post, read, relay, request, stream};

/// A relay that must not be asked.
fn nobody() -> AgentClient {
    relay(|target| panic!("{target} was sent")).0
}

fn body(trigger: Value, messages: Value) -> String {
    json!({ "id": "chat-1", "messages": messages, "trigger": trigger }).to_string()
}

/// Returns the status and the body of the response, with the headers that matter.
async fn ask(chats: &ChatHandler, method: &str, path: &str, body: String) -> String {
    let (status, headers, text) = read(chats.handle(request(method, path, body)).await).await;
    let mut line = format!("{} {text}", status.as_u16());
    for name in ["allow", "retry-after"] {
        if let Some(value) = headers.get(name) {
            line += &format!(" {name}: {}", value.to_str().unwrap());
        }
    }
    line
}

#[tokio::test]
async fn impossible_requests_are_refused() {
    let chats = chats(&nobody());
    let user = json!({ "role": "user", "parts": [{ "type": "text", "text": "Hi" }] });
    let assistant = json!({ "role": "assistant", "parts": [{ "type": "text", "text": "Hello" }] });
    let silent = json!({ "role": "user", "parts": [] });
    let mut responses = Vec::new();
    for body in [
        body("regenerate-message".into(), json!([user])),
        body("resume-stream".into(), json!([user])),
        body(Value::Null, json!([user, assistant])),
        body(Value::Null, json!([])),
        body(Value::Null, json!([silent])),
        json!({ "messages": [user] }).to_string(),
        "Hi".to_owned(),
        "x".repeat(10 * 1024 * 1024 + 1),
    ] {
        responses.push(ask(&chats, "POST", "/api/chat", body).await);
    }
    insta::assert_debug_snapshot!(responses);
}

#[tokio::test]
async fn a_refusal_names_missing_members_and_repeats_no_content() {
    let chats = chats(&nobody());
    let mut responses = Vec::new();
    for body in [
        r#"{"id":"c1"}"#,
        r#"{"id":"c1","messages":[{"id":"s3cr3t","parts":[]}]}"#,
        r#"{"id":"c1","messages":"s3cr3t"}"#,
        r#"{"id":["missing field `s3cr3t`"],"messages":[]}"#,
        r#"{"id":"c1","id":"s3cr3t","messages":[]}"#,
        r#"["s3cr3t"]"#,
        r#"{"id":"s3cr3t"#,
        "",
    ] {
        let response = ask(&chats, "POST", "/api/chat", body.to_owned()).await;
        assert!(!response.contains("s3cr3t"), "{response}");
        responses.push(response);
    }
    insta::assert_debug_snapshot!(responses);
}

#[tokio::test]
async fn unsupported_methods_are_refused() {
    let chats = chats(&nobody());
    let mut responses = Vec::new();
    for (method, path) in [
        ("GET", "/api/chat"),
        ("DELETE", "/api/chat"),
        ("OPTIONS", "/api/chat"),
        ("POST", "/api/chat/chat-1/stream"),
        ("HEAD", "/api/chat/chat-1/stream"),
        ("OPTIONS", "/api/chat/chat-1/stream"),
        ("GET", "/stream"),
    ] {
        responses.push(ask(&chats, method, path, String::new()).await);
    }
    insta::assert_debug_snapshot!(responses);
}

#[tokio::test]
async fn the_servers_function_decides() {
    let chats = ChatHandler::new(nobody(), async |request: ChatRequest| {
        #[derive(serde::Deserialize)]
        struct Plan {
            plan: Option<String>,
        }

        let method = request.head.method.clone();
        let cookie = request.head.headers.get("cookie").cloned();
        let turn = request.read().await?;
        let plan = turn.members::<Plan>()?.plan;
        let message = format!("{method} {} {plan:?} {cookie:?}", turn.id);
        Err::<ChatRun, _>(Refusal::forbidden(message))
    });
    let mut body: Value = serde_json::from_str(&body(
        "submit-message".into(),
        json!([{ "role": "user", "parts": [{ "type": "text", "text": "Hi" }] }]),
    ))
    .unwrap();
    body["plan"] = "free".into();
    let mut send = request("POST", "/api/chat", body.to_string());
    send.headers_mut()
        .insert("cookie", "user=1".parse().unwrap());
    let mut responses = vec![read(chats.handle(send).await).await.2];
    for method in ["GET", "DELETE"] {
        responses.push(ask(&chats, method, "/chats/a%2Fb/stream", String::new()).await);
    }
    insta::assert_debug_snapshot!(responses);
}

#[tokio::test]
async fn refusals_of_the_relay_are_passed_on() {
    let mut responses = Vec::new();
    for (status, message) in [
        (400, "bad turn"),
        (401, "unknown key an_sk_secret"),
        (402, "budget exceeded"),
        (404, "no such agent"),
        (500, "a stack trace"),
        (503, "no machine"),
    ] {
        let body = json!({ "error": { "code": "a_code", "message": message } });
        let (client, _) = relay(move |_| {
            let mut response = json_response(status, &body);
            let headers = response.headers_mut();
            headers.insert("retry-after", "7".parse().unwrap());
            response
        });
        let response = chats(&client).handle(post("Hi")).await;
        let (status, headers, text) = read(response).await;
        responses.push(format!(
            "{} {:?} {text}",
            status.as_u16(),
            headers.get("retry-after")
        ));
    }
    insta::assert_debug_snapshot!(responses);
}

#[tokio::test]
async fn a_streaming_thread_and_a_sandbox_of_another_agent_are_conflicts() {
    for (owner, expected) in [
        ("my-agent", "the thread is already streaming"),
        ("another", "the conversation belongs to another agent"),
    ] {
        let (client, log) = relay(move |_| {
            let threads = json!([{ "id": "th_1", "status": "streaming" }]);
            let agent = json!({ "slug": owner });
            json_response(
                200,
                &json!({ "id": "sb_1", "agent": agent, "threads": threads }),
            )
        });
        let chats = ChatHandler::new(client, async |request: ChatRequest| {
            Ok(crate::support::session().run(request.read().await?.messages))
        });
        let (status, _, body) = read(chats.handle(post("Hi")).await).await;
        assert_eq!(status.as_u16(), 409);
        assert_eq!(body, format!(r#"{{"error":"{expected}"}}"#));
        assert_eq!(log.take(), ["GET /v1/sandboxes/sb_1"]);
    }
}

#[tokio::test]
async fn the_server_learns_the_ids_created_before_a_failure() {
    let (client, _) = relay(|target| match target {
        "POST /v1/sandboxes" => json_response(201, &json!({ "id": "sb_9" })),
        "POST /v1/sandboxes/sb_9/threads" => json_response(201, &json!({ "id": "th_9" })),
        _ => json_response(402, &json!({ "error": "no money" })),
    });
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let chats = ChatHandler::new(client, async |request: ChatRequest| {
        Ok(Session::new("my-agent").run(request.read().await?.messages))
    })
    .on_error(move |error| {
        seen.lock()
            .unwrap()
            .push(format!("{error}: {:?}", error.created()));
    });
    let (status, _, body) = read(chats.handle(post("Hi")).await).await;
    assert_eq!(
        (status.as_u16(), body.as_str()),
        (402, r#"{"error":"no money"}"#)
    );
    insta::assert_debug_snapshot!(errors.lock().unwrap());
}

#[tokio::test]
async fn a_panic_of_the_function_is_an_internal_error() {
    let (client, _) = relay(|_| stream("data: [DONE]\n\n"));
    let chats = ChatHandler::new(client, async |request: ChatRequest| {
        let run = ChatRun::new(crate::support::run(request).await?);
        Ok(run.on_started(async |_| panic!("the database is on fire")))
    });
    let (status, _, body) = read(chats.handle(post("Hi")).await).await;
    assert_eq!(status.as_u16(), 500);
    assert_eq!(body, r#"{"error":"this server failed"}"#);
}
