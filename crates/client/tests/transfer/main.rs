//! Files and directories between a disk and sandboxes of the local relay: real files, real `tar`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(unix)]

mod directories;
mod files;
mod hostile;
mod names;
mod tree;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use twentyfirst_client::protocol::sandboxes::Exec;
use twentyfirst_client::transfer::Progress;
use twentyfirst_client::{AgentClient, Error, SandboxId};
use twentyfirst_local_relay::LocalRelay;

struct World {
    _relay: LocalRelay,
    client: AgentClient,
    sandbox: SandboxId,
    /// A directory on this machine.
    dir: tempfile::TempDir,
}

async fn world() -> World {
    world_of(LocalRelay::start().unwrap()).await
}

async fn world_of(relay: LocalRelay) -> World {
    let client = AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url());
    let client = client.build().unwrap();
    let sandbox = client.sandboxes().create("shell").await.unwrap().id;
    World {
        _relay: relay,
        client,
        sandbox,
        dir: tempfile::tempdir().unwrap(),
    }
}

impl World {
    fn files(&self) -> twentyfirst_client::Files {
        self.client.sandboxes().files()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the output of a command in the sandbox, which must succeed.
    async fn run(&self, command: &str) -> String {
        let exec = Exec::new(&self.sandbox, command).cwd("/home/user");
        let output = self.client.execute(&exec).await.unwrap();
        assert!(output.success(), "{command}: {}", output.stderr);
        output.stdout
    }

    /// Checks that no transfer left anything in the sandbox.
    async fn assert_clean(&self) {
        let files = self.files();
        let left = files.list(&self.sandbox, "/tmp").await.unwrap();
        let left: Vec<_> = left.iter().map(|entry| &entry.name).collect();
        assert!(
            !left.iter().any(|name| name.starts_with(".twentyfirst-")),
            "{left:?}"
        );
    }

    /// Returns the contents of the test's directory, and checks that no transfer left anything.
    fn here(&self) -> Vec<String> {
        let listing = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = listing
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Returns an error and its sources, one a line, without the path of the test's directory.
fn chain(world: &World, error: &Error) -> String {
    let mut lines = vec![error.to_string()];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        lines.push(error.to_string());
        source = error.source();
    }
    let dir = world.dir.path().canonicalize().unwrap();
    lines.join("\n").replace(dir.to_str().unwrap(), "[dir]")
}

/// Waits until something is so, for example because of another thread.
async fn eventually(mut is_so: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("this does not happen");
}

/// Returns a progress function that changes the length of this file during the transfer.
fn becomes(path: PathBuf, length: u64) -> impl FnMut(&Progress<'_>) + Send + 'static {
    move |_| {
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
    }
}
