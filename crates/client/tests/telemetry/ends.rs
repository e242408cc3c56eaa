//! Every answer has one span, which ends however the answer does.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream as _;

use twentyfirst_client::AgentClient;
use twentyfirst_client::protocol::runs::FollowPolicy;
use twentyfirst_local_relay::Fault;

use crate::collector::{Collector, Span, shown};
use crate::support::{answered, connect, relay};

const STORY: &str = "a story that takes some time to be told";

/// Returns the ends of all runs in order, each with its error type. Checks that the status is an error if there is an error type.
fn ends(collector: &Collector) -> Vec<String> {
    let runs = collector.named("invoke_agent").into_iter();
    runs.map(|run| {
        let told = |name| run.attributes.get(name)?["stringValue"].as_str();
        let error = told("error.type");
        assert_eq!(run.is_error, error.is_some(), "{run:?}");
        let end = [told("twentyfirst.run.end"), error];
        end.into_iter().flatten().collect::<Vec<_>>().join(" ")
    })
    .collect()
}

#[tokio::test]
async fn failed_runs_have_an_error_type_and_no_description() {
    let collector = Collector::start();
    let relay = relay();
    let client = connect(&relay);
    for agent in ["failing", "limited"] {
        drop(answered(&client, agent).await);
    }
    assert!(client.threads().run("nobody", "Hello").await.is_err());
    assert!(client.threads().run("slow", " ").await.is_err());
    assert_eq!(
        ends(&collector),
        [
            "failed overloaded",
            "completed error_max_turns",
            "not_started agent_not_found",
            "not_started invalid_request"
        ]
    );
    let shown = shown(&collector.spans());
    assert!(!shown.contains("sword-fish"), "{shown}");
}

#[tokio::test]
async fn a_run_that_is_cancelled_lost_or_dropped_has_a_span_that_says_so() {
    let collector = Collector::start();
    let relay = relay();
    let client = connect(&relay);
    let threads = client.threads();
    let slow = || threads.run("slow", STORY);

    let mut cancelled = threads.run("endless", STORY).await.unwrap();
    cancelled.next_chunk().await.unwrap().unwrap();
    cancelled.cancel().await.unwrap();
    cancelled.outcome().await;

    drop(slow().await.unwrap());
    // While it starts.
    let _ = tokio::time::timeout(Duration::from_millis(1), slow()).await;

    relay.inject(Fault::cut_after(3));
    let off = client.options().follow(FollowPolicy::off());
    let off = client.with_options(off);
    let mut lost = off.threads().run("slow", STORY).await.unwrap();
    lost.outcome().await;
    assert_eq!(
        ends(&collector),
        ["cancelled", "dropped", "dropped", "lost lost_cut"]
    );
}

#[tokio::test]
async fn a_reader_of_the_text_alone_has_read_the_end() {
    let collector = Collector::start();
    let relay = relay();
    let mut run = connect(&relay)
        .threads()
        .run("reviewer", "Hello")
        .await
        .unwrap();
    run.text().await.unwrap();
    drop(run);
    assert_eq!(ends(&collector), ["completed"]);
    let run = &collector.named("invoke_agent")[0];
    assert_eq!(
        run.attributes["gen_ai.usage.input_tokens"]["intValue"],
        "1200"
    );
}

#[tokio::test]
async fn a_body_that_is_passed_on_is_watched_on_its_way() {
    let collector = Collector::start();
    let relay = relay();
    let client = connect(&relay);
    let run = async |client: &AgentClient, agent| client.threads().run(agent, STORY).await.unwrap();
    let body = run(&client, "reviewer").await.into_body();
    body.collect_up_to(1 << 20).await.unwrap();
    let mut events = run(&client, "slow").await.into_events();
    assert!(
        poll_fn(|cx| Pin::new(&mut events).poll_next(cx))
            .await
            .is_some()
    );
    drop(events);
    relay.inject(Fault::cut_after(3));
    let body = run(&client, "slow").await.into_body();
    assert!(body.collect_up_to(1 << 20).await.is_err());
    assert_eq!(ends(&collector), ["completed", "dropped", "lost lost_cut"]);
    assert_eq!(collector.named("execute_tool").len(), 5);
}

#[tokio::test]
async fn a_run_that_is_followed_across_a_cut_has_one_span() {
    let collector = Collector::start();
    let relay = relay();
    let client = connect(&relay);
    relay.inject(Fault::cut_after(3));
    let mut run = client.threads().run("slow", STORY).await.unwrap();
    assert_eq!(run.text().await.unwrap(), STORY);
    drop(run);
    assert_eq!(ends(&collector), ["completed"]);
    let run = &collector.named("invoke_agent")[0];
    assert_eq!(run.attributes["twentyfirst.run.cuts"]["intValue"], "1");
    // The requests by which the run was followed are in its span.
    let asked = |span: &Span| span.attributes["method"]["stringValue"] == "GET";
    let requests = collector.named("request");
    let asked: Vec<_> = requests.iter().filter(|request| asked(request)).collect();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|request| request.parent == run.id));
}
