//! A store that comes back: the last message counts, although the store knows only the one before it.

use std::time::{Duration, Instant};

use http::StatusCode;
use twentyfirst_client::backend::ChatHandler;

use crate::store::{Fault, Store};
use crate::support::{Reading, STORY, Two, kinds, post, resume, text, two_over, whole};

/// Resumes until the first answer is no longer shown, and returns the text that is shown instead, if any.
async fn resume_past(chats: &ChatHandler, first: &str) -> Option<String> {
    let begun = Instant::now();
    loop {
        let response = chats.handle(resume()).await;
        if response.status() == StatusCode::NO_CONTENT {
            return None;
        }
        let text = text(&whole(response).await);
        if text != first {
            return Some(text);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "the first answer again"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn after_an_outage_an_older_answer_is_not_shown_again() {
    let two = two_over(Store::new(Fault::None), Duration::ZERO).await;
    let Two {
        one, other, store, ..
    } = &two;
    whole(one.handle(post("Well?")).await).await;
    store.set(Fault::Down);
    let second = whole(one.handle(post(STORY)).await).await;
    store.set(Fault::None);
    // This instance shows the last answer at once, and again.
    for _ in 0..2 {
        assert_eq!(whole(one.handle(resume()).await).await, second);
        // The other instance has no log of it: its page has the stored messages.
        assert_eq!(resume_past(other, "Well?").await, None);
    }
    // The next one counts everywhere.
    let third = whole(other.handle(post("And then?")).await).await;
    assert_eq!(text(&third), "And then?");
    for chats in [one, other] {
        assert_eq!(whole(chats.handle(resume()).await).await, third);
    }
}

#[tokio::test]
async fn a_store_that_recovers_learns_the_current_turn() {
    let two = two_over(Store::new(Fault::None), Duration::from_millis(200)).await;
    let Two {
        one, other, store, ..
    } = &two;
    whole(one.handle(post("Well?")).await).await;
    store.set(Fault::Down);
    let mut first = Reading::new(one.handle(post(STORY)).await);
    first.until("Once").await;
    store.set(Fault::None);
    // The other instance waits for the stored answer.
    assert_eq!(resume_past(other, "Well?").await.as_deref(), Some(STORY));
    let first = first.whole().await;
    assert_eq!(text(&first), STORY);
    assert_eq!(kinds(&first).last(), Some(&"[DONE]"));
    assert_eq!(whole(one.handle(resume()).await).await, first);
}

#[tokio::test]
async fn a_later_message_wins_over_one_that_the_store_missed() {
    let two = two_over(Store::new(Fault::Down), Duration::ZERO).await;
    let Two {
        one, other, store, ..
    } = &two;
    whole(one.handle(post("Well?")).await).await;
    store.set(Fault::None);
    let second = whole(one.handle(post(STORY)).await).await;
    assert_eq!(text(&second), STORY);
    // Time enough for the first message to try again to become the last turn.
    tokio::time::sleep(Duration::from_millis(600)).await;
    for chats in [one, other] {
        assert_eq!(whole(chats.handle(resume()).await).await, second);
    }
}
