//! Outcomes of runs that failed, or that were not followed.

use twentyfirst_client::protocol::runs::MessageState;
use twentyfirst_client::{FollowPolicy, RunEnd};
use twentyfirst_local_relay::{Agent, Fault, Run};

use crate::support::{STORY, Scene, each, last_answer, lost, ms, read};

/// Answers the first turn of a thread, and fails at the next.
fn fickle() -> Agent {
    Agent::new(async |run: Run| {
        run.say(STORY).await;
        match run.history().is_empty() {
            true => Ok(()),
            false => Err("the model is overloaded".into()),
        }
    })
    .pace(ms(8))
}

fn failure(end: &RunEnd) -> &str {
    match end {
        RunEnd::Failed(text) => text,
        other => panic!("it has not failed: {other:?}"),
    }
}

#[tokio::test]
async fn a_failed_run_does_not_get_the_answer_of_an_earlier_turn() {
    each(
        [
            (FollowPolicy::wait(), 0),
            (FollowPolicy::live(), 0),
            (FollowPolicy::off(), 0),
            (FollowPolicy::wait(), 1),
            (FollowPolicy::live(), 1),
        ],
        |(follow, cuts)| async move {
            let scene = Scene::with(fickle(), follow);
            let mut first = scene.run().await;
            scene.assert_whole(&mut first).await;

            let cut = scene.inject(Fault::cut_after(400).times(cuts));
            let again = first.run_ref().session().run("And then?");
            let mut run = scene.client.threads().start(again).await.unwrap();
            let told = read(&mut run).await;
            assert_eq!(cut.struck(), cuts);
            told.assert_of(STORY);
            let outcome = run.outcome().await;
            let text = failure(&outcome.end);
            assert!(text.contains("the model is overloaded"), "{text}");
            assert_eq!(outcome.message_state, MessageState::Partial);
            assert!(!outcome.is_success());
            let error = run.message().await.unwrap_err();
            assert!(error.is_run_failed(), "{error}");
            assert!(error.to_string().contains("the model is overloaded"));
            assert_eq!(run.message_so_far().text(), told.text(), "nothing is lost");
            assert_ne!(run.message_so_far().id, first.message_so_far().id);
            assert_eq!(scene.sent.count("POST chat"), 2);
            assert_eq!(scene.sent.count("POST sandbox"), 1);
        },
    )
    .await;
}

#[tokio::test]
async fn a_run_that_is_not_followed_is_stored_all_the_same() {
    let scene = Scene::new(FollowPolicy::off());
    let cut = scene.inject(Fault::cut_after(0));
    let mut run = scene.run().await;
    let error = run.text().await.unwrap_err();
    assert_eq!(cut.struck(), 1);
    assert!(error.is_run_lost());
    assert_eq!(
        &lost(&run.outcome().await).thread_id,
        run.thread_id(),
        "where to look for it"
    );
    let thread = scene.over(run.sandbox_id(), run.thread_id()).await;
    assert_eq!(last_answer(thread).text(), STORY);
}
