//! A relay that refuses to list the threads of a run that is followed.

use twentyfirst_client::protocol::ErrorCode;
use twentyfirst_client::protocol::http::StatusCode;
use twentyfirst_client::protocol::runs::LostReason;
use twentyfirst_client::protocol::threads::ListThreads;
use twentyfirst_client::{Error, FollowPolicy};
use twentyfirst_local_relay::Fault;

use crate::support::{STORY, Scene, each, lost, read};

#[tokio::test]
async fn a_relay_that_refuses_for_good_loses_the_run_with_its_reason() {
    let cases = [
        (401, LostReason::Refused, ErrorCode::Unauthorized),
        (403, LostReason::Refused, ErrorCode::Forbidden),
    ];
    each(cases, |(status, reason, code)| async move {
        let scene = Scene::new(FollowPolicy::wait());
        let cut = scene.inject(Fault::cut_after(350));
        let refusal = Fault::refuse(StatusCode::from_u16(status).unwrap());
        let refusal = scene.inject(refusal.on::<ListThreads>());
        let mut run = scene.run().await;
        let told = read(&mut run).await;
        assert_eq!((cut.struck(), refusal.struck()), (1, 1));
        told.assert_of(STORY);
        assert_eq!(lost(&run.outcome().await).reason, reason);
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

fn causes(error: &Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.join(": ")
}
