//! A run is ended, and no other.

use twentyfirst_client::protocol::runs::{CancelStatus, MessageState};
use twentyfirst_client::protocol::threads::ThreadStatus;
use twentyfirst_client::{Follow, Run, RunEnd, Session, StartRun};
use twentyfirst_local_relay::Fault;

use crate::support::{STORY, Scene, client, each, ms, narrator, pause, read, read_some, relay};

/// The run was cancelled, and whoever reads it is told so; what came before stays.
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
async fn while_it_is_read() {
    each(
        [Follow::wait(), Follow::live(), Follow::off()],
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

#[tokio::test]
async fn while_it_is_waited_for() {
    let scene = Scene::new(Follow::wait());
    let cut = scene.inject(Fault::cut_after(400));
    let mut run = scene.run().await;
    let cancel = run.cancel();
    let cancel = async {
        pause(250).await;
        cancel.await
    };
    let (cancelled, told) = tokio::join!(cancel, read(&mut run));
    assert_eq!(cut.struck(), 1);
    assert_eq!(cancelled.unwrap().status, CancelStatus::Cancelled);
    assert_eq!(told.outline(), "start, chunks, cut");
    assert_cancelled(&scene, &mut run).await;
}

#[tokio::test]
async fn while_it_is_resumed() {
    // Replayed, joined in the middle, and while everything is held back.
    each(
        [(true, ms(0)), (false, ms(0)), (false, ms(5000))],
        |(replays, hold_back)| async move {
            let builder = relay().agent("narrator", narrator()).hold_back(hold_back);
            let scene = Scene::of(builder, Follow::live());
            let cut = scene.inject(Fault::cut_after(600));
            let replay = Fault::replay_on_resume().times(u64::from(replays));
            let replay = scene.inject(replay);
            let mut run = scene.run().await;
            let cancel = run.cancel();
            let cancel = async {
                pause(300).await;
                cancel.await
            };
            let (cancelled, told) = tokio::join!(cancel, read(&mut run));
            assert_eq!((cut.struck(), replay.struck()), (1, u64::from(replays)));
            assert_eq!(cancelled.unwrap().status, CancelStatus::Cancelled);
            assert!(told.outline().contains("cut, resumed"), "{told:#?}");
            told.assert_of(STORY);
            let outcome = run.outcome().await;
            assert!(matches!(outcome.end, RunEnd::Cancelled), "{outcome:?}");
            assert_eq!(run.message_so_far().text(), told.text());
            assert_eq!(scene.thread(&run).await.status, ThreadStatus::Cancelled);
            scene.sent.assert_once();
        },
    )
    .await;
}

#[tokio::test]
async fn while_it_is_starting() {
    let agent = narrator().start_up(ms(700)).pace(ms(80));
    let scene = Scene::with(agent, Follow::wait());
    // Its answer has not begun, so whoever has started it holds nothing yet.
    let sandbox = scene.client.sandboxes().create("narrator").await.unwrap();
    let thread = scene.client.threads().create(&sandbox.id).await.unwrap();
    let session = Session::new("narrator")
        .sandbox_id(&sandbox.id)
        .thread_id(&thread.id);
    let cancel = async {
        pause(150).await;
        assert!(
            scene
                .thread_at(&sandbox.id, &thread.id)
                .await
                .is_streaming()
        );
        scene
            .client
            .threads()
            .cancel(session.current_run().unwrap())
            .await
    };
    let threads = scene.client.threads();
    let run = threads.run(session.run("A story"));
    let (run, cancelled) = tokio::join!(run, cancel);
    assert_eq!(cancelled.unwrap().status, CancelStatus::Cancelled);
    let tries = scene.sent.count("DELETE stream");
    assert!(tries > 1, "the first ones cancel nothing: {tries}");
    assert_cancelled(&scene, &mut run.unwrap()).await;
}

#[tokio::test]
async fn while_it_is_starting_in_the_background() {
    each([Follow::wait(), Follow::live()], |follow| async move {
        let scene = Scene::with(narrator().start_up(ms(500)).pace(ms(80)), follow);
        let threads = scene.client.threads();
        let start = StartRun::new("narrator", "A story");
        let started = threads.run_in_background(start).await.unwrap();
        let mut run = threads.follow(started.run).unwrap();
        let (cancelled, told) = tokio::join!(run.cancel(), read(&mut run));
        assert_eq!(cancelled.unwrap().status, CancelStatus::Cancelled);
        assert!(scene.sent.count("DELETE stream") > 1);
        told.assert_of(STORY);
        assert_cancelled(&scene, &mut run).await;
    })
    .await;
}

#[tokio::test]
async fn from_another_process() {
    let scene = Scene::new(Follow::wait());
    let mut run = scene.run().await;
    read_some(&mut run, 10).await;
    let row = serde_json::to_string(&run.run_ref().session()).unwrap();

    let (other, sent) = client(&scene.relay, Follow::wait());
    let session: Session = serde_json::from_str(&row).unwrap();
    let threads = other.threads();
    let cancelled = threads
        .cancel(session.current_run().unwrap())
        .await
        .unwrap();
    assert_eq!(cancelled.status, CancelStatus::Cancelled);
    assert_eq!(
        (sent.count("GET threads"), sent.count("DELETE stream")),
        (1, 1)
    );
    read(&mut run).await;
    assert_cancelled(&scene, &mut run).await;
}

#[tokio::test]
async fn but_not_instead_of_a_newer_one() {
    let scene = Scene::new(Follow::wait());
    let mut run = scene.run().await;
    read_some(&mut run, 5).await;
    let newer = run.run_ref().session().new_thread().run("Another story");
    let mut newer = scene.client.threads().run(newer).await.unwrap();

    let error = run.cancel().await.unwrap_err();
    assert_eq!(error.other_run(), Some(newer.thread_id()), "{error}");
    assert!(!error.was_sent());
    assert!(error.to_string().contains(newer.thread_id().as_str()));
    assert_eq!(scene.sent.count("DELETE stream"), 0);

    // The newer one can be ended, and then the older one.
    let cancelled = newer.cancel().await.unwrap();
    assert_eq!(cancelled.status, CancelStatus::Cancelled);
    assert!(newer.message().await.unwrap_err().is_run_cancelled());
    let cancelled = run.cancel().await.unwrap();
    assert_eq!(cancelled.status, CancelStatus::Cancelled);
    assert!(run.message().await.unwrap_err().is_run_cancelled());
}

#[tokio::test]
async fn though_its_answer_was_lost() {
    let scene = Scene::new(Follow::wait());
    let mut run = scene.run().await;
    read_some(&mut run, 5).await;
    let lost = Fault::cut_after(5).on::<twentyfirst_client::protocol::runs::CancelStream>();
    let lost = scene.inject(lost);
    let cancelled = run.cancel().await.unwrap();
    assert_eq!(
        (lost.struck(), cancelled.status),
        (1, CancelStatus::Cancelled)
    );
    assert_eq!(scene.sent.count("DELETE stream"), 1, "it is not sent again");
    assert_cancelled(&scene, &mut run).await;
}
