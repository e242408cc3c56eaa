//! Starting a process once, and finding it again.

use std::time::Duration;

use twentyfirst_client::protocol::http::StatusCode;
use twentyfirst_client::protocol::processes::{ProcessError, ProcessRef, ProcessState};
use twentyfirst_client::protocol::sandboxes::Exec;
use twentyfirst_local_relay::{Fault, Isolation, LocalRelay};

use crate::{World, connect, read};

#[tokio::test]
async fn a_command_outlives_its_call_with_its_settings() {
    let world = World::new().await;
    tells_its_settings(&world).await;
}

#[tokio::test]
async fn a_command_outlives_its_call_where_the_group_of_an_exec_is_killed() {
    let relay = LocalRelay::builder()
        .isolation(Isolation::Unconfined)
        .start()
        .unwrap();
    tells_its_settings(&World::with(relay).await).await;
}

async fn tells_its_settings(world: &World) {
    let sandboxes = world.client.sandboxes();
    let process = sandboxes
        .spawn(
            &world.id,
            r#"until [ -e go ]; do sleep 0.05; done; basename "$PWD"; echo "$A|$HOME|${n-unset}|$(env | grep -c TWENTYFIRST)"; umask; [[ a == a ]]"#,
        )
        .cwd("/home/user")
        .env("A", "it's $HOME\nand more")
        .envs([("HOME", "/elsewhere"), ("name", "x")])
        .await
        .unwrap();
    assert_eq!(process.status().await.unwrap().state, ProcessState::Running);
    let files = sandboxes.files();
    files.write(&world.id, "/home/user/go", "").await.unwrap();
    let (stdout, stderr) = read(process.output()).await;
    assert_eq!(
        (stdout.as_str(), stderr.as_str()),
        ("user\nit's $HOME\nand more|/elsewhere|unset|0\n0022\n", "")
    );
    assert!(process.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_process_is_found_again_by_its_json_from_another_client() {
    let world = World::new().await;
    let process = world
        .client
        .sandboxes()
        .spawn(&world.id, "sleep 0.5; echo done; exit 3")
        .id("build-1")
        .await
        .unwrap();
    let row = serde_json::to_string(&process.process_ref()).unwrap();

    let found: ProcessRef = serde_json::from_str(&row).unwrap();
    let found = connect(&world.relay).sandboxes().process(found);
    let status = found.wait().await.unwrap();
    assert_eq!((status.code(), status.success()), (Some(3), false));
    assert_eq!(read(found.output()).await.0, "done\n");

    let info = found.status().await.unwrap();
    assert_eq!(info.state, ProcessState::Exited(status));
    assert_eq!(info.command, "sleep 0.5; echo done; exit 3");
    let age = info.started_at.unwrap().elapsed().unwrap_or_default();
    assert!(age < Duration::from_secs(60), "{age:?}");
}

#[tokio::test]
async fn spawns_with_one_id_start_one_process() {
    let world = World::new().await;
    let sandboxes = world.client.sandboxes();
    let spawn = || {
        sandboxes
            .spawn(&world.id, "echo once >> count")
            .id("only")
            .into_future()
    };
    let spawned = futures_util::future::join_all((0..8).map(|_| spawn())).await;
    for process in spawned {
        assert!(process.unwrap().wait().await.unwrap().success());
    }
    // Nor does a spawn after the process has ended.
    spawn().await.unwrap();
    assert_eq!(world.exec("cat count").await, "once");

    let other = sandboxes.spawn(&world.id, "echo other").id("only").await;
    let error = other.unwrap_err();
    assert!(
        matches!(error.process_error(), Some(ProcessError::OtherCommand(id)) if id.as_str() == "only"),
        "{error}"
    );
}

#[tokio::test]
async fn a_spawn_whose_response_is_lost_is_retried_and_starts_one_process() {
    let world = World::new().await;
    let lost = Fault::cut_after(0).on::<Exec>().times(2);
    world.relay.inject(lost.clone());
    let process = world
        .client
        .sandboxes()
        .spawn(&world.id, "echo once >> count");
    let process = process.await.unwrap();
    assert_eq!(lost.struck(), 2);
    assert!(process.wait().await.unwrap().success());
    assert_eq!(world.exec("cat count").await, "once");
}

#[tokio::test]
async fn odd_ids_and_commands_are_refused_before_anything_is_sent() {
    let world = World::new().await;
    let none = Fault::refuse(StatusCode::IM_A_TEAPOT).always();
    world.relay.inject(none.clone());
    let sandboxes = world.client.sandboxes();
    for id in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "-rf",
        "a b",
        "a\nb",
        "$(id)",
        "ä",
        ".hidden",
        &"x".repeat(65),
    ] {
        let error = sandboxes.spawn(&world.id, "true").id(id).await.unwrap_err();
        let refused = error.invalid_request().unwrap();
        assert_eq!(refused.field(), "processId", "{id:?}");
    }
    let long = "'".repeat(30_000);
    for command in ["", "echo \0", &long] {
        let error = sandboxes.spawn(&world.id, command).await.unwrap_err();
        assert_eq!(error.invalid_request().unwrap().field(), "command");
    }
    let error = sandboxes
        .spawn(&world.id, "true")
        .env("A=B", "x")
        .await
        .unwrap_err();
    assert_eq!(error.invalid_request().unwrap().field(), "envs");
    assert_eq!(none.struck(), 0);
    assert!(serde_json::from_str::<ProcessRef>(r#"{"sandboxId":"s","processId":"../x"}"#).is_err());
}

#[tokio::test]
async fn values_of_variables_are_in_no_file_and_in_no_error() {
    let world = World::new().await;
    let sandboxes = world.client.sandboxes();
    let process = sandboxes
        .spawn(&world.id, "sleep 600")
        .env("TOKEN", "s3cr3t-value")
        .await
        .unwrap();
    assert_eq!(world.exec("grep -rl s3cr3t-valu[e] ~ ; true").await, "");
    // Nor is the value an argument of any process, although the command has it.
    let arguments = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c s3cr3t-valu[e]; true";
    assert_eq!(world.exec(arguments).await, "0");
    process.kill().await.unwrap();

    let repeats = twentyfirst_client::protocol::http::Response::builder()
        .status(502)
        .body(r#"{"error":{"code":"sandbox_error","message":"env TOKEN=s3cr3t-value"}}"#)
        .unwrap();
    world
        .relay
        .inject(Fault::respond_with(repeats).on::<Exec>().always());
    let error = sandboxes
        .spawn(&world.id, "true")
        .env("TOKEN", "s3cr3t-value")
        .await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("env TOKEN=***"), "{error}");
    assert!(!format!("{error:?}").contains("s3cr3t"));
    let call = sandboxes
        .spawn(&world.id, "true")
        .env("TOKEN", "s3cr3t-value");
    assert!(!format!("{call:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn a_missing_directory_is_the_relays_error() {
    let world = World::new().await;
    let spawn = world
        .client
        .sandboxes()
        .spawn(&world.id, "true")
        .cwd("/none");
    let error = spawn.await.unwrap_err();
    assert!(error.to_string().contains("/none"), "{error}");
}

#[tokio::test]
async fn processes_are_listed_until_they_are_removed() {
    let world = World::new().await;
    let sandboxes = world.client.sandboxes();
    assert!(sandboxes.processes(&world.id).await.unwrap().is_empty());
    let runs = sandboxes
        .spawn(&world.id, "sleep 600")
        .id("b")
        .await
        .unwrap();
    let ended = sandboxes.spawn(&world.id, "exit 1").id("a").await.unwrap();
    ended.wait().await.unwrap();
    let list = sandboxes.processes(&world.id).await.unwrap();
    let seen: Vec<_> = list
        .iter()
        .map(|info| {
            (
                info.id.as_str(),
                info.command.as_str(),
                info.state == ProcessState::Running,
            )
        })
        .collect();
    assert_eq!(seen, [("a", "exit 1", false), ("b", "sleep 600", true)]);

    let error = runs.remove().await.unwrap_err();
    assert!(
        matches!(error.process_error(), Some(ProcessError::Running(_))),
        "{error}"
    );
    ended.remove().await.unwrap();
    ended.remove().await.unwrap();
    for error in [
        ended.wait().await.unwrap_err(),
        ended.kill().await.unwrap_err(),
        ended.status().await.unwrap_err(),
        ended.write_stdin("x").await.unwrap_err(),
        ended.output().next_chunk().await.unwrap().unwrap_err(),
    ] {
        assert!(
            matches!(error.process_error(), Some(ProcessError::Unknown(_))),
            "{error}"
        );
    }
    assert_eq!(sandboxes.processes(&world.id).await.unwrap().len(), 1);
    runs.kill().await.unwrap();
}

#[tokio::test]
async fn the_probe_finds_that_processes_outlive_calls_and_leaves_nothing() {
    let world = World::new().await;
    let sandboxes = world.client.sandboxes();
    assert!(sandboxes.can_spawn(&world.id).await.unwrap());
    assert!(sandboxes.processes(&world.id).await.unwrap().is_empty());
    assert_eq!(world.exec("pgrep -fc 'sleep 6[0]'; true").await, "0");
}

/// Checks that the futures can be spawned as tasks.
#[test]
fn futures_can_be_spawned() {
    fn is_task<T: Future + Send + 'static>(_: impl FnOnce(twentyfirst_client::Process) -> T) {}
    is_task(|process| process.wait());
    is_task(|process| process.kill());
    is_task(|process| process.write_stdin("x"));
    is_task(|process| process.remove());
    is_task(|process| async move { process.output().next_chunk().await });
    fn is_call<T: IntoFuture<IntoFuture: Send + 'static>>(
        _: impl FnOnce(twentyfirst_client::AgentClient, twentyfirst_client::SandboxId) -> T,
    ) {
    }
    is_call(|client, id| client.sandboxes().spawn(&id, "true"));
    is_call(|client, id| client.sandboxes().processes(&id));
    is_call(|client, id| client.sandboxes().can_spawn(&id));
    is_call(|client, id| client.sandboxes().wait_for_port(&id, 1));
    is_call(|client, id| client.sandboxes().preview_url(&id, 1));
}
