//! Answers for which there is no room in memory: connected browsers get them all the same.

use std::time::{Duration, Instant};

use http::StatusCode;
use twentyfirst_client::backend::ChatHandler;
use twentyfirst_client::run_log::MemoryLog;
use twentyfirst_local_relay::LocalRelay;

use crate::support::{
    Reading, STORY, chats, connect, conversation, kinds, logged, post, relay, resume, stop, text,
    whole,
};

const PACE: Duration = Duration::from_millis(50);

/// The time for which a read waits that nobody wakes.
const WAIT: Duration = Duration::from_secs(5);

/// A handler whose logs take so much memory.
async fn with_memory(relay: &LocalRelay, bytes: usize) -> ChatHandler {
    let client = connect(relay);
    chats(&client, &conversation(&client).await).log_memory(bytes)
}

#[tokio::test]
async fn an_answer_without_room_goes_on_for_connected_browsers() {
    let relay = relay(PACE);
    // Nothing fits, or some entries do.
    for bytes in [0, 4_000] {
        let (chats, errors) = logged(with_memory(&relay, bytes).await);
        let begun = Instant::now();
        let mut first = Reading::new(chats.handle(post(STORY)).await);
        first.until("upon").await;
        let second = Reading::new(chats.handle(resume()).await);
        assert_eq!(
            chats.handle(post("And then?")).await.status(),
            StatusCode::CONFLICT
        );
        let (first, second) = tokio::join!(first.whole(), second.whole());
        assert!(begun.elapsed() < WAIT, "{:?}", begun.elapsed());
        assert_eq!(text(&first), STORY);
        assert_eq!(kinds(&first).last(), Some(&"[DONE]"));
        assert_eq!(first, second);
        // It is short enough to be replayed.
        assert_eq!(whole(chats.handle(resume()).await).await, first);
        let errors = errors.lock().unwrap().clone();
        let [error] = &errors[..] else {
            panic!("{errors:?}");
        };
        let said = format!("the entry does not fit into the memory limit of {bytes} bytes");
        assert!(error.contains(&said), "{error}");

        assert_eq!(
            text(&whole(chats.handle(post("And then?")).await).await),
            "And then?"
        );
    }
}

/// The store that the instances share has what the memory of this one has no room for.
#[tokio::test]
async fn an_answer_without_room_for_a_copy_is_read_from_the_store_without_a_pause() {
    let relay = relay(PACE);
    // The first entries fit.
    let chats = with_memory(&relay, 2_000).await;
    let (chats, errors) = logged(chats.run_log(MemoryLog::new(tokio::time::sleep)));
    let begun = Instant::now();
    let first = whole(chats.handle(post(STORY)).await).await;
    assert!(begun.elapsed() < WAIT, "{:?}", begun.elapsed());
    assert_eq!(text(&first), STORY);
    assert_eq!(*errors.lock().unwrap(), [""; 0]);
    assert_eq!(whole(chats.handle(resume()).await).await, first);
}

#[tokio::test]
async fn an_answer_without_room_can_be_stopped() {
    let relay = relay(PACE);
    let chats = with_memory(&relay, 0).await;
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    assert_eq!(chats.handle(stop()).await.status(), StatusCode::OK);
    assert!(kinds(&first.whole().await).contains(&"abort"));
}

#[tokio::test]
async fn a_late_reader_of_a_long_answer_without_room_gets_an_error_at_once() {
    let relay = relay(PACE);
    let long: Vec<String> = (0..40)
        .map(|at| format!("{at}{}", "x".repeat(20_000)))
        .collect();
    let long = long.join(" ");
    let chats = with_memory(&relay, 100_000).await;
    let mut first = Reading::new(chats.handle(post(&long)).await);
    first.until("30xx").await;
    let begun = Instant::now();
    let late = whole(chats.handle(resume()).await).await;
    assert!(begun.elapsed() < WAIT, "{:?}", begun.elapsed());
    let kinds = kinds(&late);
    assert_eq!(kinds[kinds.len() - 3..], ["error", "finish", "[DONE]"]);
    assert_eq!(text(&first.whole().await), long);
}
