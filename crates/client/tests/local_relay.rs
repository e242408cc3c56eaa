//! Every method of the client against the local relay: real files, real processes, real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use twentyfirst_client::protocol::files::{FileType, ListFiles};
use twentyfirst_client::protocol::git::CloneRepository;
use twentyfirst_client::protocol::runs::{
    CancelStatus, CancelStream, ResumeStream, Resumed, RunOptions, StartRun,
};
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, Exec, Sandbox, SandboxStatus};
use twentyfirst_client::protocol::threads::{CreateThread, ThreadStatus};
use twentyfirst_client::protocol::ui::{Chunk, UiMessage};
use twentyfirst_client::protocol::vaults::{
    CredentialAuth, CredentialSettings, CredentialStatus, DeleteVault, UpdateVault, VaultStatus,
};
use twentyfirst_client::protocol::{ErrorCode, SandboxId, ThreadId};
use twentyfirst_client::transport::Body;
use twentyfirst_client::{AgentClient, Error};
use twentyfirst_local_relay::LocalRelay;

fn start() -> (LocalRelay, AgentClient) {
    let relay = LocalRelay::start().unwrap();
    let client = connect(&relay, relay.api_key());
    (relay, client)
}

fn connect(relay: &LocalRelay, key: &str) -> AgentClient {
    AgentClient::builder()
        .api_key(key)
        .base_url(relay.url())
        .build()
        .unwrap()
}

async fn sandbox(client: &AgentClient) -> Sandbox {
    client.sandboxes().create("shell").await.unwrap()
}

fn code(error: &Error) -> &ErrorCode {
    error
        .code()
        .unwrap_or_else(|| panic!("{error} has no code"))
}

#[tokio::test]
async fn a_request_that_came_over_another_version_of_http_is_passed_on() {
    let (_relay, client) = start();
    let sandbox = sandbox(&client).await;
    for version in [Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
        let request = Request::get(format!("/v1/sandboxes/{}", sandbox.id)).version(version);
        let request = request.body(Body::empty()).unwrap();
        let response = client.send(request).await.unwrap();
        assert_eq!(
            (response.status(), response.version()),
            (StatusCode::OK, Version::HTTP_11)
        );
    }
}

#[tokio::test]
async fn sandboxes() {
    let (_relay, client) = start();
    let create = CreateSandbox::new("shell")
        .file("/home/user/data/input.json", "{\"items\":[1]}")
        .file("notes.txt", "relative paths are under /root")
        .env("GREETING", "hello")
        .setup(["cp data/input.json copy.json", "exit 1"])
        .timeout(Duration::from_secs(600));
    let sandbox = client.execute(&create).await.unwrap();
    assert_eq!(sandbox.status, SandboxStatus::Active);
    assert!(sandbox.machine_id.is_some());
    assert!(sandbox.created_at.unwrap().to_system_time().is_some());

    let output = client
        .sandboxes()
        .exec(&sandbox.id, "cat /home/user/copy.json; cat notes.txt")
        .await
        .unwrap();
    assert_eq!(
        output.stdout,
        "{\"items\":[1]}relative paths are under /root"
    );
    let exec = Exec::new(&sandbox.id, "pwd; echo $A; echo err >&2; exit 3")
        .cwd("/home/user")
        .env("A", "b c");
    let output = client.execute(&exec).await.unwrap();
    assert_eq!(
        (
            output.exit_code,
            output.stdout.as_str(),
            output.stderr.as_str()
        ),
        (3, "/home/user\nb c\n", "err\n")
    );
    let slow = Exec::new(&sandbox.id, "sleep 20").timeout(Duration::from_millis(200));
    assert_eq!(
        code(&client.execute(&slow).await.unwrap_err()),
        &ErrorCode::CommandTimeout
    );

    let found = client.sandboxes().get(&sandbox.id).await.unwrap();
    assert_eq!(found.agent.unwrap().slug, "shell");
    client.sandboxes().delete(&sandbox.id).await.unwrap();
    let error = client.sandboxes().delete(&sandbox.id).await.unwrap_err();
    assert_eq!(code(&error), &ErrorCode::SandboxNotFound);
    let error = client.sandboxes().create("nobody").await.unwrap_err();
    assert_eq!(code(&error), &ErrorCode::AgentNotFound);
}

#[tokio::test]
async fn files() {
    let (_relay, client) = start();
    let id = &sandbox(&client).await.id;
    let files = client.sandboxes().files();

    let written = files
        .write_many(
            id,
            [
                ("/home/user/a.txt", "Привет 👩"),
                ("/home/user/d/b.txt", "b"),
            ],
        )
        .await
        .unwrap();
    assert_eq!(written[0].size, Some(9), "UTF-16 code units");
    assert_eq!(
        files.read_to_string(id, "/home/user/a.txt").await.unwrap(),
        "Привет 👩"
    );

    let bytes = Bytes::from((0..=255).cycle().take(100_000).collect::<Vec<u8>>());
    files
        .write(id, "/home/user/blob.bin", bytes.clone())
        .await
        .unwrap();
    assert_eq!(files.read(id, "/home/user/blob.bin").await.unwrap(), bytes);

    let content = Body::wrap(http_body_util::Full::new(bytes.clone()));
    let written = files
        .write_stream(id, "/home/user/stream.bin", content)
        .length(100_000)
        .await
        .unwrap();
    assert_eq!(written.size, Some(100_000));
    let content = Body::wrap(http_body_util::Full::new(bytes.clone()));
    files
        .write_stream(id, "/home/user/chunked.bin", content)
        .await
        .unwrap();
    for path in ["/home/user/stream.bin", "/home/user/chunked.bin"] {
        let body = files.read_stream(id, path).await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), bytes, "{path}");
    }
    // The relay reads an empty file only as text.
    files.write(id, "/home/user/empty", "").await.unwrap();
    let empty = files.read(id, "/home/user/empty").await.unwrap();
    assert!(empty.is_empty());
    let body = files.read_stream(id, "/home/user/empty").await.unwrap();
    assert!(body.collect().await.unwrap().to_bytes().is_empty());
    // The relay does not limit the bytes that are read; only the client does.
    let long = Bytes::from(vec![7; 12 << 20]);
    let body = Body::from(long.clone());
    files
        .write_stream(id, "/home/user/long.bin", body)
        .await
        .unwrap();
    let read = files.read(id, "/home/user/long.bin").await.unwrap();
    assert!(read == long, "{}", read.len());
    files.remove(id, "/home/user/long.bin").await.unwrap();
    // HTTP alone would cut off a file that has grown, and the upload would look like a success.
    for length in [99_999, 100_001] {
        for content in [
            Body::from(bytes.clone()),
            Body::wrap(http_body_util::Full::new(bytes.clone())),
        ] {
            let result = files
                .write_stream(id, "/home/user/other.bin", content)
                .length(length)
                .await;
            let error = result.unwrap_err();
            assert!(error.maybe_sent(), "{length}: {error}");
        }
    }
    let error = files
        .read_stream(id, "/home/user/none.bin")
        .await
        .unwrap_err();
    assert_eq!(code(&error), &ErrorCode::InternalError);

    let names = |entries: Vec<_>| {
        let mut names: Vec<String> = entries
            .into_iter()
            .map(|entry: twentyfirst_client::protocol::files::FileEntry| entry.path)
            .collect();
        names.retain(|name| name.ends_with(".txt"));
        names
    };
    assert_eq!(
        names(files.list(id, "/home/user").await.unwrap()),
        ["/home/user/a.txt"]
    );
    let deep = client
        .execute(&ListFiles::new(id, "/home/user").depth(2))
        .await
        .unwrap();
    assert_eq!(names(deep), ["/home/user/a.txt", "/home/user/d/b.txt"]);

    let info = files.info(id, "/home/user/d").await.unwrap();
    assert_eq!(
        (info.name.as_str(), info.file_type),
        ("d", Some(FileType::Dir))
    );
    assert!(files.make_dir(id, "/home/user/x/y/z").await.unwrap());
    assert!(!files.make_dir(id, "/home/user/x/y/z").await.unwrap());
    let moved = files
        .rename(id, "/home/user/a.txt", "/home/user/x/c.txt")
        .await
        .unwrap();
    assert_eq!(moved.path, "/home/user/x/c.txt");
    assert!(!files.exists(id, "/home/user/a.txt").await.unwrap());
    assert!(files.exists(id, "/home/user/x/c.txt").await.unwrap());
    files.remove(id, "/home/user/x").await.unwrap();
    files.remove(id, "/home/user/x").await.unwrap();
    let error = files.info(id, "/home/user/x").await.unwrap_err();
    assert_eq!(code(&error), &ErrorCode::FileNotFound);
}

#[tokio::test]
async fn git() {
    let (_relay, client) = start();
    let id = &sandbox(&client).await.id;
    let make = "git init -q -b main /home/user/w && cd /home/user/w && git config user.email a@b \
                && git config user.name a && echo 1 > f && git add -A && git commit -qm one \
                && git clone -q --bare /home/user/w /home/user/src.git";
    let output = client.sandboxes().exec(id, make).await.unwrap();
    assert!(output.success(), "{}", output.stderr);

    let cloned = client
        .sandboxes()
        .git()
        .clone_repository(id, "file:///home/user/src.git")
        .await
        .unwrap();
    assert!(
        client
            .sandboxes()
            .files()
            .exists(id, format!("{}/f", cloned.path))
            .await
            .unwrap()
    );
    let clone = CloneRepository::new(id, "file:///home/user/src.git")
        .path("/home/user/r2")
        .branch("main")
        .depth(1);
    assert_eq!(client.execute(&clone).await.unwrap().path, "/home/user/r2");
    let none = CloneRepository::new(id, "file:///home/user/none.git").path("/home/user/r3");
    let error = client.execute(&none).await.unwrap_err();
    assert_eq!(code(&error), &ErrorCode::GitCloneFailed);
    let message = error.api_error().unwrap().message();
    assert!(message.contains("none.git"), "{message}");
}

#[tokio::test]
async fn threads() {
    let (_relay, client) = start();
    let id = &sandbox(&client).await.id;
    let first = client.threads().create(id).await.unwrap();
    let second = client
        .execute(&CreateThread::new(id).name("Code Review"))
        .await
        .unwrap();
    let threads = client.threads().list(id).await.unwrap();
    assert_eq!(
        threads.iter().map(|thread| &thread.id).collect::<Vec<_>>(),
        [&second.id, &first.id],
        "newest first"
    );
    assert_eq!(threads[0].name.as_deref(), Some("Code Review"));

    let thread = client.threads().get(id, &first.id).await.unwrap();
    assert_eq!((thread.status, thread.messages), (ThreadStatus::Idle, None));
    client.threads().delete(id, &first.id).await.unwrap();
    let error = client.threads().get(id, &first.id).await.unwrap_err();
    assert_eq!(code(&error), &ErrorCode::ThreadNotFound);
    let odd = ThreadId::new("thr_xyz789").unwrap();
    assert_eq!(
        code(&client.threads().get(id, &odd).await.unwrap_err()),
        &ErrorCode::InternalError
    );
}

#[tokio::test]
async fn a_run_creates_what_is_missing_and_is_stored() {
    let (_relay, client) = start();
    let start = StartRun::new("shell", "echo one > f; cat f")
        .name("First")
        .options(RunOptions::new().max_turns(3));
    let mut run = client.threads().start(start).await.unwrap();
    let (sandbox, thread) = (run.sandbox_id().clone(), run.thread_id().clone());
    assert_eq!(run.created().sandbox_id.as_ref(), Some(&sandbox));
    assert_eq!(run.created().thread_id.as_ref(), Some(&thread));

    let message = run.message().await.unwrap();
    let call = message.tool_calls().next().unwrap();
    assert!(
        call.output.as_ref().unwrap().get().contains("one"),
        "{call:?}"
    );
    assert!(!message.text().is_empty());

    // To the end of the stream and not only to `finish`: only then is the thread stored for certain.
    while let Some(chunk) = run.next_chunk().await {
        chunk.unwrap();
    }
    let stored = client.threads().get(&sandbox, &thread).await.unwrap();
    assert_eq!(
        (stored.status.clone(), stored.name.as_deref()),
        (ThreadStatus::Completed, Some("First"))
    );
    let messages: Vec<&UiMessage> = stored.ui_messages().collect();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1], &message, "what was streamed is what is stored");
    assert!(stored.usage.total_cost_usd.is_some());

    let again = StartRun::new("shell", "cat f")
        .sandbox_id(&sandbox)
        .thread_id(&thread);
    client
        .threads()
        .start(again)
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let stored = client.threads().get(&sandbox, &thread).await.unwrap();
    assert_eq!(stored.ui_messages().count(), 4);
}

#[tokio::test]
async fn a_run_in_the_background() {
    let (_relay, client) = start();
    let started = client
        .threads()
        .run("echo", "Hello there")
        .in_background()
        .await
        .unwrap();
    let thread = loop {
        let thread = client
            .threads()
            .get(&started.run.sandbox_id, &started.run.thread_id)
            .await
            .unwrap();
        if thread.status != ThreadStatus::Streaming {
            break thread;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(thread.status, ThreadStatus::Completed);
    assert!(
        thread
            .ui_messages()
            .last()
            .unwrap()
            .text()
            .contains("Hello there")
    );
}

#[tokio::test]
async fn a_run_is_cancelled() {
    let (_relay, client) = start();
    let mut run = client.threads().run("shell", "sleep 30").await.unwrap();
    // The command has been announced, so the run has started.
    loop {
        if let Chunk::ToolInputAvailable(_) = run.next_chunk().await.unwrap().unwrap() {
            break;
        }
    }
    assert_eq!(run.cancel().await.unwrap().status, CancelStatus::Cancelled);
    assert!(run.message().await.unwrap_err().is_run_cancelled());
    let thread = client
        .threads()
        .get(run.sandbox_id(), run.thread_id())
        .await
        .unwrap();
    assert_eq!(
        (thread.status, thread.messages),
        (ThreadStatus::Cancelled, None)
    );
    assert_eq!(run.cancel().await.unwrap().status, CancelStatus::Idle);
}

#[tokio::test]
async fn a_run_that_nobody_reads_goes_on_and_can_be_joined() {
    let (_relay, client) = start();
    let start = StartRun::new(
        "shell",
        "echo one\nuntil [ -e go ]; do sleep 0.05; done; echo two",
    );
    let run = client.threads().start(start).await.unwrap();
    let (sandbox, thread) = (run.sandbox_id().clone(), run.thread_id().clone());
    drop(run);

    let (resumed, body) = client
        .open(&ResumeStream::new("shell", &sandbox))
        .await
        .unwrap();
    assert_eq!(resumed, Resumed::Streaming);
    let files = client.sandboxes().files();
    files.write(&sandbox, "/home/user/go", "").await.unwrap();
    let stream = body.collect().await.unwrap().to_bytes();
    assert!(stream.ends_with(b"data: [DONE]\n\n"));
    let thread = client.threads().get(&sandbox, &thread).await.unwrap();
    assert_eq!(thread.status, ThreadStatus::Completed);

    let (resumed, _) = client
        .open(&ResumeStream::new("shell", &sandbox))
        .await
        .unwrap();
    assert_eq!(resumed, Resumed::Nothing);
    let cancelled = client
        .execute(&CancelStream::new("shell", &sandbox))
        .await
        .unwrap();
    assert_eq!(cancelled.status, CancelStatus::Idle);
}

#[tokio::test]
async fn tokens() {
    let (relay, client) = start();
    let token = client
        .tokens()
        .create()
        .agent("echo")
        .user_id("user_1")
        .await
        .unwrap();
    let left = token
        .expires_at
        .to_system_time()
        .unwrap()
        .duration_since(std::time::SystemTime::now())
        .unwrap();
    assert!(left > Duration::from_secs(3590) && left <= Duration::from_secs(3600));

    let browser = connect(&relay, token.token.expose());
    let text = browser
        .threads()
        .run("echo", "Hi")
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(text.contains("Hi"));
    let error = browser.threads().run("shell", "true").await.unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
    assert!(
        error.created().sandbox_id.is_some(),
        "the token's agents restrict chat only"
    );
    assert!(
        browser
            .tokens()
            .create()
            .await
            .unwrap_err()
            .is_unauthorized()
    );
    assert_eq!(
        code(&browser.vaults().list().await.unwrap_err()),
        &ErrorCode::ApiKeyRequired
    );

    let error = connect(&relay, "21st_sk_unknown")
        .sandboxes()
        .create("echo")
        .await
        .unwrap_err();
    assert_eq!(error.status().unwrap(), 401);
    assert!(!format!("{error:?}").contains("21st_sk_unknown"));
}

#[tokio::test]
async fn vaults() {
    let (_relay, client) = start();
    let vaults = client.vaults();
    let vault = vaults.create("Main").await.unwrap();
    let keep = UpdateVault::new(&vault.id, [("tier".to_owned(), "gold".to_owned())].into());
    let vault = vaults
        .update(keep.description(Some("desc".to_owned())))
        .await
        .unwrap();
    let vault = vaults
        .update(&vault)
        .name("Renamed")
        .description(None)
        .await
        .unwrap();
    assert_eq!(
        (vault.name.as_str(), vault.description.as_ref()),
        ("Renamed", None)
    );
    assert_eq!(
        vault.metadata["tier"], "gold",
        "kept because the update said so"
    );
    vaults.set_default(&vault.id).await.unwrap();

    let url = "https://mcp.linear.app/mcp";
    let settings = CredentialSettings::new(url, CredentialAuth::bearer("tok_x")).name("Linear");
    let credential = vaults
        .create_credential(&vault.id, settings.clone())
        .await
        .unwrap();
    assert_eq!(credential.name.as_deref(), Some("Linear"));
    let error = vaults
        .create_credential(&vault.id, settings.clone())
        .await
        .unwrap_err();
    assert!(error.is_conflict());
    assert_eq!(
        vaults
            .update_credential(&vault, &credential, settings.name("Linear 2"))
            .await
            .unwrap()
            .name
            .as_deref(),
        Some("Linear 2")
    );

    vaults
        .archive_credential(&vault.id, &credential.id)
        .await
        .unwrap();
    let detail = vaults.get(&vault.id).await.unwrap();
    assert!(detail.vault.is_default);
    assert_eq!(
        detail.vault.credentials[0].status,
        CredentialStatus::Archived
    );
    vaults
        .archive_credential(&vault, &credential)
        .force(true)
        .await
        .unwrap();

    vaults.archive(&vault.id).await.unwrap();
    assert_eq!(
        vaults.list().await.unwrap().vaults[0].status,
        VaultStatus::Archived
    );
    client
        .execute(&DeleteVault::new(&vault.id).force(true))
        .await
        .unwrap();
    assert!(vaults.get(&vault.id).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn without_a_relay_nothing_was_sent() {
    let (relay, client) = start();
    drop(relay);
    let id = SandboxId::new("sb_1").unwrap();
    let error = client.sandboxes().get(&id).await.unwrap_err();
    assert!(error.is_connect() && !error.maybe_sent(), "{error}");
}
