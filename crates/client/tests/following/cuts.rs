//! The stream breaks off, or ends before the run does.

use twentyfirst_client::protocol::threads::ThreadStatus;
use twentyfirst_client::{FollowPolicy, RunEvent};
use twentyfirst_local_relay::Fault;

use crate::support::{Gate, STORY, Scene, each, pause};

/// Cuts before the body, within and after events, and within a character.
const PLACES: [u64; 7] = [0, 1, 70, 123, 350, 517, 1234];

#[tokio::test]
async fn the_part_after_a_cut_comes_from_the_stored_answer() {
    each(PLACES, |bytes| async move {
        let gate = Gate::new();
        let scene = Scene::with(gate.narrator(), FollowPolicy::wait());
        let cut = scene.inject(Fault::cut_after(bytes));
        let mut run = scene.run().await;
        let is_asked = |event: &RunEvent| matches!(event, RunEvent::Asked(_));
        let told = gate.open_at(&mut run, is_asked).await;
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
        let gate = Gate::new();
        let scene = Scene::with(gate.narrator(), FollowPolicy::live());
        let cut = scene.inject(Fault::cut_after(bytes));
        let mut run = scene.run().await;
        let is_resumed = |event: &RunEvent| matches!(event, RunEvent::Resumed);
        let told = gate.open_at(&mut run, is_resumed).await;
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
async fn readers_of_chunks_and_messages_do_not_notice_a_cut() {
    let scene = Scene::new(FollowPolicy::wait());
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

    // Nothing is read while the run ends and its connection is cut.
    let mut run = scene.run().await;
    pause(900).await;
    assert_eq!(run.message().await.unwrap().text(), STORY);
    assert_eq!(cuts.struck(), 3);
    assert_eq!(scene.sent.count("POST chat"), 3);
}
