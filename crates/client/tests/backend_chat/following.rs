//! Runs that are followed on the server, for the browser and for an observer.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun};
use twentyfirst_client::protocol::runs::SendMessages;
use twentyfirst_client::{AgentClient, CallOptions, FollowPolicy, Session};
use twentyfirst_local_relay::{Agent, Fault, LocalRelay};

use crate::observing::observed;
use crate::support::{
    connect, events, json_response, logged, post, read, relay, request, run, stream, text, threads,
};

const STORY: &str =
    "Once upon a time an agent worked in a sandbox far away and was not heard of for a while";

/// A handler that follows runs of the agent `slow`.
fn followed(client: AgentClient) -> ChatHandler {
    ChatHandler::new(client, async |request: ChatRequest| {
        let run = Session::new("slow").run(request.read().await?.messages);
        Ok(ChatRun::new(run).observe(|_| {}))
    })
    .without_log()
}

fn slow(fault: Fault) -> LocalRelay {
    let agent = Agent::echo().pace(Duration::from_millis(20));
    let relay = LocalRelay::builder().agent("slow", agent).fault(fault);
    relay.hold_back(Duration::ZERO).start().unwrap()
}

#[tokio::test]
async fn the_browser_does_not_notice_a_cut() {
    let cut = Fault::cut_after(Duration::from_millis(150)).on::<SendMessages>();
    let relay = slow(cut.clone());
    let (_, _, body) = read(followed(connect(&relay)).handle(post(STORY)).await).await;
    let events = events(&body);
    assert_eq!((text(&events).as_str(), cut.struck()), (STORY, 1));
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!(
        (count("start"), count("finish"), count("data-gap")),
        (1, 1, 0)
    );
    assert_eq!(events.last().unwrap(), "[DONE]");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_kept_alive() {
    let start = Instant::now();
    let status = move || match start.elapsed() > Duration::from_secs(40) {
        true => "completed",
        false => "streaming",
    };
    let (client, _) = relay(move |target| match target {
        "GET /v1/sandboxes/sb_1/threads" => threads(&[("th_1", status())]),
        _ => json_response(200, &json!({ "id": "th_1", "status": status() })),
    });
    // It is not in the log, so it is waited for.
    let chats = ChatHandler::new(client, async |request: ChatRequest| run(request).await);
    let resume = request("GET", "/api/chat/chat-1/stream", "");
    let (_, _, body) = read(chats.handle(resume).await).await;
    let comments = body
        .split_terminator("\n\n")
        .take_while(|event| *event == ": keep-alive");
    assert_eq!(comments.count(), 2, "{body}");
}

#[tokio::test]
async fn a_gap_is_reported_to_the_page() {
    let cut = Fault::cut_after(Duration::from_millis(150)).on::<SendMessages>();
    let relay = slow(cut);
    let client = connect(&relay).with_options(CallOptions::new().follow(FollowPolicy::live()));
    let (_, _, body) = read(followed(client).handle(post(STORY)).await).await;
    let events = events(&body);
    let gaps = events.iter().filter(|event| event["type"] == "data-gap");
    let gaps: Vec<_> = gaps.collect();
    assert_eq!(
        gaps,
        [&json!({ "type": "data-gap", "data": null, "transient": true })]
    );
    assert_eq!(
        events
            .iter()
            .filter(|event| event["type"] == "start")
            .count(),
        1
    );
    assert_eq!(events.last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn a_run_that_fails_after_a_cut_is_an_error_in_the_stream() {
    let (client, _) = relay(|target| match target {
        "POST /v1/chat/my-agent" => stream("data: {\"type\":\"start\"}\n\n"),
        "GET /v1/sandboxes/sb_1/threads" => threads(&[("th_1", "error")]),
        _ => json_response(
            200,
            &json!({ "id": "th_1", "status": "error", "error": "out of\nmemory" }),
        ),
    });
    let (_, _, body) = read(observed(&client).0.handle(post("Hi")).await).await;
    insta::assert_debug_snapshot!(events(&body));
}

#[tokio::test]
async fn a_run_that_is_lost_is_an_error_in_the_stream() {
    let (client, _) = relay(|target| match target {
        "POST /v1/chat/my-agent" => stream("data: {\"type\":\"start\"}\n\n"),
        _ => json_response(404, &json!({ "error": "no such sandbox" })),
    });
    let (chats, errors) = logged(observed(&client).0);
    let (_, _, body) = read(chats.handle(post("Hi")).await).await;
    insta::assert_debug_snapshot!(events(&body));
    insta::assert_debug_snapshot!(errors.lock().unwrap());
}

#[tokio::test]
async fn an_error_is_sent_once() {
    let (client, _) = relay(|_| {
        stream(concat!(
            "data: {\"type\":\"start\"}\n\ndata: {\"type\":\"error\",\"errorText\":\"no model\"}\n\n",
            "data: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n",
        ))
    });
    let (_, _, body) = read(observed(&client).0.handle(post("Hi")).await).await;
    insta::assert_debug_snapshot!(events(&body));
}

#[tokio::test]
async fn a_run_that_was_cancelled_ends_with_abort() {
    let (client, _) = relay(|_| stream("data: {\"type\":\"start\"}\n\ndata: [DONE]\n\n"));
    let (_, _, body) = read(observed(&client).0.handle(post("Hi")).await).await;
    insta::assert_debug_snapshot!(events(&body));
}
