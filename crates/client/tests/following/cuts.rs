//! The stream breaks off, or ends before the run does.

use twentyfirst_client::Follow;
use twentyfirst_client::protocol::runs::{LostReason, MessageState};
use twentyfirst_client::protocol::threads::ThreadStatus;
use twentyfirst_local_relay::{After, Fault};

use crate::support::{STORY, Scene, each, lost, ms, narrator, pause, read, relay};

/// With nothing of the body, within events and behind them, within a character.
const PLACES: [u64; 7] = [0, 1, 70, 123, 350, 517, 1234];

#[tokio::test]
async fn what_is_missing_behind_a_cut_is_taken_from_the_stored_answer() {
    each(PLACES, |bytes| async move {
        let scene = Scene::new(Follow::wait());
        let cut = scene.inject(Fault::cut_after(bytes));
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!(cut.struck(), 1);
        assert_eq!(told.text(), STORY, "{told:#?}");
        let outline = match bytes {
            // Within its first event.
            0..=70 => "cut, start, chunks, finish",
            // Within its second.
            71..=123 => "start, cut, chunks, finish",
            _ => "start, chunks, cut, chunks, finish",
        };
        assert_eq!(told.outline(), outline, "{bytes}");
        assert!(told.asked(ThreadStatus::Streaming) > 0);
        assert_eq!(
            told.text_ids().len(),
            1,
            "it goes on in the part that was cut"
        );
        scene.assert_whole(&mut run).await;
        assert_eq!(scene.sent.count("GET stream"), 0, "no second reader");
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_cut_is_opened_again() {
    each(PLACES, |bytes| async move {
        let scene = Scene::new(Follow::live());
        let cut = scene.inject(Fault::cut_after(bytes));
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!(cut.struck(), 1);
        told.assert_of(STORY);
        assert!(told.outline().contains("cut, resumed"), "{told:#?}");
        assert!(told.text().ends_with("that answer."));
        assert_eq!(scene.sent.count("GET stream"), 1);
        scene.assert_whole(&mut run).await;
        assert_eq!(run.message_so_far().text(), STORY);
    })
    .await;
}

#[tokio::test]
async fn without_following_a_cut_is_the_end() {
    let scene = Scene::new(Follow::off());
    let cut = scene.inject(Fault::cut_after(350));
    let mut run = scene.run().await;
    let told = read(&mut run).await;
    assert_eq!(
        (cut.struck(), told.outline().as_str()),
        (1, "start, chunks, cut")
    );
    told.assert_of(STORY);

    let outcome = run.outcome().await;
    let lost = lost(&outcome);
    assert_eq!(lost.reason(), LostReason::Cut);
    assert_eq!(outcome.message_state, MessageState::Partial);
    assert_eq!(
        (lost.sandbox_id(), lost.thread_id()),
        (run.sandbox_id(), run.thread_id())
    );
    let error = run.message().await.unwrap_err();
    assert!(error.is_run_lost() && !error.is_timeout(), "{error}");
    assert_eq!(run.message_so_far().text(), told.text(), "what came stays");
    scene.sent.assert_once();

    // The run does not know of it.
    let thread = scene.over(run.sandbox_id(), run.thread_id()).await;
    assert_eq!(thread.status, ThreadStatus::Completed);
}

#[tokio::test]
async fn a_body_that_ends_before_its_run_is_a_cut() {
    each(
        [
            (Follow::wait(), "start, chunks, ended, chunks, finish"),
            (
                Follow::live(),
                "start, chunks, ended, resumed, gap, chunks, finish",
            ),
            (Follow::off(), "start, chunks, ended"),
        ],
        |(follow, outline)| async move {
            let scene = Scene::new(follow);
            let end = scene.inject(Fault::end_after(350));
            let mut run = scene.run().await;
            let told = read(&mut run).await;
            assert_eq!((end.struck(), told.outline().as_str()), (1, outline));
            told.assert_of(STORY);
            if follow == Follow::off() {
                assert_eq!(lost(&run.outcome().await).reason(), LostReason::Cut);
                scene.sent.assert_once();
            } else {
                scene.assert_whole(&mut run).await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_cut_behind_finish_is_none() {
    // `start`, what was said, the end of the text, the metadata and `finish`.
    let events = 2 + STORY.split_inclusive(' ').count() as u64 + 3;
    each(
        [Follow::wait(), Follow::live(), Follow::off()],
        |follow| async move {
            let slow = relay().agent("narrator", narrator()).done_delay(ms(300));
            let scene = Scene::of(slow, follow);
            let cut = scene.inject(Fault::cut_after(After::Events(events)));
            let mut run = scene.run().await;
            let told = read(&mut run).await;
            assert_eq!(cut.struck(), 1);
            assert_eq!(told.outline(), "start, chunks, finish");
            assert_eq!(told.asked(ThreadStatus::Completed), 1, "the thread tells");
            assert_eq!(told.text(), STORY);
            scene.assert_whole(&mut run).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_relay_that_cuts_every_stream_delivers_all_the_same() {
    each(
        [
            (Follow::wait(), false),
            (Follow::live(), false),
            (Follow::live(), true),
        ],
        |(follow, replays)| async move {
            let scene = Scene::new(follow);
            let cuts = scene.inject(Fault::cut_after(ms(120)).always());
            if replays {
                scene.relay.inject(Fault::replay_on_resume().always());
            }
            let mut run = scene.run().await;
            let told = read(&mut run).await;
            told.assert_of(STORY);
            match follow == Follow::live() {
                true => assert!(cuts.struck() > 1, "{told:#?}"),
                false => assert_eq!(cuts.struck(), 1),
            }
            scene.assert_whole(&mut run).await;
            assert_eq!(run.message_so_far().text(), STORY);
        },
    )
    .await;
}

#[tokio::test]
async fn who_reads_chunks_or_the_message_need_not_know() {
    let scene = Scene::new(Follow::wait());
    let cuts = scene.inject(Fault::cut_after(350).times(3));

    let mut run = scene.run().await;
    let mut text = String::new();
    while let Some(chunk) = run.next_chunk().await {
        if let twentyfirst_client::Chunk::TextDelta(delta) = chunk.unwrap() {
            text += &delta.delta.to_string_lossy();
        }
    }
    assert_eq!(text, STORY);
    assert!(run.outcome().await.is_success());

    let mut run = scene.run().await;
    assert_eq!(run.text().await.unwrap(), STORY);

    // Nobody reads for a while, and everything happens meanwhile.
    let mut run = scene.run().await;
    pause(900).await;
    assert_eq!(run.message().await.unwrap().text(), STORY);
    assert_eq!(cuts.struck(), 3);
    assert_eq!(scene.sent.count("POST chat"), 3);
}
