//! Ends of processes: by themselves, killed, at their time limit, with their machine.

use std::time::{Duration, Instant};

use twentyfirst_client::protocol::processes::{ProcessError, ProcessState};

use crate::{World, connect, read};

#[tokio::test]
async fn a_killed_process_ends_with_its_group_and_all_waiters_get_its_status() {
    let world = World::new().await;
    let process = world
        .client
        .sandboxes()
        .spawn(&world.id, "sleep 601 & echo ready; sleep 602; echo never")
        .await
        .unwrap();
    process.output().next_chunk().await.unwrap().unwrap();
    let other = connect(&world.relay)
        .sandboxes()
        .process(process.process_ref());
    let waiting: Vec<_> = (0..5)
        .map(|number| {
            tokio::spawn(if number % 2 == 0 {
                process.wait()
            } else {
                other.wait()
            })
        })
        .collect();
    let both = "until [ $(pgrep -c -x sleep) = 2 ]; do :; done; echo yes";
    assert_eq!(world.exec(both).await, "yes");

    // SIGTERM ends the whole group, so the call does not wait for the grace time.
    let (begun, grace) = (Instant::now(), Duration::from_secs(60));
    let status = process.kill().grace(grace).await.unwrap();
    assert_eq!((status.signal(), status.code()), (Some(15), None));
    assert!(begun.elapsed() < grace, "{:?}", begun.elapsed());
    for waiter in waiting {
        assert_eq!(waiter.await.unwrap().unwrap(), status);
    }
    assert_eq!(world.exec("pgrep -x sleep -r R,S,D; true").await, "");
    // A second call returns the same status.
    assert_eq!(other.kill().await.unwrap(), status);
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_after_the_grace_time() {
    let world = World::new().await;
    let sandboxes = world.client.sandboxes();
    let stubborn = "trap '' TERM; echo ready; sleep 601; sleep 602";
    let process = sandboxes.spawn(&world.id, stubborn).await.unwrap();
    process.output().next_chunk().await.unwrap().unwrap();
    let status = process
        .kill()
        .grace(Duration::from_millis(500))
        .await
        .unwrap();
    assert_eq!(status.signal(), Some(9));

    // A member of the group can ignore SIGTERM, too, even if the command itself has ended by it.
    let child = "(trap '' TERM; echo ready; while :; do sleep 0.1; done) & wait";
    let process = sandboxes.spawn(&world.id, child).await.unwrap();
    process.output().next_chunk().await.unwrap().unwrap();
    let status = process
        .kill()
        .grace(Duration::from_millis(500))
        .await
        .unwrap();
    assert_eq!(status.signal(), Some(15));
    assert_eq!(world.exec("pgrep -r R,S,D -x sleep; true").await, "");
}

#[tokio::test]
async fn a_process_can_clean_up_when_it_is_killed() {
    let world = World::new().await;
    let polite = "trap 'echo bye; exit 7' TERM; echo ready; sleep 600 & wait";
    let process = world
        .client
        .sandboxes()
        .spawn(&world.id, polite)
        .await
        .unwrap();
    process.output().next_chunk().await.unwrap().unwrap();
    assert_eq!(process.kill().await.unwrap().code(), Some(7));
    assert_eq!(read(process.output()).await.0, "ready\nbye\n");
}

/// Whether this test was started with SIGINT ignored, as shells start background commands. All its child processes inherit that, and
/// no shell can undo it.
fn ignores_sigint() -> bool {
    const SIGINT: u64 = 1 << (2 - 1);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|ignored| {
        u64::from_str_radix(ignored.trim(), 16).is_ok_and(|ignored| ignored & SIGINT != 0)
    })
}

#[tokio::test]
async fn a_process_ends_by_sigint_as_in_a_terminal() {
    if ignores_sigint() {
        println!("skipped: this test was started with SIGINT ignored, which processes inherit");
        return;
    }
    let world = World::new().await;
    let interrupted = "bash -c 'kill -INT $$; echo survived'";
    let process = world
        .client
        .sandboxes()
        .spawn(&world.id, interrupted)
        .await
        .unwrap();
    assert_eq!(process.wait().await.unwrap().signal(), Some(2));
    assert_eq!(read(process.output()).await.0, "");
}

#[tokio::test]
async fn a_time_limit_ends_a_process() {
    let world = World::new().await;
    let sandboxes = world.client.sandboxes();
    let process = sandboxes
        .spawn(&world.id, "echo begun; sleep 600")
        .timeout(Duration::from_secs(2))
        .await
        .unwrap();
    let status = process.wait().await.unwrap();
    assert!(
        status.timed_out && status.signal() == Some(15),
        "{status:?}"
    );
    assert_eq!(status.to_string(), "signal 15 after its time limit");
    assert_eq!(read(process.output()).await.0, "begun\n");

    // A process that ends earlier is not touched. Its supervisor stops waiting a moment after the status was written.
    let quick = sandboxes
        .spawn(&world.id, "true")
        .timeout(Duration::from_secs(601));
    let status = quick.await.unwrap().wait().await.unwrap();
    assert!(status.success() && !status.timed_out);
    let none = "while pgrep -r R,S,D -x sleep; do :; done >/dev/null; echo none";
    assert_eq!(world.exec(none).await, "none");
}

#[tokio::test]
async fn a_process_whose_supervisor_is_gone_is_gone_and_its_rest_can_be_killed() {
    let world = World::new().await;
    let process = world
        .client
        .sandboxes()
        .spawn(&world.id, "echo begun; sleep 600")
        .id("gone")
        .await
        .unwrap();
    process.output().next_chunk().await.unwrap().unwrap();
    world
        .exec("kill -9 $(head -n 1 .twentyfirst/processes/gone/claim | cut -d ' ' -f 1)")
        .await;
    assert_eq!(process.status().await.unwrap().state, ProcessState::Gone);
    let error = process.wait().await.unwrap_err();
    assert!(
        matches!(error.process_error(), Some(ProcessError::Gone(_))),
        "{error}"
    );
    // Its output comes before the error.
    let mut output = process.output();
    assert_eq!(output.next_chunk().await.unwrap().unwrap().bytes, "begun\n");
    assert!(output.next_chunk().await.unwrap().is_err());
    assert!(output.next_chunk().await.is_none());

    assert!(process.kill().await.is_err());
    assert_eq!(world.exec("pgrep -r R,S,D -x sleep; true").await, "");
    process.remove().await.unwrap();
}

#[tokio::test]
async fn a_reused_pid_is_not_taken_for_the_process() {
    let world = World::new().await;
    let process = world
        .client
        .sandboxes()
        .spawn(&world.id, "sleep 600")
        .id("old")
        .await
        .unwrap();
    // As if the machine had restarted: a stranger has the pids of the supervisor and of the command.
    let steal = "sleep 603 >/dev/null 2>&1 & cd .twentyfirst/processes/old && \
        set -- $! $(cat claim) && kill -9 $2 $(cut -d ' ' -f 1 pid) && \
        echo \"$1 1 $4\" > claim && echo \"$1 1 $4 group\" > pid";
    world.exec(steal).await;
    assert_eq!(process.status().await.unwrap().state, ProcessState::Gone);
    assert!(process.kill().grace(Duration::ZERO).await.is_err());
    assert_eq!(world.exec("pgrep -fc 'sleep 60[3]'").await, "1");
}

#[tokio::test]
async fn waiting_ends_at_the_deadline_of_the_call() {
    let world = World::new().await;
    let deadline = world.client.options().deadline(Duration::from_millis(300));
    let process = world
        .client
        .sandboxes()
        .spawn(&world.id, "sleep 600")
        .await
        .unwrap();
    let hurried = world
        .client
        .with_options(deadline)
        .sandboxes()
        .process(process.process_ref());
    assert!(hurried.wait().await.unwrap_err().is_timeout());
    assert_eq!(process.kill().await.unwrap().signal(), Some(15));
}
