//! What a run comes to, however its end is learned.

use serde_json::json;
use twentyfirst_client::protocol::runs::MessageState;
use twentyfirst_client::protocol::threads::{ThreadStatus, Usage};
use twentyfirst_client::{Follow, RunEnd};
use twentyfirst_local_relay::{Agent, Fault, Run};

use crate::support::{STORY, Scene, each, last_answer, lost, ms, narrator, read};

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
async fn a_run_that_fails_is_failed_and_has_not_the_answer_of_an_earlier_turn() {
    each(
        [
            (Follow::wait(), 0),
            (Follow::live(), 0),
            (Follow::off(), 0),
            (Follow::wait(), 1),
            (Follow::live(), 1),
        ],
        |(follow, cuts)| async move {
            let scene = Scene::with(fickle(), follow);
            let mut first = scene.run().await;
            scene.assert_whole(&mut first).await;

            let cut = scene.inject(Fault::cut_after(400).times(cuts));
            let again = first.run_ref().session().run("And then?");
            let mut run = scene.client.threads().run(again).await.unwrap();
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
            assert_eq!(run.message_so_far().text(), told.text(), "what came stays");
            assert_ne!(run.message_so_far().id, first.message_so_far().id);
            assert_eq!(scene.sent.count("POST chat"), 2);
            assert_eq!(scene.sent.count("POST sandbox"), 1);
        },
    )
    .await;
}

#[tokio::test]
async fn a_run_that_cannot_be_stored_has_a_message_and_has_failed() {
    each(
        [
            (Follow::wait(), 0),
            (Follow::live(), 0),
            (Follow::off(), 0),
            (Follow::wait(), 1),
        ],
        |(follow, cuts)| async move {
            let scene = Scene::with(narrator(), follow);
            let fault = scene.inject(Fault::fail_to_store());
            let cut = scene.inject(Fault::cut_after(400).times(cuts));
            let mut run = scene.run().await;
            let message = run.message().await;
            let outcome = run.outcome().await;
            assert_eq!((fault.struck(), cut.struck()), (1, cuts));
            let text = failure(&outcome.end);
            assert!(text.starts_with("sandbox_error: Failed query"), "{text}");
            match cuts {
                0 => assert_eq!(message.unwrap().text(), STORY),
                _ => assert!(message.unwrap_err().is_run_failed()),
            }
            assert!(STORY.starts_with(&run.message_so_far().text()));
            assert_eq!(scene.thread(&run).await.status, ThreadStatus::Error);
            scene.sent.assert_once();
        },
    )
    .await;
}

/// Comes to one of its limits, and says what it has used.
fn limited() -> Agent {
    Agent::new(async |run: Run| {
        run.say(STORY).await;
        let mut usage = Usage::default();
        usage.total_cost_usd = Some(0.25);
        usage.output_tokens = Some(31);
        run.set_usage(usage);
        run.set_result_subtype("error_max_turns");
        Ok(())
    })
}

#[tokio::test]
async fn a_limit_is_an_end_that_is_no_success_and_what_it_cost_is_known() {
    each(
        [
            (Follow::wait(), 0),
            (Follow::wait(), 1),
            (Follow::live(), 1),
        ],
        |(follow, cuts)| async move {
            let scene = Scene::with(limited().pace(ms(10)), follow);
            let cut = scene.inject(Fault::cut_after(400).times(cuts));
            let mut run = scene.run().await;
            read(&mut run).await;
            assert_eq!(cut.struck(), cuts);
            let outcome = run.outcome().await;
            assert!(matches!(outcome.end, RunEnd::Completed), "{outcome:?}");
            assert!(!outcome.is_success());
            assert_eq!(outcome.result_subtype.as_deref(), Some("error_max_turns"));
            assert_eq!(outcome.usage.total_cost_usd, Some(0.25));
            assert_eq!(outcome.usage.output_tokens, Some(31));
            assert_eq!(outcome.message_state, MessageState::Whole);
            assert_eq!(run.message().await.unwrap(), scene.stored(&run).await);
            scene.sent.assert_once();
        },
    )
    .await;
}

/// Calls two tools at once; the second one is done first.
fn parallel() -> Agent {
    Agent::new(async |run: Run| {
        run.say("Two things at once.").await;
        let first = run.call_tool("Bash", json!({ "command": "sleep 1" })).await;
        let second = run
            .call_tool("Read", json!({ "path": "/home/user/a" }))
            .await;
        tokio::time::sleep(ms(300)).await;
        second.error("there is no such file").await;
        first.output(json!({ "exitCode": 0 })).await;
        run.say("Done, as far as possible.").await;
        Ok(())
    })
}

#[tokio::test]
async fn tools_that_ran_behind_a_cut_are_in_the_message() {
    // Behind the text, within each input, behind both, behind one result.
    each([400, 530, 700, 900, 1100, 1200], |bytes| async move {
        for follow in [Follow::wait(), Follow::live()] {
            let scene = Scene::with(parallel().pace(ms(5)), follow);
            let cut = scene.inject(Fault::cut_after(bytes));
            let mut run = scene.run().await;
            let told = read(&mut run).await;
            assert_eq!(cut.struck(), 1);
            told.assert_of("Two things at once.Done, as far as possible.");
            scene.assert_whole(&mut run).await;
            assert_eq!(run.message_so_far().tool_calls().count(), 2);
        }
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_not_followed_is_stored_all_the_same() {
    let scene = Scene::new(Follow::off());
    let cut = scene.inject(Fault::cut_after(0));
    let mut run = scene.run().await;
    let error = run.text().await.unwrap_err();
    assert_eq!(cut.struck(), 1);
    assert!(error.is_run_lost());
    assert_eq!(
        lost(&run.outcome().await).thread_id(),
        run.thread_id(),
        "where to look for it"
    );
    let thread = scene.over(run.sandbox_id(), run.thread_id()).await;
    assert_eq!(last_answer(thread).text(), STORY);
}
