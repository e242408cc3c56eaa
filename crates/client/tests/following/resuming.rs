//! Streams that replay the run when they are opened again, and events that are not chunks.

use twentyfirst_client::{FollowPolicy, RunEvent};
use twentyfirst_local_relay::Fault;

use crate::support::{Gate, STORY, Scene, each, read};

#[tokio::test]
async fn a_replay_goes_on_in_the_middle_of_a_part() {
    each([517, 790, 1234], |bytes| async move {
        let gate = Gate::new();
        let scene = Scene::with(gate.narrator(), FollowPolicy::live());
        let cut = scene.inject(Fault::cut_after(bytes));
        let replay = scene.inject(Fault::replay_on_resume());
        let mut run = scene.run().await;
        let is_resumed = |event: &RunEvent| matches!(event, RunEvent::Resumed);
        let told = gate.open_at(&mut run, is_resumed).await;
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

#[tokio::test]
async fn an_event_that_is_not_a_chunk_leaves_a_gap_and_no_more() {
    each(
        [
            ("{", FollowPolicy::wait()),
            ("{}", FollowPolicy::live()),
            ("[1,2]", FollowPolicy::off()),
            ("\"start\"", FollowPolicy::wait()),
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
