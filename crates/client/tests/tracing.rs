//! Secrets of a whole conversation, which spans, errors and `Debug` output must not show.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use twentyfirst_client::protocol::git::CloneRepository;
use twentyfirst_client::protocol::runs::StartRun;
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, Exec};
use twentyfirst_client::protocol::vaults::{
    CreateCredential, CredentialAuth, CredentialSettings, Oauth,
};
use twentyfirst_client::protocol::{Endpoint, SandboxId};
use twentyfirst_client::{AgentClient, Error};
use twentyfirst_local_relay::LocalRelay;

/// Records all spans and events, of all crates and levels.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Everything {
    fn line(&self, what: &str, record: impl FnOnce(&mut Fields<'_>)) {
        let mut lines = self.0.lock().unwrap();
        lines.push_str(what);
        record(&mut Fields(&mut lines));
        lines.push('\n');
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.line(span.metadata().name(), |fields| span.record(fields));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.line("record", |fields| values.record(fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.line(event.metadata().name(), |fields| event.record(fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Returns everything that the texts of a value or an error show.
fn shown<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = match result {
        Ok(value) => return format!("{value:?}\n{value:#?}\n"),
        Err(error) => error,
    };
    let mut text = format!("{error}\n{error:?}\n{error:#?}\n{:?}\n", error.api_error());
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text += &format!("{error}\n{error:?}\n");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn errors_and_traces_show_no_secret() {
    let everything = Everything::default();
    let _guard = tracing::subscriber::set_default(everything.clone());
    let relay = LocalRelay::start().unwrap();
    let client = AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
        .build()
        .unwrap();
    let mut text = format!(
        "{client:?} {:?} {:?}",
        client.sandboxes(),
        AgentClient::builder().api_key("builder-hunter2")
    );

    let create = CreateSandbox::new("shell").env("PASSWORD", "env-hunter2");
    let sandbox = client.execute(&create).await.unwrap();
    let exec = Exec::new(&sandbox.id, "test -n \"$PASSWORD\"").env("PASSWORD", "exec-hunter2");
    let url = "https://me:url-hunter2@127.0.0.1:1/none.git";
    let clone = CloneRepository::new(&sandbox.id, url).token("git-hunter2");
    let vault = client.vaults().create("Main").await.unwrap();
    let bearer = CredentialSettings::new(
        "https://a.example.com",
        CredentialAuth::bearer("bearer-hunter2"),
    );
    let oauth = Oauth::new("access-hunter2").refresh(
        "refresh-hunter2",
        "https://b.example.com/token",
        "client",
    );
    let oauth = CreateCredential::new(
        &vault.id,
        CredentialSettings::new("https://b.example.com", oauth),
    );
    let bearer = CreateCredential::new(&vault.id, bearer);
    text += &format!("{create:?} {exec:?} {clone:?} {bearer:?} {oauth:?}");
    text += &format!("{:?} {:?}", create.to_request(), bearer.to_request());
    text += &shown(client.execute(&exec).await);
    text += &shown(client.execute(&clone).await);
    text += &shown(client.execute(&bearer).await);
    text += &shown(client.execute(&bearer).await);
    text += &shown(client.execute(&oauth).await);
    text += &shown(client.vaults().get(&vault.id).await);

    let token = client.tokens().create().agent("echo").await.unwrap();
    text += &format!("{token:?}");
    let browser = AgentClient::builder()
        .api_key(token.token.expose())
        .base_url(relay.url())
        .build()
        .unwrap();
    text += &shown(browser.tokens().create().await);
    text += &shown(browser.threads().run("shell", "true").await);
    drop(relay);
    text += &shown(client.execute(&create).await);

    text += &everything.0.lock().unwrap();
    for secret in ["hunter2", "21st_sk_local", token.token.expose()] {
        let at = text.find(secret).map(|at| &text[at.saturating_sub(80)..at]);
        assert_eq!(at, None, "{secret}");
    }
}

#[tokio::test]
async fn spans_have_routes_and_no_contents() {
    let everything = Everything::default();
    let _guard = tracing::subscriber::set_default(everything.clone());
    let relay = LocalRelay::start().unwrap();
    let client = AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(relay.url())
        .build()
        .unwrap();

    let create = CreateSandbox::new("shell").env("PASSWORD", "hunter2");
    let sandbox = client.execute(&create).await.unwrap();
    client
        .execute(&Exec::new(&sandbox.id, "echo said-aloud").env("PASSWORD", "hunter2"))
        .await
        .unwrap();
    let start = StartRun::new("shell", "echo said-aloud").sandbox_id(&sandbox.id);
    client
        .threads()
        .start(start)
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let token = client.tokens().create().await.unwrap();
    let missing = SandboxId::new("no-such-sandbox").unwrap();
    assert!(client.sandboxes().get(&missing).await.is_err());

    let lines = everything.0.lock().unwrap().clone();
    for secret in [
        "hunter2",
        relay.api_key(),
        token.token.expose(),
        "said-aloud",
        "no-such-sandbox",
    ] {
        assert!(!lines.contains(secret), "{secret} in {lines}");
    }
    // Only the span of a run names its sandbox.
    let naming: Vec<_> = lines
        .lines()
        .filter(|line| line.contains(sandbox.id.as_str()))
        .collect();
    let of_run = format!("record twentyfirst.sandbox.id={:?}", sandbox.id.as_str());
    assert_eq!(naming, [of_run]);
    assert!(
        lines.contains(r#"operation method="POST" route="/v1/sandboxes/{sandboxId}/exec""#),
        "{lines}"
    );
    assert!(
        lines.contains(r#"request method="GET" route="/v1/sandboxes/{sandboxId}" attempt=1"#),
        "{lines}"
    );
    assert!(lines.contains("status=404"), "{lines}");
}
