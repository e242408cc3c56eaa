//! A run is ended, and no other.

use twentyfirst_client::protocol::runs::{CancelStatus, MessageState};
use twentyfirst_client::protocol::threads::ThreadStatus;
use twentyfirst_client::{FollowPolicy, Run, RunEnd};

use crate::support::{Gate, STORY, Scene, each, read, read_some};

/// Checks that the run was cancelled, that its reader is told so, and that earlier content stays.
async fn assert_cancelled(scene: &Scene, run: &mut Run) {
    let outcome = run.outcome().await;
    assert!(matches!(outcome.end, RunEnd::Cancelled), "{outcome:?}");
    assert_eq!(outcome.message_state, MessageState::Partial);
    assert!(!outcome.is_success());
    assert!(run.message().await.unwrap_err().is_run_cancelled());
    assert!(STORY.starts_with(&run.message_so_far().text()));
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
            // The gate stays closed, so the run does not end by itself.
            let scene = Scene::with(Gate::new().narrator(), follow);
            let mut run = scene.run().await;
            let begun = read_some(&mut run, 30).await;
            let (cancelled, told) = tokio::join!(run.cancel(), read(&mut run));
            assert_eq!(cancelled.unwrap().status, CancelStatus::Cancelled);
            assert!(STORY.starts_with(&(begun.text() + &told.text())));
            assert_cancelled(&scene, &mut run).await;
            assert!(run.message_so_far().text().starts_with(&begun.text()));

            // A second call finds the run over, and sends nothing.
            assert_eq!(run.cancel().await.unwrap().status, CancelStatus::Idle);
            assert_eq!(scene.sent.count("DELETE stream"), 1);
        },
    )
    .await;
}
