//! Standard input of processes.

use twentyfirst_client::protocol::processes::ProcessError;
use twentyfirst_client::protocol::sandboxes::Exec;
use twentyfirst_local_relay::Fault;

use crate::{World, read};

#[tokio::test]
async fn input_is_passed_on_until_it_is_closed() {
    let world = World::new().await;
    let sandboxes = world.client.sandboxes();
    let process = sandboxes
        .spawn(&world.id, "cat; exit 4")
        .stdin(true)
        .await
        .unwrap();
    process.write_stdin("one\n").await.unwrap();
    let mut output = process.output();
    assert_eq!(output.next_chunk().await.unwrap().unwrap().bytes, "one\n");
    process.write_stdin(&b"t\0w\xffo\n"[..]).await.unwrap();
    assert_eq!(
        output.next_chunk().await.unwrap().unwrap().bytes,
        &b"t\0w\xffo\n"[..]
    );
    process.write_stdin("").await.unwrap();
    process.close_stdin().await.unwrap();
    process.close_stdin().await.unwrap();
    assert_eq!(process.wait().await.unwrap().code(), Some(4));

    let error = process.write_stdin("late").await.unwrap_err();
    assert!(
        matches!(error.process_error(), Some(ProcessError::Ended(_))),
        "{error}"
    );
}

#[tokio::test]
async fn long_input_arrives_once_though_responses_are_lost() {
    let world = World::new().await;
    let sandboxes = world.client.sandboxes();
    let process = sandboxes
        .spawn(&world.id, "md5sum")
        .stdin(true)
        .await
        .unwrap();
    let input: String = (0..50_000).map(|line| format!("{line}\n")).collect();
    let lost = Fault::cut_after(0).on::<Exec>().times(2);
    world.relay.inject(lost.clone());
    process.write_stdin(input).await.unwrap();
    assert_eq!(lost.struck(), 2);
    process.close_stdin().await.unwrap();
    let expected = world.exec("seq 0 49999 | md5sum").await;
    assert_eq!(read(process.output()).await.0.trim(), expected);
}

#[tokio::test]
async fn input_for_a_process_that_takes_none_is_refused() {
    let world = World::new().await;
    let sandboxes = world.client.sandboxes();
    // Its standard input is at its end from the beginning.
    let none = sandboxes.spawn(&world.id, "cat; sleep 600").await.unwrap();
    for error in [
        none.write_stdin("x").await.unwrap_err(),
        none.close_stdin().await.unwrap_err(),
    ] {
        assert!(
            matches!(error.process_error(), Some(ProcessError::NoStdin(_))),
            "{error}"
        );
    }
    none.kill().await.unwrap();

    let closed = sandboxes
        .spawn(&world.id, "sleep 600")
        .stdin(true)
        .await
        .unwrap();
    closed.close_stdin().await.unwrap();
    let error = closed.write_stdin("x").await.unwrap_err();
    assert!(
        matches!(error.process_error(), Some(ProcessError::StdinClosed(_))),
        "{error}"
    );
    closed.kill().await.unwrap();
}
