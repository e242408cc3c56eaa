//! A restart of the relay while runs are under way.

mod common;

use std::time::Duration;

use common::{Scene, kinds, text_of, user};
use serde_json::json;
use tokio::time::sleep;
use twentyfirst_local_relay::{After, Agent, Fault, LocalRelay, Run};

/// Creates an agent that says ten words in a second, slowly enough for readers to join.
fn talker() -> Agent {
    let words = (0..10).map(|number| format!("word{number} "));
    let words: String = words.collect();
    Agent::new(move |run: Run| {
        let words = words.clone();
        async move {
            run.say(words).await;
            Ok(())
        }
    })
    .pace(Duration::from_millis(100))
}

async fn scene(agent: Agent) -> Scene {
    let relay = LocalRelay::builder().hold_back(Duration::from_millis(100));
    Scene::of(relay.agent("agent", agent)).await
}

/// Waits longer than the agent talks.
async fn until_the_agent_has_ended() {
    sleep(Duration::from_secs(3)).await;
}

#[tokio::test]
async fn streams_break_off_and_threads_stay_streaming() {
    let scene = scene(talker()).await;
    let client = &scene.client;
    let other = client.create_sandbox("agent").await;
    let of_other = client.create_thread(&other).await;
    let mut beside = client.chat("agent", &other, &of_other, "Talk").await;
    beside.chunk().await;

    let restart = Fault::restart_after(After::Events(4));
    scene.relay.inject(restart.clone());
    let events = scene.chat("Talk").await.until_broken().await;
    assert_eq!(
        kinds(&events),
        ["start", "text-start", "text-delta", "text-delta"]
    );
    assert_eq!(text_of(&events), "word0 word1 ");
    let events = beside.until_broken().await;
    assert!(!kinds(&events).contains(&"finish".to_owned()));
    assert_eq!(restart.struck(), 1);

    until_the_agent_has_ended().await;
    for (sandbox, thread) in [(&scene.sandbox, &scene.thread), (&other, &of_other)] {
        let stored = client.thread(sandbox, thread).await;
        assert_eq!(stored["status"], "streaming");
        assert_eq!(stored["messages"], json!(null));
        let target = format!("/v1/chat/agent/{sandbox}/stream");
        client.get(&target).await.expect(204);
        let cancelled = client.delete(&target).await.expect(200);
        assert_eq!(cancelled["status"], "cancelled");
        assert_eq!(client.thread(sandbox, thread).await["status"], "cancelled");
        // The thread is free again, and the fault is spent.
        let events = client
            .chat("agent", sandbox, thread, "Again")
            .await
            .rest()
            .await;
        assert_eq!(kinds(&events).last().unwrap(), "[DONE]");
        let stored = client.thread(sandbox, thread).await;
        assert_eq!(stored["messages"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn the_part_of_a_reader_that_resumes_before_the_end_is_stored_as_the_whole() {
    let scene = scene(talker()).await;
    scene.relay.inject(Fault::restart_after(After::Events(4)));
    scene.chat("Talk").await.until_broken().await;
    let mut joined = scene.resume().await;
    assert_eq!(joined.status, 200);
    let events = joined.rest().await;
    assert_eq!(kinds(&events).last().unwrap(), "[DONE]");
    let seen = text_of(&events);
    assert!(
        seen.ends_with("word9 ") && !seen.contains("word1 "),
        "{seen}"
    );

    let thread = scene
        .client
        .wait_for(&scene.sandbox, &scene.thread, "completed")
        .await;
    let [answer] = &thread["messages"].as_array().unwrap()[..] else {
        panic!("{thread}");
    };
    assert_eq!(answer["role"], "assistant");
    assert_eq!(answer["parts"][0]["text"], seen);
}

#[tokio::test]
async fn cancelling_a_run_after_a_restart_ends_the_streams_of_joined_readers() {
    let scene = scene(talker()).await;
    scene.relay.inject(Fault::restart_after(After::Events(4)));
    scene.chat("Talk").await.until_broken().await;
    let mut joined = scene.resume().await;
    assert_eq!(joined.chunk().await["type"], "start");
    assert_eq!(scene.cancel().await["status"], "cancelled");
    assert_eq!(joined.rest().await.last().unwrap(), "[DONE]");
    let thread = scene.client.thread(&scene.sandbox, &scene.thread).await;
    assert_eq!(thread["messages"], json!(null));
}

#[tokio::test]
async fn the_relay_restarts_on_time_even_if_the_agent_is_silent() {
    let silent = Agent::new(async |_: Run| {
        sleep(Duration::from_secs(60)).await;
        Ok(())
    });
    let scene = scene(silent).await;
    let restart = Fault::restart_after(Duration::from_millis(100));
    scene.relay.inject(restart.clone());
    let events = scene.chat("Wait").await.until_broken().await;
    assert_eq!(kinds(&events), ["start"]);
    assert_eq!(restart.struck(), 1);
    assert_eq!(scene.cancel().await["status"], "cancelled");
}

#[tokio::test]
async fn the_relay_can_restart_after_the_last_chunk_of_the_agent() {
    let scene = scene(talker()).await;
    // `start`, and twelve chunks of the text.
    scene.relay.inject(Fault::restart_after(After::Events(13)));
    let events = scene.chat("Talk").await.until_broken().await;
    assert_eq!(kinds(&events).last().unwrap(), "text-end");
    let thread = scene.client.thread(&scene.sandbox, &scene.thread).await;
    assert_eq!(thread["status"], "streaming");
    assert_eq!(thread["messages"], json!(null));
}

#[tokio::test]
async fn a_run_that_was_starting_never_begins() {
    let relay = LocalRelay::builder()
        .agent("agent", talker())
        .agent("slow", talker().start_up(Duration::from_secs(2)));
    let scene = Scene::of(relay).await;
    let client = &scene.client;
    let body = json!({ "messages": [user("Talk")], "sandboxId": "starting", "mode": "background" });
    let run = client.post("/v1/chat/slow", body).await.expect(202);
    scene.relay.inject(Fault::restart_after(After::Events(2)));
    scene.chat("Talk").await.until_broken().await;
    until_the_agent_has_ended().await;
    let thread = run["threadId"].as_str().unwrap();
    let thread = client.thread("starting", thread).await;
    assert_eq!(thread["status"], "streaming");
    client
        .get("/v1/chat/slow/starting/stream")
        .await
        .expect(204);
}
