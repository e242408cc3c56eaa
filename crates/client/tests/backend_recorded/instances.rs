//! Several instances with one store.

use std::time::{Duration, Instant};

use twentyfirst_client::run_log::MemoryLog;

use crate::support::{
    Reading, STORY, Two, chats, connect, conversation, kinds, post, relay, resume, runtime, stop,
    text, two, whole,
};

const PACE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn another_instance_replays_from_the_start() {
    let Two { one, other, .. } = &two(PACE).await;
    let mut first = Reading::new(one.handle(post(STORY)).await);
    first.until("upon").await;
    let second = whole(other.handle(resume()).await).await;
    assert_eq!(second, first.whole().await);
    assert_eq!(text(&second), STORY);
}

#[tokio::test]
async fn another_instance_stops_the_run() {
    let Two { one, other, .. } = &two(PACE).await;
    let mut first = Reading::new(one.handle(post(STORY)).await);
    first.until("upon").await;
    assert_eq!(other.handle(stop()).await.status(), 200);
    let first = first.whole().await;
    assert!(kinds(&first).contains(&"abort"));
    assert_eq!(whole(other.handle(resume()).await).await, first);
}

#[tokio::test]
async fn a_deploy_hands_over_at_once() {
    // The answer takes more than 5 s.
    let Two { one, other, .. } = &two(Duration::from_millis(300)).await;
    let mut first = Reading::new(one.handle(post(STORY)).await);
    first.until("Once").await;
    let second = Reading::new(other.handle(resume()).await);
    let begun = Instant::now();
    assert_eq!(one.drain(Duration::from_secs(30)).await, 0);
    let drained = begun.elapsed();
    assert!(drained < Duration::from_secs(4), "{drained:?}");
    let second = second.whole().await;
    assert_eq!(text(&second), STORY);
    // A run that was not released is taken over after 15 s of silence.
    let taken_over = begun.elapsed();
    assert!(taken_over < Duration::from_secs(15), "{taken_over:?}");
    // Who was connected to the old instance reads on there.
    assert_eq!(first.whole().await, second);
}

#[test]
fn another_instance_takes_over_when_one_has_died() {
    let relay = relay(PACE);
    let (dying, living) = (runtime(), runtime());
    let client = connect(&relay);
    let session = living.block_on(conversation(&client));
    let log = MemoryLog::new(tokio::time::sleep);
    let one = chats(&connect(&relay), &session).run_log(log.clone());
    let seen = dying.block_on(async {
        let mut first = Reading::new(one.handle(post(STORY)).await);
        first.until("upon").await;
        first.so_far()
    });
    dying.shutdown_background();
    let other = chats(&client, &session).run_log(log);
    let second = living.block_on(async { whole(other.handle(resume()).await).await });
    assert_eq!(second[..seen.len()], seen[..]);
    assert_eq!(text(&second), STORY);
    assert_eq!(kinds(&second).last(), Some(&"[DONE]"));
}
