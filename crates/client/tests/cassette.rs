//! A recording of the local relay, played without it; and what is not in it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use twentyfirst_client::protocol::runs::StartRun;
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, Exec};
use twentyfirst_client::protocol::tokens::CreateToken;
use twentyfirst_client::protocol::vaults::{CreateCredential, CredentialAuth, CredentialSettings};
use twentyfirst_client::transport::{HttpTransport, Transport};
use twentyfirst_client::{AgentClient, Error, cassette};
use twentyfirst_local_relay::LocalRelay;

#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn client(relay_url: &str, transport: impl Transport) -> AgentClient {
    AgentClient::builder()
        .api_key("21st_sk_local")
        .base_url(relay_url)
        .transport(transport)
        .build()
        .unwrap()
}

/// A test as a user would write it.
async fn story(client: &AgentClient) -> Result<(String, String), Error> {
    let create = CreateSandbox::new("shell").env("PASSWORD", "env-hunter2");
    let sandbox = client.execute(&create).await?;
    let exec = Exec::new(&sandbox.id, "echo hello").env("PASSWORD", "exec-hunter2");
    let output = client.execute(&exec).await?;
    let start = StartRun::new("shell", "echo from the agent").sandbox_id(&sandbox.id);
    let text = client.threads().run(start).await?.text().await?;
    client.tokens().create(&CreateToken::new()).await?;
    let vault = client.vaults().create("Main").await?;
    let settings = CredentialSettings::new(
        "https://mcp.example.com",
        CredentialAuth::bearer("vault-hunter2"),
    );
    client
        .vaults()
        .create_credential(&CreateCredential::new(&vault.id, settings))
        .await?;
    client.sandboxes().delete(&sandbox.id).await?;
    Ok((output.stdout, text))
}

#[tokio::test]
async fn a_recording_is_played_without_the_relay_and_holds_no_secret() {
    let file = File::default();
    let recorded = {
        let relay = LocalRelay::start().unwrap();
        let recorder = cassette::recorder(HttpTransport::new().unwrap(), file.clone());
        story(&client(relay.url(), recorder)).await.unwrap()
    };
    let recording = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
    assert_eq!(recorded.0, "hello\n");

    for secret in ["hunter2", "21st_sk_local", "an_t_"] {
        assert!(!recording.contains(secret), "{secret} in {recording}");
    }

    let player = cassette::player(&recording).unwrap();
    let played = story(&client("http://127.0.0.1:1", player)).await.unwrap();
    assert_eq!(played, recorded);

    let player = cassette::player(&recording).unwrap();
    let error = client("http://127.0.0.1:1", player)
        .sandboxes()
        .create("echo")
        .await
        .unwrap_err();
    let mut shown = format!("{error}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        shown += &format!("\n{error}");
        source = error.source();
    }
    assert!(
        shown.contains("shell") && shown.contains("echo"),
        "the difference is shown: {shown}"
    );
}
