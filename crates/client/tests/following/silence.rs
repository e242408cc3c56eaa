//! Nothing comes any more, and the connection stays open.

use std::time::Instant;

use twentyfirst_client::Follow;
use twentyfirst_client::protocol::runs::{CancelStatus, LostReason, MessageState};
use twentyfirst_client::protocol::threads::ThreadStatus;
use twentyfirst_local_relay::{After, Agent, Fault, Run};

use crate::support::{STORY, Scene, each, lost, ms, read, relay};

/// A tool that takes long.
fn thoughtful() -> Agent {
    Agent::new(async |run: Run| {
        run.say("Let me think.").await;
        tokio::time::sleep(ms(1500)).await;
        run.say(" Yes.").await;
        Ok(())
    })
}

#[tokio::test]
async fn silence_is_not_a_cut() {
    each(
        [Follow::wait(), Follow::live(), Follow::off()],
        |follow| async move {
            let scene = Scene::with(thoughtful(), follow.ask_after(ms(200)));
            let mut run = scene.run().await;
            let told = read(&mut run).await;
            assert_eq!(told.outline(), "start, chunks, finish");
            assert_eq!(told.text(), "Let me think. Yes.");
            // After 0.2, 0.6 and 1.4 s.
            let asked = told.asked(ThreadStatus::Streaming);
            assert!((2..=3).contains(&asked), "{told:#?}");
            assert_eq!(scene.sent.count("GET threads"), asked);
            assert_eq!(scene.sent.count("GET stream"), 0);
            scene.assert_whole(&mut run).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_stream_that_fell_silent_is_left_when_its_run_is_over() {
    let follow = |follow: Follow| async move {
        let scene = Scene::new(follow.ask_after(ms(300)));
        let silence = scene.inject(Fault::silence_after(350));
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!(silence.struck(), 1);
        assert_eq!(told.text(), STORY);
        assert_eq!(told.outline(), "start, chunks, finish");
        assert!(told.asked(ThreadStatus::Completed) > 0);
        scene.assert_whole(&mut run).await;
    };
    // `finish` has come, `[DONE]` does not.
    let endless = |follow: Follow| async move {
        let relay = relay().agent("narrator", crate::support::narrator());
        let scene = Scene::of(relay.done_delay(ms(60_000)), follow);
        let mut run = scene.run().await;
        let begun = Instant::now();
        assert_eq!(run.message().await.unwrap().text(), STORY);
        assert!(begun.elapsed() < ms(5000), "nobody waits for the end");
        scene.assert_whole(&mut run).await;
        assert!(begun.elapsed() > ms(9000));
    };
    // Both take 10 s, which is how long the rest may take that a relay has said.
    tokio::join!(
        follow(Follow::wait()),
        follow(Follow::live()),
        endless(Follow::wait()),
        endless(Follow::off()),
    );
}

#[tokio::test]
async fn a_dead_runtime_is_lost_in_time_and_cancelling_frees_its_thread() {
    let dead = |follow: Follow| async move {
        let scene = Scene::new(follow.ask_after(ms(150)).lost_after(ms(900)));
        let death = scene.inject(Fault::dead_runtime_after(After::Events(8)));
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!(death.struck(), 1);
        told.assert_of(STORY);
        assert_eq!(told.outline(), "start, chunks");
        assert!(told.asked(ThreadStatus::Streaming) > 1);

        let outcome = run.outcome().await;
        assert_eq!(lost(&outcome).reason(), LostReason::Silence);
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
            .run(again)
            .await
            .unwrap()
            .text()
            .await;
        assert_eq!(text.unwrap(), STORY);
    };
    tokio::join!(
        dead(Follow::wait()),
        dead(Follow::live()),
        dead(Follow::off())
    );
}

#[tokio::test]
async fn a_dead_runtime_is_lost_also_behind_a_cut() {
    let dead = |follow: Follow| async move {
        let scene = Scene::new(follow.ask_after(ms(150)).lost_after(ms(1200)));
        let death = scene.inject(Fault::dead_runtime_after(After::Events(8)));
        let cut = scene.inject(Fault::cut_after(ms(400)));
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!((death.struck(), cut.struck()), (1, 1));
        told.assert_of(STORY);
        assert_eq!(lost(&run.outcome().await).reason(), LostReason::Silence);
        scene.sent.assert_once();
        let cancelled = run.cancel().await.unwrap();
        assert_eq!(cancelled.status, CancelStatus::Cancelled);
    };
    tokio::join!(dead(Follow::wait()), dead(Follow::live()));
}

#[tokio::test]
async fn following_ends_at_its_deadline() {
    each([Follow::wait(), Follow::live()], |follow| async move {
        let scene = Scene::with(thoughtful(), follow.deadline(ms(400)));
        let mut run = scene.run().await;
        let begun = Instant::now();
        let told = read(&mut run).await;
        assert!(begun.elapsed() >= ms(390) && begun.elapsed() < ms(1400));
        assert_eq!(told.text(), "Let me think.");
        assert_eq!(lost(&run.outcome().await).reason(), LostReason::Deadline);
        assert!(run.message().await.unwrap_err().is_timeout());
        // The run goes on.
        let thread = scene.over(run.sandbox_id(), run.thread_id()).await;
        assert_eq!(thread.status, ThreadStatus::Completed);
    })
    .await;
}
