//! The relay does not answer when it is asked for the thread.

use std::time::Instant;

use twentyfirst_client::protocol::ErrorCode;
use twentyfirst_client::protocol::http::StatusCode;
use twentyfirst_client::protocol::runs::{LostReason, ResumeStream};
use twentyfirst_client::protocol::threads::{GetThread, ListThreads};
use twentyfirst_client::{CallOptions, Error, Follow, RetryPolicy, StartRun};
use twentyfirst_local_relay::Fault;

use crate::support::{STORY, Scene, each, lost, ms, narrator, read};

#[tokio::test]
async fn questions_that_are_refused_are_asked_again() {
    let refused = |status: u16, retry_after: Option<u64>| async move {
        // So slowly that it goes on when the thread is looked at for the second time, and the threads are listed.
        let scene = Scene::with(narrator().pace(ms(100)), Follow::wait());
        let refuse = |fault: Fault| match retry_after {
            Some(milliseconds) => fault.retry_after(ms(milliseconds)),
            None => fault,
        };
        let status = StatusCode::from_u16(status).unwrap();
        let cut = scene.inject(Fault::cut_after(350));
        let lists = scene.inject(refuse(Fault::refuse(status)).on::<ListThreads>().times(2));
        let thread = scene.inject(refuse(Fault::refuse(status)).on::<GetThread>().times(1));
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!((cut.struck(), lists.struck(), thread.struck()), (1, 2, 1));
        assert_eq!(told.text(), STORY);
        scene.assert_whole(&mut run).await;
    };
    tokio::join!(
        refused(429, None),
        refused(500, None),
        refused(503, None),
        refused(429, Some(1)),
        refused(500, Some(1)),
        refused(503, Some(1)),
        refused(503, Some(0)),
    );
}

#[tokio::test]
async fn questions_are_asked_also_when_calls_are_not_repeated() {
    each([Follow::wait(), Follow::live()], |follow| async move {
        let scene = Scene::new(follow);
        let cut = scene.inject(Fault::cut_after(350));
        let refusal = Fault::refuse(StatusCode::BAD_GATEWAY).times(3);
        let refusal = scene.inject(refusal.on::<ListThreads>());
        let broken = scene.inject(Fault::cut_after(20).on::<GetThread>());
        let once = CallOptions::new()
            .follow(follow)
            .retry(RetryPolicy::never());
        let client = scene.client.with_options(once);
        let start = StartRun::new("narrator", "Tell me a story");
        let mut run = client.threads().run(start).await.unwrap();
        let told = read(&mut run).await;
        assert_eq!((cut.struck(), refusal.struck(), broken.struck()), (1, 3, 1));
        told.assert_of(STORY);
        scene.assert_whole(&mut run).await;
    })
    .await;
}

#[tokio::test]
async fn a_relay_that_asks_to_wait_is_asked_no_sooner() {
    let scene = Scene::new(Follow::live());
    let cut = scene.inject(Fault::cut_after(350));
    let busy = Fault::refuse(StatusCode::TOO_MANY_REQUESTS).retry_after(ms(1_500));
    let busy = scene.inject(busy.on::<ResumeStream>().times(1));
    let once = CallOptions::new()
        .follow(Follow::live())
        .retry(RetryPolicy::never());
    let client = scene.client.with_options(once);
    let start = StartRun::new("narrator", "Tell me a story");
    let mut run = client.threads().run(start).await.unwrap();
    let started = Instant::now();
    let told = read(&mut run).await;
    assert_eq!((cut.struck(), busy.struck()), (1, 1));
    // The story takes 0.5 s.
    assert!(started.elapsed() >= ms(1_500), "{:?}", started.elapsed());
    told.assert_of(STORY);
    scene.assert_whole(&mut run).await;
}

#[tokio::test]
async fn a_relay_that_refuses_for_good_loses_the_run_with_its_reason() {
    let cases = [
        (401, LostReason::Refused, ErrorCode::Unauthorized),
        (403, LostReason::Refused, ErrorCode::Forbidden),
    ];
    each(cases, |(status, reason, code)| async move {
        let scene = Scene::new(Follow::wait());
        let cut = scene.inject(Fault::cut_after(350));
        let refusal = Fault::refuse(StatusCode::from_u16(status).unwrap());
        let refusal = scene.inject(refusal.on::<ListThreads>());
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!((cut.struck(), refusal.struck()), (1, 1));
        told.assert_of(STORY);
        assert_eq!(lost(&run.outcome().await).reason(), reason);
        let error = run.message().await.unwrap_err();
        assert!(error.is_run_lost());
        let causes = causes(&error);
        assert!(
            causes.contains(code.as_str()) || causes.contains(&status.to_string()),
            "{causes}"
        );
        scene.sent.assert_once();
    })
    .await;
}

#[tokio::test]
async fn a_run_whose_sandbox_is_deleted_is_lost() {
    let scene = Scene::new(Follow::wait());
    let cut = scene.inject(Fault::cut_after(350));
    let mut run = scene.run().await;
    scene
        .client
        .sandboxes()
        .delete(run.sandbox_id())
        .await
        .unwrap();
    read(&mut run).await;
    assert_eq!(cut.struck(), 1);
    assert_eq!(lost(&run.outcome().await).reason(), LostReason::Deleted);
    scene.sent.assert_once();
}

fn causes(error: &Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.join(": ")
}
