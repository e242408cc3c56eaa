//! Streams that fall silent while their connections stay open.

use twentyfirst_client::FollowPolicy;
use twentyfirst_client::protocol::runs::{CancelStatus, LostReason, MessageState};
use twentyfirst_client::protocol::threads::ThreadStatus;
use twentyfirst_local_relay::{After, Fault};

use crate::support::{STORY, Scene, lost, ms, read};

#[tokio::test]
async fn a_dead_runtime_is_lost_in_time_and_cancelling_frees_its_thread() {
    let dead = |follow: FollowPolicy| async move {
        let scene = Scene::new(follow.ask_after(ms(150)).lost_after(ms(3_000)));
        let death = scene.inject(Fault::dead_runtime_after(After::Events(8)));
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!(death.struck(), 1);
        told.assert_of(STORY);
        assert_eq!(told.outline(), "start, chunks");
        assert!(told.asked(ThreadStatus::Streaming) > 1);

        let outcome = run.outcome().await;
        assert_eq!(lost(&outcome).reason, LostReason::Silence);
        assert_eq!(outcome.message_state, MessageState::Partial);
        let error = run.message().await.unwrap_err();
        assert!(error.is_run_lost() && error.is_timeout());
        let advice = error.to_string();
        assert!(advice.contains(run.thread_id().as_str()), "{advice}");
        assert!(advice.contains("only cancelling it frees"), "{advice}");
        assert_eq!(run.message_so_far().text(), told.text());
        scene.sent.assert_once();

        assert!(scene.thread(&run).await.is_streaming());
        let cancelled = run.cancel().await.unwrap();
        assert_eq!(cancelled.status, CancelStatus::Cancelled);
        assert_eq!(scene.thread(&run).await.status, ThreadStatus::Cancelled);
        let again = run.run_ref().session().run("Once more");
        let text = scene
            .client
            .threads()
            .start(again)
            .await
            .unwrap()
            .text()
            .await;
        assert_eq!(text.unwrap(), STORY);
    };
    tokio::join!(
        dead(FollowPolicy::wait()),
        dead(FollowPolicy::live()),
        dead(FollowPolicy::off())
    );
}
