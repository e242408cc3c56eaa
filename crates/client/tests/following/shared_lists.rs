//! Several runs of one sandbox that are waited for: one list of its threads serves all of them.

use std::time::{Duration, Instant};

use twentyfirst_client::{FollowPolicy, Run, RunEnd, StartRun};
use twentyfirst_local_relay::Agent;

use crate::support::{Scene, read};

const RUNS: usize = 10;

fn slow() -> Agent {
    let agent = Agent::new(async |run: twentyfirst_local_relay::Run| {
        run.say("one two three four five six seven eight").await;
        Ok(())
    });
    agent.pace(Duration::from_millis(500))
}

/// Follows runs that were started in one sandbox, as if by another process.
async fn follow_all(scene: &Scene) -> Vec<Run> {
    let sandbox = scene.client.sandboxes().create("narrator").await.unwrap();
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let start = StartRun::new("narrator", "Count").sandbox_id(&sandbox.id);
        let started = scene.client.threads().start(start).in_background().await;
        let followed = scene.client.threads().follow(started.unwrap().run);
        runs.push(followed.unwrap());
    }
    runs
}

#[tokio::test]
async fn all_runs_of_a_sandbox_share_one_list_a_second() {
    let scene = Scene::with(slow(), FollowPolicy::wait());
    let begun = Instant::now();
    let runs = follow_all(&scene).await;
    let reading = runs.into_iter().map(|mut run| {
        tokio::spawn(async move {
            let told = read(&mut run).await;
            (told.text(), run.outcome().await)
        })
    });
    for run in reading.collect::<Vec<_>>() {
        let (text, outcome) = run.await.unwrap();
        assert!(matches!(outcome.end, RunEnd::Completed), "{outcome:?}");
        assert_eq!(text, "one two three four five six seven eight");
    }
    let lists = scene.sent.count("GET threads");
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    println!("{lists} lists in {seconds} s");
    // The first list, and those of the last run, which is then alone, are sent at once.
    assert!(lists <= seconds + 4, "{lists} lists in {seconds} s");
}

#[tokio::test]
async fn a_dropped_run_does_not_cancel_the_shared_list() {
    let scene = Scene::with(slow(), FollowPolicy::wait());
    let mut runs = follow_all(&scene).await;
    let mut last = runs.pop().unwrap();
    let rest = runs.into_iter().map(|mut run| {
        tokio::spawn(async move {
            let reading = read(&mut run);
            let _ = tokio::time::timeout(Duration::from_millis(400), reading).await;
        })
    });
    let rest: Vec<_> = rest.collect();
    let told = read(&mut last).await;
    assert_eq!(told.text(), "one two three four five six seven eight");
    for run in rest {
        run.await.unwrap();
    }
}
