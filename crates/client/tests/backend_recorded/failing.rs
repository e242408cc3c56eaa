//! Stores that fail, logs that cannot be read, and answers that are too long for one.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use twentyfirst_client::backend::{ChatRun, TurnOrder};
use twentyfirst_client::protocol::run_log::{Claim, Entry, Logged, Turn};
use twentyfirst_client::run_log::{Keep, LogId, MemoryLog, Position, RunLog};

use crate::store::{Fault, Store};
use crate::support::{
    Reading, STORY, Two, chats, chats_with, connect, conversation, kinds, logged, post, relay,
    resume, stop, text, two, whole,
};

const PACE: Duration = Duration::from_millis(30);

#[tokio::test]
async fn runs_go_on_while_the_store_is_down_from_the_start() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let store = Store::new(Fault::Down);
    let chats = chats(&client, &conversation(&client).await).run_log(store);
    let (chats, errors) = logged(chats);
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    // On this instance it replays all the same.
    let second = whole(chats.handle(resume()).await).await;
    assert_eq!(first.whole().await, second);
    assert_eq!(text(&second), STORY);
    let errors = errors.lock().unwrap().clone();
    assert_eq!(
        errors,
        [
            "the answer goes on, but other instances cannot replay it <- the store of the log is unavailable <- the cable was pulled"
        ]
    );
}

#[tokio::test]
async fn runs_go_on_when_the_store_goes_down_in_the_middle() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let store = Store::new(Fault::None);
    let chats = chats(&client, &conversation(&client).await).run_log(store.clone());
    let (chats, errors) = logged(chats);
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    store.set(Fault::Down);
    assert_eq!(text(&first.whole().await), STORY);
    assert_eq!(errors.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn runs_go_on_when_a_log_vanishes_and_it_is_not_created_again() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let store = Store::new(Fault::None);
    let chats = chats(&client, &conversation(&client).await).run_log(store.clone());
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    store.set(Fault::Vanished);
    assert_eq!(text(&first.whole().await), STORY);
}

#[tokio::test]
async fn one_of_two_concurrent_messages_is_sent() {
    let Two {
        one,
        other,
        client,
        session,
        ..
    } = &two(PACE).await;
    let (first, second) = tokio::join!(one.handle(post(STORY)), other.handle(post("And then?")));
    let (sent, refused) = match first.status() {
        StatusCode::OK => (first, second),
        _ => (second, first),
    };
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    whole(sent).await;
    let messages = client
        .threads()
        .get(
            session.sandbox_id.as_ref().unwrap(),
            session.thread_id.as_ref().unwrap(),
        )
        .await
        .unwrap()
        .into_ui_messages();
    let questions = messages
        .iter()
        .filter(|message| message.role == twentyfirst_client::protocol::ui::Role::User);
    assert_eq!(questions.count(), 1, "nothing was stored of the other");
}

#[tokio::test]
async fn a_turn_of_a_newer_version_blocks_no_chat() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = MemoryLog::new(tokio::time::sleep);
    let keep = Keep::existing(Duration::from_secs(60)).or_create();
    let chat = LogId::chat("user-1", "chat-1");
    let claim = Position::START.next_claim();
    let newer = Bytes::from_static(b"21st/2 turn 0 whatever\n");
    log.append(&chat, claim, newer.clone(), keep).await.unwrap();
    let (chats, errors) = logged(chats(&client, &session).run_log(log.clone()));
    let mut first = Reading::new(chats.handle(post(STORY)).await);
    first.until("upon").await;
    // The entry of the newer version stays, and this instance replays its own answer.
    let second = whole(chats.handle(resume()).await).await;
    assert_eq!(first.whole().await, second);
    assert_eq!(text(&second), STORY);
    assert_eq!(log.last(&chat).await.unwrap(), Some((claim, newer)));
    let errors = errors.lock().unwrap().clone();
    let [error] = &errors[..] else {
        panic!("{errors:?}");
    };
    assert!(error.contains("version 2"), "{error}");
}

#[tokio::test]
async fn a_queue_with_a_turn_of_a_newer_version_refuses_a_message_and_says_so() {
    let relay = relay(PACE);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = MemoryLog::new(tokio::time::sleep);
    let keep = Keep::existing(Duration::from_secs(60)).or_create();
    let (chat, run) = (LogId::chat("user-1", "chat-1"), LogId::run("run-1"));
    let first = Position::START.next_claim();
    let newer = Bytes::from_static(b"21st/2 turn 0 whatever\n");
    log.append(&chat, first, newer, keep).await.unwrap();
    // Behind it, another server is giving an answer.
    let turn = Logged::new(0, Entry::Turn(Turn::new("run-1"))).encode();
    let second = first.next_claim();
    log.append(&chat, second, turn, keep).await.unwrap();
    let claim = Claim::new("other", "user-1", "chat-1");
    let claim = Logged::new(0, Entry::Claim(claim)).encode();
    log.append(&run, first, claim, keep).await.unwrap();

    let enqueue = |run: ChatRun| run.turn_order(TurnOrder::enqueue());
    let chats = chats_with(&client, &session, enqueue).run_log(log.clone());
    let (chats, errors) = logged(chats);
    let refused = chats.handle(post(STORY)).await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = refused.into_body().collect_up_to(1000).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains("cannot read the log of the chat"), "{body}");
    let errors = errors.lock().unwrap().clone();
    let [error] = &errors[..] else {
        panic!("{errors:?}");
    };
    assert!(
        error.contains("refused") && error.contains("version 2"),
        "{error}"
    );
    // No turn was taken.
    assert_eq!(log.last(&chat).await.unwrap().unwrap().0, second);
}

#[tokio::test]
async fn a_log_of_a_newer_version_is_reported_and_not_shown_in_part() {
    let relay = relay(Duration::ZERO);
    let client = connect(&relay);
    let session = conversation(&client).await;
    let log = MemoryLog::new(tokio::time::sleep);
    let keep = Keep::existing(Duration::from_secs(60)).or_create();
    let claim = Position::START.next_claim();
    let entry = |entry| Logged::new(0, entry).encode();
    let run = LogId::run("run-1");
    let run_ref = session.current_run().unwrap();
    for (log_id, at, entry) in [
        (
            &LogId::chat("user-1", "chat-1"),
            claim,
            entry(Entry::Turn(Turn::new("run-1"))),
        ),
        (
            &run,
            claim,
            entry(Entry::Claim(Claim::new("other", "user-1", "chat-1"))),
        ),
        (&run, claim.next(), entry(Entry::Started(run_ref))),
        (
            &run,
            claim.next().next(),
            Bytes::from_static(b"21st/2 data 0 whatever\n"),
        ),
        (&run, claim.next().next().next(), entry(Entry::Beat)),
    ] {
        log.append(log_id, at, entry, keep).await.unwrap();
    }
    let (chats, errors) = logged(chats(&client, &session).run_log(log));
    let events = whole(chats.handle(resume()).await).await;
    assert_eq!(kinds(&events), ["error", "finish", "[DONE]"]);
    assert_eq!(
        events[0].data["errorText"],
        "this answer cannot be replayed here"
    );
    let errors = errors.lock().unwrap().clone();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].contains("version 2") && errors[0].contains("update it"),
        "{errors:?}"
    );
    // It can be stopped all the same.
    assert_eq!(chats.handle(stop()).await.status(), 200);
}
