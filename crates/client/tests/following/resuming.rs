//! Another stream of the run: replayed, joined in the middle, or refused.

use serde_json::json;
use twentyfirst_client::protocol::http::StatusCode;
use twentyfirst_client::protocol::runs::{MessageState, ResumeStream};
use twentyfirst_client::protocol::threads::{ListThreads, ThreadStatus};
use twentyfirst_client::protocol::ui::{Part, Role};
use twentyfirst_client::{Follow, RunEnd};
use twentyfirst_local_relay::{After, Agent, Fault, Run};

use crate::support::{STORY, Scene, each, ms, narrator, read, relay};

#[tokio::test]
async fn a_replay_goes_on_in_the_middle_of_a_part() {
    each([517, 790, 1234], |bytes| async move {
        let scene = Scene::new(Follow::live());
        let cut = scene.inject(Fault::cut_after(bytes));
        let replay = scene.inject(Fault::replay_on_resume());
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!((cut.struck(), replay.struck()), (1, 1));
        assert_eq!(
            told.outline(),
            "start, chunks, cut, resumed, chunks, finish"
        );
        assert_eq!(
            told.text(),
            STORY,
            "nothing is missing, nothing comes twice"
        );
        assert_eq!(told.text_ids().len(), 1, "it is the same part");
        scene.assert_whole(&mut run).await;
    })
    .await;
}

/// Calls a tool that takes a while.
fn curious() -> Agent {
    Agent::new(async |run: Run| {
        run.say("Let me have a look around.").await;
        let call = run
            .call_tool("Bash", json!({ "command": "ls -l /home/user" }))
            .await;
        tokio::time::sleep(ms(400)).await;
        call.output(json!({ "stdout": "a.txt" })).await;
        run.say("There is one file.").await;
        Ok(())
    })
}

#[tokio::test]
async fn a_replay_goes_on_in_the_middle_of_a_tool_call() {
    // Within the input and behind it.
    each([800, 900, 1000, 1200], |bytes| async move {
        let scene = Scene::with(curious().pace(ms(30)), Follow::live());
        let cut = scene.inject(Fault::cut_after(bytes));
        let replay = scene.inject(Fault::replay_on_resume());
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!((cut.struck(), replay.struck()), (1, 1));
        assert_eq!(
            told.outline(),
            "start, chunks, cut, resumed, chunks, finish"
        );
        assert_eq!(told.text(), "Let me have a look around.There is one file.");
        scene.assert_whole(&mut run).await;
        let call = run.message_so_far().tool_calls().next().unwrap();
        assert_eq!(call.output.as_ref().unwrap().get(), r#"{"stdout":"a.txt"}"#);
    })
    .await;
}

#[tokio::test]
async fn who_joins_in_the_middle_is_told_of_the_gap_and_has_everything_in_the_end() {
    // What comes live, and what the relay holds back until the end.
    each([ms(0), ms(300)], |hold_back| async move {
        let builder = relay().agent("narrator", narrator()).hold_back(hold_back);
        let scene = Scene::of(builder, Follow::live());
        let cut = scene.inject(Fault::cut_after(400));
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!(cut.struck(), 1);
        assert_eq!(
            told.outline(),
            "start, chunks, cut, resumed, gap, chunks, finish"
        );
        told.assert_of(STORY);
        let pieces = told.pieces();
        assert!(pieces.iter().all(|piece| !piece.is_empty()), "{pieces:?}");
        scene.assert_whole(&mut run).await;
        assert_eq!(run.message_so_far().text(), STORY);
    })
    .await;
}

#[tokio::test]
async fn where_nothing_can_be_resumed_the_end_is_waited_for() {
    let scene = Scene::new(Follow::live());
    let cut = scene.inject(Fault::cut_after(350));
    let nothing = scene.inject(Fault::nothing_on_resume().always());
    let mut run = scene.run().await;
    let told = read(&mut run).await;
    assert_eq!(cut.struck(), 1);
    assert_eq!(nothing.struck(), 1, "it is not asked for again");
    assert_eq!(told.outline(), "start, chunks, cut, chunks, finish");
    assert_eq!(told.text(), STORY);
    scene.assert_whole(&mut run).await;
}

#[tokio::test]
async fn a_resume_that_is_refused_is_tried_again_or_done_without() {
    let refused = |status: u16, retry_after: Option<u64>| async move {
        let scene = Scene::new(Follow::live());
        let cut = scene.inject(Fault::cut_after(350));
        let mut refusal = Fault::refuse(status.try_into().unwrap()).on::<ResumeStream>();
        if let Some(seconds) = retry_after {
            refusal = refusal.retry_after(ms(seconds * 1000));
        }
        let refusal = scene.inject(refusal);
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!((cut.struck(), refusal.struck()), (1, 1));
        told.assert_of(STORY);
        assert!(told.text().ends_with("that answer."));
        scene.assert_whole(&mut run).await;
    };
    tokio::join!(
        refused(429, None),
        refused(500, None),
        refused(503, None),
        refused(429, Some(1)),
        refused(500, Some(1)),
        refused(503, Some(1)),
        refused(404, None),
    );
}

#[tokio::test]
async fn what_was_delivered_stays_though_the_reader_who_joined_has_stored_its_tail() {
    let scene = Scene::new(Follow::live());
    let cut = scene.inject(Fault::cut_after(700));
    let race = scene.inject(Fault::joined_reader_stores());
    let mut run = scene.run().await;
    let told = read(&mut run).await;
    assert_eq!((cut.struck(), race.struck()), (1, 1));
    told.assert_of(STORY);

    let outcome = run.outcome().await;
    assert!(matches!(outcome.end, RunEnd::Completed), "{outcome:?}");
    assert_eq!(outcome.message_state, MessageState::StoredIncompletely);
    let message = run.message().await.unwrap();
    assert_eq!(message.text(), told.text());
    assert!(message.text().starts_with("Once upon a time"));
    assert!(message.text().ends_with("that answer."));

    let thread = scene.thread(&run).await;
    assert_eq!(thread.status, ThreadStatus::Completed);
    let stored: Vec<_> = thread.ui_messages().collect();
    assert_eq!(stored.len(), 1, "the user's message is lost");
    assert_eq!(stored[0].role, Role::Assistant);
    assert!(!stored[0].text().contains("Once"));
    assert!(message.text().ends_with(&stored[0].text()));
    scene.sent.assert_once();
}

#[tokio::test]
async fn a_stored_tail_is_not_called_whole_though_it_holds_all_that_came() {
    let scene = Scene::with(narrator().pace(ms(60)), Follow::live());
    // Not a word has come before the cut, and a second of them is missed behind it.
    let cut = scene.inject(Fault::cut_after(After::Events(2)));
    let busy = Fault::refuse(StatusCode::SERVICE_UNAVAILABLE).on::<ListThreads>();
    let busy = scene.inject(busy.retry_after(ms(1000)));
    let race = scene.inject(Fault::joined_reader_stores());
    let mut run = scene.run().await;
    let told = read(&mut run).await;
    assert_eq!((cut.struck(), busy.struck(), race.struck()), (1, 1, 1));
    told.assert_of(STORY);
    assert!(!told.text().contains("Once") && told.pieces().len() == 2);
    let outcome = run.outcome().await;
    assert!(matches!(outcome.end, RunEnd::Completed), "{outcome:?}");
    assert_eq!(outcome.message_state, MessageState::StoredIncompletely);
    assert_eq!(run.message().await.unwrap().text(), told.text());
}

#[tokio::test]
async fn a_replay_of_almost_nothing_is_told_as_a_gap() {
    // Only `start`, and `Once `, which anybody could say.
    each([76, 350], |bytes| async move {
        let scene = Scene::new(Follow::live());
        let cut = scene.inject(Fault::cut_after(bytes));
        let replay = scene.inject(Fault::replay_on_resume());
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!((cut.struck(), replay.struck()), (1, 1));
        told.assert_of(STORY);
        scene.assert_whole(&mut run).await;
        assert_eq!(run.message_so_far().text(), STORY);
        let texts = run.message_so_far().parts.iter();
        let texts = texts.filter(|part| matches!(part, Part::Text(_)));
        assert_eq!(texts.count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_another_run_has_is_not_joined() {
    let scene = Scene::new(Follow::live());
    let cut = scene.inject(Fault::cut_after(350));
    let mut run = scene.run().await;
    // A newer thread of the same sandbox.
    let other = run.run_ref().session().new_thread().run("Another story");
    let other = scene
        .client
        .threads()
        .run_in_background(other)
        .await
        .unwrap();
    let told = read(&mut run).await;
    assert_eq!(cut.struck(), 1);
    assert_eq!(told.outline(), "start, chunks, cut, chunks, finish");
    assert_eq!(told.text(), STORY);
    assert_eq!(scene.sent.count("GET stream"), 0, "it waited");
    assert!(run.outcome().await.is_success());
    let stored = scene.stored(&run).await;
    assert_eq!(run.message_so_far(), &stored);

    let other = scene
        .over(&other.run.sandbox_id, &other.run.thread_id)
        .await;
    assert_eq!(other.status, ThreadStatus::Completed);
}

#[tokio::test]
async fn an_event_that_is_not_a_chunk_leaves_a_gap_and_no_more() {
    each(
        [
            ("{", Follow::wait()),
            ("{}", Follow::live()),
            ("[1,2]", Follow::off()),
            ("\"start\"", Follow::wait()),
        ],
        |(data, follow)| async move {
            let scene = Scene::new(follow);
            let malformed = scene.inject(Fault::event_after(400, data));
            let mut run = scene.run().await;
            let told = read(&mut run).await;
            assert_eq!(malformed.struck(), 1);
            assert_eq!(
                told.outline(),
                "start, chunks, not a chunk, gap, chunks, finish"
            );
            assert_eq!(told.text(), STORY);
            scene.assert_whole(&mut run).await;

            let malformed = scene.inject(Fault::event_after(400, data));
            let mut run = scene.run().await;
            let (mut chunks, mut errors) = (0, Vec::new());
            while let Some(chunk) = run.next_chunk().await {
                match chunk {
                    Ok(_) => chunks += 1,
                    Err(error) => errors.push(error.to_string()),
                }
            }
            assert_eq!(malformed.struck(), 1);
            assert_eq!(errors, ["an event of the stream is not a chunk"]);
            assert!(chunks > 20, "it went on");
            assert_eq!(run.text().await.unwrap(), STORY);
        },
    )
    .await;
}
