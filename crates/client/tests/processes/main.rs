//! Commands that outlive their call, against the local relay: real shells, real processes, real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ending;
mod following;
mod ports;
mod starting;
mod stdin;

use twentyfirst_client::protocol::processes::OutputStream;
use twentyfirst_client::{AgentClient, Output, SandboxId};
use twentyfirst_local_relay::LocalRelay;

/// A relay, a client and a sandbox.
struct World {
    relay: LocalRelay,
    client: AgentClient,
    id: SandboxId,
}

impl World {
    async fn new() -> Self {
        Self::with(LocalRelay::start().unwrap()).await
    }

    async fn with(relay: LocalRelay) -> Self {
        let client = connect(&relay);
        let id = client.sandboxes().create("shell").await.unwrap().id;
        Self { relay, client, id }
    }

    /// Runs a command to its end, and returns what it wrote.
    async fn exec(&self, command: &str) -> String {
        let output = self.client.sandboxes().exec(&self.id, command).await;
        output.unwrap().stdout.trim().to_owned()
    }
}

fn connect(relay: &LocalRelay) -> AgentClient {
    AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
        .build()
        .unwrap()
}

/// Reads an output to its end: both streams. Each chunk begins where the one before it has ended.
async fn read(mut output: Output) -> (String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(chunk) = output.next_chunk().await {
        let chunk = chunk.unwrap();
        let of = match chunk.stream {
            OutputStream::Stdout => &mut stdout,
            OutputStream::Stderr => &mut stderr,
        };
        assert_eq!(chunk.offset, of.len() as u64);
        of.extend_from_slice(&chunk.bytes);
    }
    (
        String::from_utf8_lossy(&stdout).into_owned(),
        String::from_utf8_lossy(&stderr).into_owned(),
    )
}
