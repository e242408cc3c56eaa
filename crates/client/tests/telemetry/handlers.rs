//! Answers that the chat handler reads: each has one span, however many browsers read it.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use serde_json::json;
use tracing::Instrument as _;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun};
use twentyfirst_client::run_log::MemoryLog;
use twentyfirst_client::transport::Body;
use twentyfirst_client::{AgentClient, Session};

use crate::collector::{Collector, Span};
use crate::metrics::Exporter;
use crate::support::{connect, go, relay};

const STORY: &str = "a story that takes some time to be told";

async fn session(client: &AgentClient, agent: &str) -> Session {
    let sandbox = client.sandboxes().create(agent).await.unwrap();
    let thread = client.threads().create(&sandbox.id).await.unwrap();
    Session::new(agent)
        .sandbox_id(&sandbox.id)
        .thread_id(&thread.id)
}

fn chats(client: &AgentClient, session: &Session, is_observed: bool) -> ChatHandler {
    let session = session.clone();
    ChatHandler::new(client.clone(), move |request: ChatRequest| {
        let session = session.clone();
        async move {
            let run = ChatRun::new(session.run(request.read().await?.messages));
            Ok(if is_observed {
                run.observe(|_| {})
            } else {
                run
            })
        }
    })
}

fn post() -> Request<Body> {
    let body = json!({
        "id": "chat-1",
        "messages": [{ "id": "u1", "role": "user", "parts": [{ "type": "text", "text": STORY }] }],
        "trigger": "submit-message",
    });
    Request::post("/api/chat")
        .header("content-type", "application/json")
        .body(body.to_string().into())
        .unwrap()
}

fn resume() -> Request<Body> {
    Request::get("/api/chat/chat-1/stream")
        .body(Body::empty())
        .unwrap()
}

/// Returns the body of a successful response.
async fn read(chats: &ChatHandler, request: Request<Body>) -> String {
    let response = chats.handle(request).await;
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}

fn end(run: &Span) -> &str {
    run.attributes["twentyfirst.run.end"]["stringValue"]
        .as_str()
        .unwrap()
}

#[tokio::test]
async fn a_recorded_answer_has_a_trace_of_its_own_with_a_link_to_its_request() {
    let collector = Collector::start();
    let relay = relay();
    let client = connect(&relay);
    let session = session(&client, "slow").await;
    let chats = chats(&client, &session, false);
    let first = chats
        .handle(post())
        .instrument(tracing::info_span!("POST"))
        .await;
    let (first, second) = tokio::join!(first.into_body().collect(), read(&chats, resume()));
    assert_eq!(first.unwrap().to_bytes(), second);

    let runs = collector.named("invoke_agent");
    assert_eq!(runs.iter().map(end).collect::<Vec<_>>(), ["completed"]);
    let request = &collector.named("POST")[0];
    assert_eq!(runs[0].parent, "");
    assert_eq!(runs[0].links, std::slice::from_ref(&request.id));
    assert!(request.ended < runs[0].ended);
}

#[tokio::test]
async fn an_answer_that_is_passed_on_or_followed_is_in_the_trace_of_its_request() {
    let collector = Collector::start();
    let relay = relay();
    let client = connect(&relay);
    for is_observed in [false, true] {
        let session = session(&client, "slow").await;
        let chats = chats(&client, &session, is_observed).without_log();
        let reading = async { read(&chats, post()).await };
        reading.instrument(tracing::info_span!("POST")).await;
        // The browser leaves.
        drop(chats.handle(post()).await);
    }
    let runs = collector.named("invoke_agent");
    let ends: Vec<_> = runs.iter().map(end).collect();
    assert_eq!(ends, ["completed", "dropped", "completed", "dropped"]);
    let requests = collector.named("POST");
    assert_eq!(runs[0].parent, requests[0].id);
    assert_eq!(runs[2].parent, requests[1].id);
}

#[test]
fn an_answer_that_is_handed_over_has_a_span_in_each_instance() {
    let exporter = Exporter::new();
    let collector = Collector::start();
    exporter.play(async |client| {
        let session = session(&client, "waiting").await;
        let store = MemoryLog::new(tokio::time::sleep);
        let one = chats(&client, &session, false).run_log(store.clone());
        let other = chats(&client, &session, false).run_log(store);
        let first = one.handle(post()).await;
        let mut body = first.into_body();
        body.frame().await.unwrap().unwrap();
        let handing_over = async {
            assert_eq!(one.drain(Duration::from_secs(30)).await, 0);
            go(&client, session.sandbox_id.as_ref().unwrap()).await;
        };
        let (second, ()) = tokio::join!(read(&other, resume()), handing_over);
        assert!(second.contains("told"), "{second}");
    });
    let runs = collector.named("invoke_agent");
    assert_eq!(
        runs.iter().map(end).collect::<Vec<_>>(),
        ["handed_over", "completed"]
    );
    let conversation = |run: &Span| run.attributes["gen_ai.conversation.id"].clone();
    assert_eq!(conversation(&runs[0]), conversation(&runs[1]));
    let metrics = exporter.render();
    assert!(
        metrics.contains("\ntwentyfirst_run_log_hand_overs 1\n"),
        "{metrics}"
    );
    let lag = metrics
        .lines()
        .find_map(|line| line.strip_prefix("twentyfirst_run_log_lag_count "));
    assert!(
        lag.is_some_and(|count| count.parse::<u64>().unwrap() > 1),
        "{metrics}"
    );
}
