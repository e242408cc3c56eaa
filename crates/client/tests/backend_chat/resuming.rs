//! A browser that comes back, and one that presses stop.

use std::time::Duration;

use serde_json::json;
use twentyfirst_client::backend::{ChatHandler, ChatRequest};
use twentyfirst_client::protocol::threads::ThreadStatus;
use twentyfirst_client::{AgentClient, Session, StartRun};
use twentyfirst_local_relay::{Agent, Fault, LocalRelay};

use crate::support::{
    chats, connect, events, json_response, read, relay, request, stream, text, threads,
};

const RESUME: &str = "/api/chat/chat-1/stream";

fn resume() -> http::Request<twentyfirst_client::transport::Body> {
    request("GET", RESUME, "")
}

fn stop() -> http::Request<twentyfirst_client::transport::Body> {
    request("DELETE", RESUME, "")
}

/// A relay with an agent that takes a second for the story.
fn slow() -> (LocalRelay, AgentClient) {
    let agent = Agent::echo().pace(Duration::from_millis(60));
    let relay = LocalRelay::builder()
        .agent("slow", agent)
        .hold_back(Duration::ZERO)
        .start()
        .unwrap();
    let client = connect(&relay);
    (relay, client)
}

/// A handler for one session.
fn chats_in(client: &AgentClient, session: &Session) -> ChatHandler {
    let session = session.clone();
    ChatHandler::new(client.clone(), move |request: ChatRequest| {
        let session = session.clone();
        async move { Ok(session.run(request.read().await?.messages)) }
    })
    .without_log()
}

const STORY: &str =
    "Once upon a time an agent worked in a sandbox far away and was not heard of for a while";

#[tokio::test]
async fn there_is_nothing_to_resume_before_the_first_message() {
    let (client, log) = relay(|_| panic!("nobody asks the relay"));
    let chats = chats_in(&client, &Session::new("my-agent"));
    let (status, headers, body) = read(chats.handle(resume()).await).await;
    assert_eq!(
        (status.as_u16(), headers.len(), body.as_str()),
        (204, 0, "")
    );
    let (status, _, body) = read(chats.handle(stop()).await).await;
    assert_eq!(
        (status.as_u16(), body.as_str()),
        (200, r#"{"ok":true,"status":"idle"}"#)
    );
    assert!(log.take().is_empty());
}

#[tokio::test]
async fn there_is_nothing_to_resume_when_the_run_is_over() {
    // The relay would resume the other one.
    let (client, log) = relay(|_| threads(&[("th_2", "streaming"), ("th_1", "completed")]));
    let (status, _, body) = read(chats(&client).handle(resume()).await).await;
    assert_eq!((status.as_u16(), body.as_str()), (204, ""));
    assert_eq!(log.take(), ["GET /v1/sandboxes/sb_1/threads"]);
}

#[tokio::test]
async fn a_run_is_resumed_byte_for_byte() {
    const REST: &str =
        "data: {\"type\" : \"start\"}\r\n\r\ndata: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n";
    let (client, log) = relay(|target| match target {
        "GET /v1/sandboxes/sb_1/threads" => {
            threads(&[("th_1", "streaming"), ("th_0", "streaming")])
        }
        _ => stream(REST),
    });
    let (status, headers, body) = read(chats(&client).handle(resume()).await).await;
    assert_eq!((status.as_u16(), body.as_str()), (200, REST));
    assert_eq!(headers.len(), 4);
    assert_eq!(
        log.take(),
        [
            "GET /v1/sandboxes/sb_1/threads",
            "GET /v1/chat/my-agent/sb_1/stream",
            "GET /v1/sandboxes/sb_1/threads"
        ]
    );
}

#[tokio::test]
async fn a_sandbox_that_is_gone_is_not_found() {
    let (client, _) = relay(|_| json_response(404, &json!({ "error": "no such sandbox" })));
    let (status, _, body) = read(chats(&client).handle(resume()).await).await;
    assert_eq!(
        (status.as_u16(), body.as_str()),
        (404, r#"{"error":"no such sandbox"}"#)
    );
}

#[tokio::test]
async fn a_reload_joins_in_the_middle() {
    let (_relay, client) = slow();
    let mut run = client.threads().run("slow", STORY).await.unwrap();
    for _ in 0..5 {
        run.next_chunk().await.unwrap().unwrap();
    }
    let session = run.run_ref().session();
    let response = chats_in(&client, &session).handle(resume()).await;
    assert_eq!(response.status().as_u16(), 200);
    let (_, _, body) = read(response).await;
    let events = events(&body);
    assert!(STORY.ends_with(&text(&events)) && !text(&events).is_empty());
    assert_eq!(events.last().unwrap(), "[DONE]");
    assert_eq!(run.text().await.unwrap(), STORY);
}

#[tokio::test]
async fn the_run_of_another_thread_is_neither_shown_nor_cancelled() {
    let (_relay, client) = slow();
    let ours = client.threads().run("slow", STORY).await.unwrap();
    let other = StartRun::new("slow", "A secret that is told very slowly indeed, one word after the other, on and on, at length, till the very end")
        .sandbox_id(ours.sandbox_id());
    let mut other = client.threads().start(other).await.unwrap();
    let chats = chats_in(&client, &ours.run_ref().session());

    let (status, _, body) = read(chats.handle(stop()).await).await;
    assert_eq!(status.as_u16(), 409);
    assert_eq!(body, r#"{"error":"another run is going on"}"#);
    // Its end is waited for, and the stored answer sent.
    let (_, _, body) = read(chats.handle(resume()).await).await;
    let events = events(&body);
    assert_eq!(text(&events), STORY);
    assert_eq!(events.last().unwrap(), "[DONE]");
    assert!(other.outcome().await.is_success());
}

#[tokio::test]
async fn a_run_that_is_still_starting_is_waited_for() {
    let agent = Agent::echo().pace(Duration::from_millis(60));
    let relay = LocalRelay::builder()
        .agent("echo", agent)
        .fault(Fault::nothing_on_resume().always())
        .start()
        .unwrap();
    let client = connect(&relay);
    let run = client.threads().run("echo", STORY).await.unwrap();
    let session = run.run_ref().session();
    let (_, _, body) = read(chats_in(&client, &session).handle(resume()).await).await;
    assert_eq!(text(&events(&body)), STORY);
}

#[tokio::test]
async fn delete_cancels_the_run() {
    let (_relay, client) = slow();
    let run = client.threads().run("slow", STORY).await.unwrap();
    let session = run.run_ref().session();
    let chats = chats_in(&client, &session);
    let (status, _, body) = read(chats.handle(stop()).await).await;
    assert_eq!(status.as_u16(), 200);
    assert!(
        body.starts_with(r#"{"ok":true,"status":"cancelled""#),
        "{body}"
    );
    let thread = client.execute(&session.hydrate().unwrap()).await.unwrap();
    assert_eq!(thread.status, ThreadStatus::Cancelled);
    let (_, _, body) = read(chats.handle(stop()).await).await;
    assert_eq!(body, r#"{"ok":true,"status":"idle"}"#);
}

#[tokio::test]
async fn delete_cancels_the_run_even_if_the_page_closes_at_once() {
    let agent = Agent::echo()
        .start_up(Duration::from_secs(1))
        .pace(Duration::from_secs(1));
    let relay = LocalRelay::builder().agent("slow", agent).start().unwrap();
    let client = connect(&relay);
    let sandbox = client.sandboxes().create("slow").await.unwrap();
    let thread = client.threads().create(&sandbox.id).await.unwrap();
    let session = Session::new("slow")
        .sandbox_id(&sandbox.id)
        .thread_id(&thread.id);
    let start = session.run(STORY);
    client.threads().start(start).in_background().await.unwrap();

    let chats = chats_in(&client, &session);
    let stopped = tokio::time::timeout(Duration::from_millis(50), chats.handle(stop())).await;
    assert!(stopped.is_err(), "it is still starting");
    while client
        .execute(&session.hydrate().unwrap())
        .await
        .unwrap()
        .is_streaming()
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let thread = client.execute(&session.hydrate().unwrap()).await.unwrap();
    assert_eq!(thread.status, ThreadStatus::Cancelled);
}
