//! A run is ended, and no other.

use twentyfirst_client::protocol::runs::{CancelStatus, MessageState};
use twentyfirst_client::protocol::threads::ThreadStatus;
use twentyfirst_client::{FollowPolicy, Run, RunEnd};

use crate::support::{STORY, Scene, each, read, read_some};

/// Checks that the run was cancelled, that its reader sees so, and that earlier content stays.
async fn assert_cancelled(scene: &Scene, run: &mut Run) {
    let outcome = run.outcome().await;
    assert!(matches!(outcome.end, RunEnd::Cancelled), "{outcome:?}");
    assert_eq!(outcome.message_state, MessageState::Partial);
    assert!(!outcome.is_success());
    assert!(run.message().await.unwrap_err().is_run_cancelled());
    // Who has joined late has not seen its beginning.
    assert!(STORY.contains(&run.message_so_far().text()));
    let thread = scene.thread(run).await;
    assert_eq!(thread.status, ThreadStatus::Cancelled);
    assert_eq!(thread.messages, None, "nothing of it is stored");
    scene.sent.assert_once();
}

#[tokio::test]
async fn a_run_is_cancelled_while_it_is_read() {
    each(
        [
            FollowPolicy::wait(),
            FollowPolicy::live(),
            FollowPolicy::off(),
        ],
        |follow| async move {
            let scene = Scene::new(follow);
            let mut run = scene.run().await;
            let begun = read_some(&mut run, 30).await;
            let (cancelled, told) = tokio::join!(run.cancel(), read(&mut run));
            assert_eq!(cancelled.unwrap().status, CancelStatus::Cancelled);
            assert!(STORY.starts_with(&(begun.text() + &told.text())));
            assert_cancelled(&scene, &mut run).await;
            assert!(run.message_so_far().text().starts_with(&begun.text()));

            // It is over, and is so a second time.
            assert_eq!(run.cancel().await.unwrap().status, CancelStatus::Idle);
            assert_eq!(scene.sent.count("DELETE stream"), 1);
        },
    )
    .await;
}
