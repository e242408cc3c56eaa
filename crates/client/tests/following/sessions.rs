//! Runs that are started in the background, found again after a restart, or refused; and sandboxes that are deleted after a failure.

use twentyfirst_client::protocol::http::StatusCode;
use twentyfirst_client::protocol::runs::{CancelStatus, LostReason, SendMessages};
use twentyfirst_client::protocol::threads::{CreateThread, ThreadStatus};
use twentyfirst_client::{FollowPolicy, RunRef, Session, StartRun, UiMessage};
use twentyfirst_local_relay::Fault;

use crate::support::{Gate, STORY, Scene, client, each, last_answer, pause, read, read_some};

fn story() -> StartRun {
    StartRun::new("narrator", "Tell me a story")
}

#[tokio::test]
async fn a_run_in_the_background_is_waited_for() {
    let scene = Scene::new(FollowPolicy::wait());
    let threads = scene.client.threads();
    let started = threads.start(story()).in_background().await.unwrap();
    let sent = scene.sent.len();
    let mut run = threads.follow(started.run).unwrap();
    pause(50).await;
    assert_eq!(scene.sent.len(), sent, "nothing is sent until it is read");
    let told = read(&mut run).await;
    assert_eq!(told.outline(), "start, chunks, finish");
    assert_eq!(told.text(), STORY);
    assert_eq!(scene.sent.count("GET stream"), 0);
    scene.assert_whole(&mut run).await;
}

#[tokio::test]
async fn a_run_that_is_dropped_goes_on_and_nothing_is_sent() {
    let scene = Scene::new(FollowPolicy::live());
    let mut run = scene.run().await;
    let begun = read_some(&mut run, 10).await;
    assert!(begun.text().len() < STORY.len());
    let run_ref = run.run_ref().clone();
    let sent = scene.sent.len();
    drop(run);
    let thread = scene.over(&run_ref.sandbox_id, &run_ref.thread_id).await;
    assert_eq!(thread.status, ThreadStatus::Completed);
    assert_eq!(last_answer(thread).text(), STORY);
    assert_eq!(scene.sent.len(), sent);
}

#[tokio::test]
async fn after_a_restart_a_run_is_followed_from_its_stored_row() {
    each(
        [FollowPolicy::wait(), FollowPolicy::live()],
        |follow| async move {
            let gate = Gate::new();
            let scene = Scene::with(gate.narrator(), follow);
            // An earlier run, whose answer must not be taken for the one that streams.
            gate.open();
            let mut first = scene.run().await;
            scene.assert_whole(&mut first).await;
            let first = first.message().await.unwrap();
            gate.close();
            let mut session = Session::new("narrator");
            let thread = {
                let run = scene.run().await;
                session = session
                    .sandbox_id(run.sandbox_id())
                    .thread_id(run.thread_id());
                run.thread_id().clone()
            };
            let row = serde_json::to_string(&session).unwrap();

            // In another process: it reads the stored messages, and follows the run.
            let (client, sent) = client(&scene.relay, follow);
            let session: Session = serde_json::from_str(&row).unwrap();
            let hydrated = client.execute(&session.hydrate().unwrap()).await.unwrap();
            assert!(hydrated.is_streaming());
            assert_eq!(hydrated.ui_messages().count(), 0);
            let mut run = client
                .threads()
                .follow(session.current_run().unwrap())
                .unwrap();
            assert_eq!(run.thread_id(), &thread);
            gate.open();
            let told = read(&mut run).await;
            told.assert_of(STORY);
            assert!(run.outcome().await.is_success());
            let stored = last_answer(scene.thread(&run).await);
            assert_eq!(run.message_so_far(), &stored);
            assert_ne!(run.message_so_far().id, first.id);
            assert_eq!(sent.count("POST chat"), 0);

            // Once the run is over, following it returns the stored answer.
            let hydrated = client.execute(&session.hydrate().unwrap()).await.unwrap();
            assert!(!hydrated.is_streaming());
            assert_eq!(hydrated.ui_messages().count(), 2);
            let mut again = client
                .threads()
                .follow(session.current_run().unwrap())
                .unwrap();
            assert_eq!(again.message().await.unwrap(), run.message().await.unwrap());
        },
    )
    .await;
}

#[tokio::test]
async fn a_run_that_was_stored_is_followed_and_cancelled_by_another_process() {
    let gate = Gate::new();
    let scene = Scene::with(gate.narrator(), FollowPolicy::wait());
    gate.open();
    let mut first = scene.run().await;
    let row = serde_json::to_string(first.run_ref()).unwrap();
    let told = first.text().await.unwrap();
    first.outcome().await;
    let (client, sent) = client(&scene.relay, FollowPolicy::wait());
    let stored: RunRef = serde_json::from_str(&row).unwrap();
    let mut run = client.threads().follow(stored.clone()).unwrap();
    assert_eq!(run.text().await.unwrap(), told);

    // The next turn, with an id that is known before it is sent. Until then there is nothing to follow.
    let early = stored.clone().user_message_id("turn-2");
    let mut run = client.threads().follow(early).unwrap();
    let error = run.text().await.unwrap_err();
    assert_eq!(error.lost().unwrap().reason, LostReason::NotStored);
    gate.close();
    let turn = UiMessage::user("And then?").with_id("turn-2");
    let second = first.run_ref().session().run(turn);
    let threads = scene.client.threads();
    let later = threads.start(second).in_background().await.unwrap();
    assert_eq!(later.run.user_message_id.as_ref().unwrap(), "turn-2");
    let row = serde_json::to_string(&later.run).unwrap();
    let later: RunRef = serde_json::from_str(&row).unwrap();
    let cancelled = client.threads().cancel(later.clone()).await.unwrap();
    assert_eq!(cancelled.status, CancelStatus::Cancelled);
    let mut run = client.threads().follow(later).unwrap();
    assert!(run.text().await.unwrap_err().is_run_cancelled());

    // The first run is still found by the id of its turn.
    let mut run = client.threads().follow(stored.clone()).unwrap();
    assert_eq!(run.text().await.unwrap(), told);
    assert_eq!(sent.count("POST chat"), 0);
}

#[tokio::test]
async fn a_session_does_not_run_twice_at_once() {
    let gate = Gate::new();
    let scene = Scene::with(gate.narrator(), FollowPolicy::wait());
    let mut run = scene.run().await;
    let session = run.run_ref().session();
    let error = scene
        .client
        .threads()
        .start(session.run("Now!"))
        .await
        .unwrap_err();
    assert!(error.is_thread_streaming(), "{error}");
    assert!(!error.maybe_sent() && error.created().is_empty());
    scene.sent.assert_once();

    // It can run in another thread of the same sandbox, and in the same thread after the first run.
    gate.open();
    let beside = session.new_thread().run("Meanwhile?");
    let mut beside = scene.client.threads().start(beside).await.unwrap();
    assert_eq!(beside.sandbox_id(), run.sandbox_id());
    assert_ne!(beside.thread_id(), run.thread_id());
    assert_eq!(beside.text().await.unwrap(), STORY);
    assert!(run.outcome().await.is_success());
    let behind = scene.client.threads().start(session.run("Now?")).await;
    assert_eq!(behind.unwrap().text().await.unwrap(), STORY);
    let thread = scene.thread(&run).await;
    assert_eq!(
        thread.ui_messages().count(),
        4,
        "the history is not spoiled"
    );
}

#[tokio::test]
async fn a_sandbox_created_for_a_run_that_cannot_start_is_deleted() {
    // In both cases it is certain that the run has not started.
    let chat = Fault::refuse(StatusCode::PAYMENT_REQUIRED).on::<SendMessages>();
    let thread = Fault::refuse(StatusCode::FORBIDDEN).on::<CreateThread>();
    each([chat.clone(), thread], |refusal| async move {
        let scene = Scene::new(FollowPolicy::wait());
        let refusal = scene.inject(refusal);
        let start = story().delete_sandbox_on_failure(true);
        let error = scene.client.threads().start(start).await.unwrap_err();
        assert_eq!(refusal.struck(), 1);
        assert!(
            error
                .status()
                .is_some_and(|status| status.is_client_error())
        );
        assert!(error.created().is_empty(), "{error}");
        assert_eq!(scene.sent.count("POST sandbox"), 1);
        assert_eq!(scene.sent.count("DELETE sandbox"), 1);
    })
    .await;

    // The sandbox stays if the run may have started, or if it is not to be deleted.
    let unknown = Fault::refuse(StatusCode::INTERNAL_SERVER_ERROR).on::<SendMessages>();
    let refused = Fault::refuse(StatusCode::PAYMENT_REQUIRED).on::<SendMessages>();
    each(
        [(unknown, true), (refused, false)],
        |(refusal, delete)| async move {
            let scene = Scene::new(FollowPolicy::wait());
            let refusal = scene.inject(refusal);
            let start = story().delete_sandbox_on_failure(delete);
            let error = scene.client.threads().start(start).await.unwrap_err();
            assert_eq!(refusal.struck(), 1);
            assert_eq!(scene.sent.count("DELETE sandbox"), 0);
            scene.sent.assert_once();
            let created = error.created();
            let (Some(sandbox), Some(thread)) = (&created.sandbox_id, &created.thread_id) else {
                panic!("it does not say what it created: {error}");
            };
            assert_eq!(
                scene.thread_at(sandbox, thread).await.status,
                ThreadStatus::Idle
            );
        },
    )
    .await;
}
