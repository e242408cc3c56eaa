//! Answers that are longer than their logs: the rest is in the stored answer.

use std::time::Duration;

use twentyfirst_client::protocol::run_log::{Entry, LogId, Logged, Position};
use twentyfirst_client::run_log::{Keep, MemoryLog, RunLog};
use twentyfirst_client::{AgentClient, Session};
use twentyfirst_local_relay::LocalRelay;

use crate::support::{
    Event, STORY, builder, chats, connect, conversation, kinds, logged, post, relay, resume, text,
    whole,
};

const PACE: Duration = Duration::from_millis(30);

#[tokio::test]
async fn an_unreadable_rest_ends_with_an_error() {
    let relay = relay(PACE);
    let (client, session, log, _) = &overflown_story(&relay).await;
    let sandbox = session.sandbox_id.as_ref().unwrap();
    client.sandboxes().delete(sandbox).await.unwrap();
    let chats = chats(client, session).run_log(log.clone());
    let all = whole(chats.handle(resume()).await).await;
    assert_eq!(kinds(&all)[all.len() - 3..], ["error", "finish", "[DONE]"]);
}

#[tokio::test]
async fn the_rest_is_read_up_to_the_response_limit() {
    let relay = relay(PACE);
    let (_, session, log, all) = &overflown_story(&relay).await;
    let read_up_to = async |limit: usize| {
        let client = builder(&relay).response_limit(limit).build().unwrap();
        let (chats, errors) = logged(chats(&client, session).run_log(log.clone()));
        let events = whole(chats.handle(resume()).await).await;
        (events, errors.lock().unwrap().clone())
    };
    let (short, errors) = read_up_to(500).await;
    assert_eq!(
        kinds(&short)[short.len() - 3..],
        ["error", "finish", "[DONE]"]
    );
    assert!(!text(&short).contains("while"));
    let [error] = &errors[..] else {
        panic!("{errors:?}");
    };
    assert!(
        error.ends_with("the body is longer than 500 bytes"),
        "{error}"
    );
    let (long, errors) = read_up_to(64 * 1024).await;
    assert_eq!(text(&long), text(all));
    assert!(errors.is_empty(), "{errors:?}");
}

#[cfg(feature = "metrics")]
#[test]
fn reading_the_rest_again_is_not_a_second_run() {
    let exporter = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    metrics::with_local_recorder(&exporter, || {
        runtime.block_on(async {
            let relay = relay(PACE);
            let (client, session, log, all) = &overflown_story(&relay).await;
            let chats = chats(client, session).run_log(log.clone());
            let again = whole(chats.handle(resume()).await).await;
            assert_eq!(text(&again), text(all));
        });
    });
    let metrics = exporter.handle().render();
    let ended =
        "twentyfirst_runs_ended{gen_ai_agent_name=\"echo\",twentyfirst_run_end=\"completed\"} 1\n";
    assert!(metrics.contains(ended), "{metrics}");
}

/// A complete answer whose log has overflowed.
async fn overflown_story(relay: &LocalRelay) -> (AgentClient, Session, MemoryLog, Vec<Event>) {
    let client = connect(relay);
    let session = conversation(&client).await;
    let log = MemoryLog::new(tokio::time::sleep);
    let chats = chats(&client, &session).run_log(log.clone());
    let response = chats.handle(post(STORY)).await;
    let run = response.headers()["x-workflow-run-id"].clone();
    let all = whole(response).await;
    let log = overflown(&log, run.to_str().unwrap()).await;
    (client, session, log, all)
}

/// The logs of a run, as if there had been room for its first two blocks.
async fn overflown(log: &MemoryLog, run: &str) -> MemoryLog {
    let short = MemoryLog::new(tokio::time::sleep);
    let keep = Keep::existing(Duration::from_secs(60)).or_create();
    for id in [LogId::chat("user-1", "chat-1"), LogId::run(run)] {
        let page = log.read(&id, Position::START, 1000, Duration::ZERO).await;
        let (mut blocks, mut chunks, mut next) = (0, 0, Position::START.next_claim());
        for (_, entry) in page.unwrap().entries {
            let mut logged = Logged::decode(&entry).unwrap();
            if matches!(logged.entry, Entry::Data(_)) {
                blocks += 1;
                match blocks {
                    1 | 2 => chunks = logged.chunks_after(),
                    3 => logged = Logged::new(chunks, Entry::Overflow),
                    _ => continue,
                }
            } else if blocks > 2 {
                logged.chunks = chunks;
            }
            let appended = short.append(&id, next, logged.encode(), keep).await;
            appended.unwrap();
            next = next.next();
        }
    }
    short
}
