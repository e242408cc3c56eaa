//! Recovery after failures: of an observer, of a full store, of a server that is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::sync::Notify;
use twentyfirst_client::backend::ChatHandler;
use twentyfirst_client::protocol::run_log::{Ended, Entry, Logged};
use twentyfirst_client::run_log::{LogId, MemoryLog, Position, RunLog};

use crate::store::{Fault, Store};
use crate::support::{
    Event, Reading, STORY, chats, chats_with, connect, conversation, kinds, of_another_server,
    post, relay, request, resume, resume_behind, runtime, stop, text, whole,
};

const PACE: Duration = Duration::from_millis(50);

/// Posts until the chat is free.
async fn post_when_free(chats: &ChatHandler, text: &str) -> Vec<Event> {
    let begun = Instant::now();
    loop {
        let response = chats.handle(post(text)).await;
        if response.status() != StatusCode::CONFLICT {
            return whole(response).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(8), "still answering");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_panic_of_an_observer_does_not_affect_the_answer() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let chats = chats_with(&client, &session, |run| {
        run.observe(|_| panic!("an observer of the test's"))
    });
    let first = Reading::new(chats.handle(post(STORY)).await);
    // Without its recorder it would be silent for 15 s, and then taken over.
    let first = tokio::time::timeout(Duration::from_secs(10), first.whole()).await;
    assert_eq!(text(&first.expect("an end")), STORY);
    let drained = tokio::time::timeout(
        Duration::from_secs(10),
        chats.drain(Duration::from_secs(30)),
    )
    .await;
    drained.expect("nothing to wait for");
}

#[tokio::test]
async fn a_panic_of_on_started_leaves_the_chat_usable() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let chats = chats_with(&client, &session, |run| {
        run.on_started(|_| async { panic!("a database of the test's") })
    });
    let refused = chats.handle(post(STORY)).await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let drained = tokio::time::timeout(
        Duration::from_secs(10),
        chats.drain(Duration::from_secs(30)),
    )
    .await;
    drained.expect("the run is recorded to its end");
    assert_eq!(
        chats.handle(post(STORY)).await.status(),
        StatusCode::INTERNAL_SERVER_ERROR,
        "not that the chat is answering"
    );
}

#[tokio::test]
async fn a_store_that_was_full_does_not_block_the_chat() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let store = Store::new(Fault::None);
    let chats = chats(&client, &conversation(&client).await).run_log(store.clone());
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    store.set(Fault::Full);
    assert_eq!(text(&first.whole().await), STORY);
    store.set(Fault::None);
    // Its log in the store has no end, and this instance knows that it has ended.
    let second = chats.handle(post("And then?")).await;
    assert_eq!(text(&whole(second).await), "And then?");
}

#[tokio::test]
async fn with_a_full_store_the_last_message_wins() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let store = Store::new(Fault::None);
    let chats = chats(&client, &conversation(&client).await).run_log(store.clone());
    whole(chats.handle(post("Well?")).await).await;
    store.set(Fault::Full);
    let mut second = Reading::new(chats.handle(post(STORY)).await);
    second.until("upon").await;
    let mut again = Reading::new(chats.handle(resume()).await);
    again.until("upon").await;
    assert_eq!(chats.handle(stop()).await.status(), 200);
    let second = second.whole().await;
    assert!(kinds(&second).contains(&"abort"));
    assert_eq!(again.whole().await, second);
}

#[tokio::test]
async fn a_run_whose_start_is_not_in_the_store_can_be_stopped() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let store = Store::new(Fault::FullBehindClaims);
    let chats = chats(&client, &conversation(&client).await).run_log(store);
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    assert_eq!(chats.handle(stop()).await.status(), 200);
    assert!(kinds(&first.whole().await).contains(&"abort"));
}

#[tokio::test]
async fn a_chat_whose_server_is_gone_becomes_free_without_a_reader() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = MemoryLog::new(tokio::time::sleep);
    of_another_server(&log, [Entry::Release]).await;
    let chats = chats(&client, &session).run_log(log);
    assert_eq!(text(&post_when_free(&chats, STORY).await), STORY);
}

#[tokio::test]
async fn a_deploy_releases_a_run_that_is_still_starting() {
    // The answer takes more than 5 s.
    let relay = relay(Duration::from_millis(300));
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = MemoryLog::new(tokio::time::sleep);
    let starting = Arc::new(Notify::new());
    let started = Arc::clone(&starting);
    let slow = chats_with(&client, &session, move |run| {
        let started = Arc::clone(&started);
        run.on_started(move |_| async move {
            started.notify_one();
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(())
        })
    });
    let slow = slow.run_log(log.clone());
    let other = chats(&client, &session).run_log(log);
    let drain = async {
        starting.notified().await;
        let begun = Instant::now();
        assert_eq!(slow.drain(Duration::from_secs(30)).await, 0);
        begun.elapsed()
    };
    let (_first, drained) = tokio::join!(slow.handle(post(STORY)), drain);
    assert!(drained < Duration::from_secs(4), "{drained:?}");
    assert_eq!(text(&whole(other.handle(resume()).await).await), STORY);
}

#[tokio::test]
async fn a_run_that_was_never_started_is_reported_as_such() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = MemoryLog::new(tokio::time::sleep);
    of_another_server(&log, [Entry::Release]).await;
    let chats = chats(&client, &session).run_log(log);
    let events = whole(chats.handle(resume()).await).await;
    assert_eq!(kinds(&events), ["error", "finish", "[DONE]"]);
}

#[tokio::test]
async fn after_an_overflow_cursors_and_the_end_still_work() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = MemoryLog::new(tokio::time::sleep);
    let chats = chats(&client, &session).run_log(log.clone());
    let response = chats.handle(post(STORY)).await;
    let id = response.headers()["x-workflow-run-id"].to_str().unwrap();
    let id = LogId::run(id);
    whole(response).await;
    let page = log.read(&id, Position::START, 1_000, Duration::ZERO).await;
    let entries = page.unwrap().entries;
    let entries = entries
        .iter()
        .map(|(_, entry)| Logged::decode(entry).unwrap().entry);
    let entries: Vec<_> = entries.collect();
    let started = entries
        .iter()
        .find(|entry| matches!(entry, Entry::Started(_)));
    let said = entries.iter().find_map(|entry| match entry {
        Entry::Data(chunks) => Some(chunks.iter().take(2)),
        _ => None,
    });
    // The log holds the first two chunks.
    let mut data = b"21st/1 data 0\n".to_vec();
    for chunk in said.unwrap() {
        data.extend_from_slice(&chunk);
        data.push(b'\n');
    }
    let data = Logged::decode(&data.into()).unwrap().entry;
    let other = MemoryLog::new(tokio::time::sleep);
    let end = Entry::End(Ended::new("completed"));
    let started = started.unwrap().clone();
    of_another_server(&other, [started, data, Entry::Overflow, end]).await;
    let chats = self::chats(&client, &session).run_log(other);
    let all = whole(chats.handle(resume()).await).await;
    assert_eq!(text(&all), STORY);
    assert_eq!(kinds(&all)[all.len() - 2..], ["finish", "[DONE]"]);
    for first in 0..all.len() {
        let path = format!("/api/chat/chat-1/stream?startIndex={first}");
        let rest = whole(chats.handle(request("GET", &path, "")).await).await;
        // The last event is `[DONE]`: there is no chunk from there on.
        match first + 1 == all.len() {
            false => assert_eq!(rest, all[first..], "from {first}"),
            true => assert_eq!(kinds(&rest), ["finish", "[DONE]"]),
        }
    }
    let last = all[all.len() - 2].id.as_deref().unwrap();
    let rest = whole(chats.handle(resume_behind(last)).await).await;
    assert_eq!(kinds(&rest), ["finish", "[DONE]"]);
}

#[test]
fn the_same_server_takes_over_a_run_whose_runtime_has_died() {
    let relay = relay(PACE);
    let (dying, living) = (runtime(), runtime());
    let session = living.block_on(conversation(&connect(&relay)));
    // The log is in memory, so no other instance can take over.
    let chats = chats(&connect(&relay), &session);
    dying.block_on(async {
        let mut first = Reading::new(chats.handle(post(STORY)).await);
        first.until("upon").await;
    });
    dying.shutdown_background();
    let rest = async { whole(chats.handle(resume()).await).await };
    let rest = living.block_on(async {
        tokio::time::timeout(Duration::from_secs(25), rest)
            .await
            .expect("an end")
    });
    assert_eq!(text(&rest), STORY);
    assert_eq!(kinds(&rest).last(), Some(&"[DONE]"));
}
