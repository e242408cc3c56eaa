//! Killed commands leave no orphans. The first process of a container may collect orphans late or never, and the end of a sandbox would
//! wait for that.

#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::Scene;
use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};
use serde_json::json;
use tokio::time::{sleep, timeout};
use twentyfirst_local_relay::{Agent, Isolation, LocalRelay, Run};

/// Creates a scene with isolated commands, if this system allows it. Its agent runs the user's text as a command.
///
/// This process becomes the parent of all orphans, and does not collect them.
async fn scene() -> Option<Scene> {
    set_child_subreaper(Some(getpid())).unwrap();
    let agent = Agent::new(async |run: Run| {
        run.sandbox().exec(run.text()).await?;
        Ok(())
    });
    let builder = LocalRelay::builder().agent("agent", agent);
    let relay = builder.isolation(Isolation::Namespaces).start().ok()?;
    Some(Scene::on(relay).await)
}

/// Returns a command whose process has a unique name, and that name.
fn command(name: &str, script: &str) -> (String, String) {
    let name = format!("{name}{}", std::process::id());
    let command = format!("cp $(command -v bash) {name} && exec ./{name} -c '{script}; true'");
    (command, name)
}

/// Returns the processes with this name, including dead ones, with their parents.
fn processes(name: &str) -> Vec<(Pid, Pid)> {
    let place = Path::new("/proc");
    let found = std::fs::read_dir(place).unwrap().filter_map(|entry| {
        let number = entry.ok()?.file_name().into_string().ok()?;
        let status = std::fs::read_to_string(place.join(&number).join("stat")).ok()?;
        let (start, rest) = status.rsplit_once(") ")?;
        let parent = Pid::from_raw(rest.split(' ').nth(1)?.parse().ok()?)?;
        let is_meant = start.ends_with(&format!("({name}"));
        is_meant.then_some((Pid::from_raw(number.parse().ok()?)?, parent))
    });
    found.collect()
}

/// Waits for a process with this name, and returns its parent.
async fn parent_of(name: &str) -> Pid {
    let parent = async {
        loop {
            if let [(_, parent), ..] = processes(name)[..] {
                return parent;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let found = timeout(Duration::from_secs(30), parent).await;
    found.expect("there is such a process")
}

async fn delete(scene: &Scene) {
    let target = format!("/v1/sandboxes/{}", scene.sandbox);
    scene.client.delete(&target).await.expect(204);
}

#[tokio::test]
async fn a_command_that_timed_out_leaves_no_orphan() {
    let Some(scene) = scene().await else { return };
    for script in ["sleep 60", "sleep 60 & sleep 60", "kill -STOP $$"] {
        let (command, name) = command("late", script);
        let body = json!({ "command": command, "timeoutMs": 1000 });
        let reply = scene.client.exec(&scene.sandbox, body).await;
        assert_eq!(reply.error().1, "command_timeout", "{script}");
        assert_eq!(processes(&name), [], "{script}");
    }
    delete(&scene).await;
}

#[tokio::test]
async fn a_command_of_a_cancelled_run_leaves_no_orphan() {
    let Some(scene) = scene().await else { return };
    let (command, name) = command("run", "sleep 60");
    let _stream = scene.chat(&command).await;
    parent_of(&name).await;
    scene.cancel().await;
    delete(&scene).await;
    assert_eq!(processes(&name), []);
}

#[tokio::test]
async fn a_command_running_at_the_end_of_the_relay_leaves_no_orphan() {
    let Some(scene) = scene().await else { return };
    let (command, name) = command("end", "sleep 60");
    let _stream = scene.chat(&command).await;
    parent_of(&name).await;
    scene.relay.shutdown();
    assert_eq!(processes(&name), []);
}

#[tokio::test]
async fn a_sandbox_ends_even_if_another_orphan_is_never_collected() {
    let Some(scene) = scene().await else { return };
    let (command, name) = command("left", "sleep 60");
    let _stream = scene.chat(&command).await;
    kill_process(parent_of(&name).await, Signal::KILL).unwrap();
    delete(&scene).await;
    assert_eq!(parent_of(&name).await, getpid());
}
