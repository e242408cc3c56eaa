//! The sandbox and the thread of a chat, and how the server learns them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::json;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, Refusal};
use twentyfirst_client::{AgentClient, Session};
use twentyfirst_local_relay::{Agent, LocalRelay};

use crate::support::{connect, events, post, read, relay, request, stream, text};

/// The server's table of sessions, by chat.
type Sessions = Arc<Mutex<HashMap<String, Session>>>;

fn chats(client: AgentClient, sessions: &Sessions) -> ChatHandler {
    let sessions = Arc::clone(sessions);
    ChatHandler::new(client, move |request: ChatRequest| {
        let sessions = Arc::clone(&sessions);
        async move {
            let turn = request.read().await?;
            let stored = sessions.lock().unwrap().get(&turn.id).cloned();
            let session = stored.unwrap_or_else(|| Session::new("echo"));
            let run = ChatRun::new(session.run(turn.messages));
            Ok(run.on_started(async move |started| {
                let mut sessions = sessions.lock().unwrap();
                sessions.insert(turn.id, started.run.session());
                Ok(())
            }))
        }
    })
}

#[tokio::test]
async fn the_first_message_makes_a_session_and_the_next_continues_it() {
    let relay = LocalRelay::start().unwrap();
    let client = connect(&relay);
    let sessions = Sessions::default();
    let chats = chats(client.clone(), &sessions);

    let response = chats.handle(post("Good morning")).await;
    let session = sessions.lock().unwrap().get("chat-1").cloned();
    let session = session.expect("stored before the first byte");
    let (_, _, body) = read(response).await;
    assert_eq!(text(&events(&body)), "Good morning");

    let history = json!({ "id": "chat-1", "trigger": "submit-message", "messages": [
        { "role": "user", "parts": [{ "type": "text", "text": "Good morning" }] },
        { "role": "assistant", "parts": [{ "type": "text", "text": "Good morning" }] },
        { "role": "user", "parts": [{ "type": "text", "text": "Good night" }] },
    ] });
    let next = request("POST", "/api/chat", history.to_string());
    let (_, _, body) = read(chats.handle(next).await).await;
    assert_eq!(text(&events(&body)), "Good night");
    assert_eq!(sessions.lock().unwrap().get("chat-1"), Some(&session));

    let thread = client.execute(&session.hydrate().unwrap()).await.unwrap();
    let said = thread.ui_messages().map(|message| message.text());
    let said: Vec<_> = said.collect();
    assert_eq!(
        said,
        ["Good morning", "Good morning", "Good night", "Good night"]
    );
}

#[tokio::test]
async fn the_created_ids_are_known_even_if_the_browser_leaves_meanwhile() {
    let relay = LocalRelay::builder()
        .agent("echo", Agent::echo().start_up(Duration::from_secs(1)))
        .start()
        .unwrap();
    let client = connect(&relay);
    let sessions = Sessions::default();
    let chats = chats(client.clone(), &sessions);

    let response = chats.handle(post("Good morning"));
    let waited = tokio::time::timeout(Duration::from_millis(100), response).await;
    assert!(waited.is_err(), "it is still starting");
    let session = loop {
        if let Some(session) = sessions.lock().unwrap().get("chat-1") {
            break session.clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let mut run = client
        .threads()
        .follow(session.current_run().unwrap())
        .unwrap();
    assert_eq!(run.text().await.unwrap(), "Good morning");
}

#[tokio::test]
async fn a_session_that_cannot_be_stored_is_not_passed_on() {
    let (client, _) = relay(|_| stream("data: {\"type\":\"start\"}\n\n"));
    let chats = ChatHandler::new(client, async |request: ChatRequest| {
        let run = ChatRun::new(crate::support::run(request).await?);
        Ok(run.on_started(async |_| Err(Refusal::internal("the database is full"))))
    });
    let response = chats.handle(post("Hi")).await;
    assert_eq!(response.status().as_u16(), 500);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"error":"the database is full"}"#);
}
