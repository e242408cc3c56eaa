//! Calls: each sends the same request as its operation, and its future owns everything it needs.

use std::time::Duration;

use http::Request;
use serde_json::json;
use twentyfirst_client::protocol::files::{
    FileExists, GetFileInfo, ListFiles, MakeDir, ReadBytes, ReadFile, ReadStream, RemoveFile,
    RenameFile, WriteBytes, WriteFiles, WriteStream,
};
use twentyfirst_client::protocol::git::CloneRepository;
use twentyfirst_client::protocol::runs::SendMessages;
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, DeleteSandbox, Exec, GetSandbox};
use twentyfirst_client::protocol::threads::{CreateThread, DeleteThread, GetThread, ListThreads};
use twentyfirst_client::protocol::tokens::CreateToken;
use twentyfirst_client::protocol::vaults::{
    CreateCredential, CreateVault, CredentialAuth, CredentialSettings, DeleteCredential,
    DeleteVault, GetVault, ListVaults, SetDefaultVault, UpdateCredential, UpdateVault, Vault,
};
use twentyfirst_client::protocol::{Body, CredentialId, Endpoint, VaultId};
use twentyfirst_client::{
    AgentClient, Call, RetryPolicy, RunOptions, RunRef, SandboxId, Session, StartRun, ThreadId,
    UiMessage,
};

use crate::support::{Log, SentRequest, client, event_stream, json as json_response};

/// Compares calls with the requests of their operations.
struct Calls {
    client: AgentClient,
    sent: Log,
    /// The requests so far, for a snapshot.
    shown: String,
}

impl Calls {
    fn new() -> Self {
        let (client, sent) = client("https://relay.example", |_| json_response(400, "{}"));
        Self {
            client,
            sent,
            shown: String::new(),
        }
    }

    /// Makes a call, and checks that it sends the request of the operation.
    async fn same<O: Send + 'static, T: Send + 'static>(
        &mut self,
        call: Call<O, T>,
        operation: &impl Endpoint,
    ) {
        self.sends(call, operation.to_request().unwrap(), None)
            .await;
    }

    /// Makes a call, and checks that it sends this request, with `body` if the operation does not have the body itself.
    async fn sends<O: Send + 'static, T: Send + 'static>(
        &mut self,
        call: Call<O, T>,
        expected: Request<Body>,
        body: Option<&[u8]>,
    ) {
        // In another task, so the future must own everything it needs.
        let failed = tokio::spawn(call).await.unwrap().is_err();
        assert!(failed);
        let mut sent = self.sent.take();
        assert_eq!(sent.len(), 1);
        let SentRequest {
            method,
            target,
            headers,
            body: sent_body,
        } = sent.remove(0);
        let target = target.strip_prefix("https://relay.example").unwrap();
        assert_eq!(method, expected.method().as_str());
        assert_eq!(target, expected.uri().to_string());
        for (name, value) in expected.headers() {
            assert_eq!(headers.get(name), Some(value), "{name}");
        }
        let expected = expected.into_body().into_bytes();
        assert_eq!(sent_body, body.unwrap_or(&expected));
        let text = String::from_utf8(sent_body).unwrap();
        self.shown += format!("{method} {target} {text}").trim_end();
        self.shown.push('\n');
    }
}

fn sandbox() -> SandboxId {
    SandboxId::new("sbx_1").unwrap()
}

fn thread() -> ThreadId {
    ThreadId::new("thr_1").unwrap()
}

fn vault() -> VaultId {
    VaultId::new("vlt_1").unwrap()
}

fn credential() -> CredentialId {
    CredentialId::new("crd_1").unwrap()
}

#[tokio::test]
async fn sandboxes_files_and_repositories_are_called_as_their_operations() {
    let mut calls = Calls::new();
    let client = calls.client.clone();
    let (sandboxes, one) = (client.sandboxes(), client.sandbox("sbx_1"));
    let limit = Duration::from_secs(90);

    let create = CreateSandbox::new("coder")
        .file("a.txt", "a")
        .files([("b.txt", "b")])
        .env("CI", "1")
        .envs([("B", "2")])
        .setup(["npm install"])
        .timeout(limit)
        .network_allow_out(["a.example"])
        .network_deny_out(["b.example"]);
    let call = sandboxes
        .create("coder")
        .file("a.txt", "a")
        .files([("b.txt", "b")])
        .env("CI", "1")
        .envs([("B", "2")])
        .setup(["npm install"])
        .timeout(limit)
        .network_allow_out(["a.example"])
        .network_deny_out(["b.example"]);
    calls.same(call, &create).await;
    calls.same(client.call(create.clone()), &create).await;
    calls
        .same(sandboxes.get("sbx_1"), &GetSandbox::new(sandbox()))
        .await;
    calls
        .same(one.delete(), &DeleteSandbox::new(sandbox()))
        .await;
    let exec = Exec::new(sandbox(), "npm test")
        .cwd("repo")
        .env("CI", "1")
        .envs([("B", "2")])
        .timeout(limit);
    let call = sandboxes
        .exec("sbx_1", "npm test")
        .cwd("repo")
        .env("CI", "1")
        .envs([("B", "2")])
        .timeout(limit);
    calls.same(call, &exec).await;
    calls
        .same(
            one.exec("npm test")
                .cwd("repo")
                .envs([("CI", "1"), ("B", "2")])
                .timeout(limit),
            &exec,
        )
        .await;

    let clone = CloneRepository::new(sandbox(), "https://x.example/y.git")
        .path("y")
        .token("ghp_1")
        .depth(1)
        .branch("dev");
    let call = one.git().clone_repository("https://x.example/y.git");
    calls
        .same(call.path("y").token("ghp_1").depth(1).branch("dev"), &clone)
        .await;

    let (any, files) = (sandboxes.files(), one.files());
    let two = [("a.txt", "a"), ("b.txt", "b")];
    calls
        .same(
            any.write_many("sbx_1", two),
            &WriteFiles::new(sandbox(), two),
        )
        .await;
    calls
        .same(
            files.read_to_string("a.txt"),
            &ReadFile::new(sandbox(), "a.txt"),
        )
        .await;
    calls
        .same(
            files.write("a", "abc"),
            &WriteBytes::new(sandbox(), "a", "abc"),
        )
        .await;
    calls
        .same(files.read("a"), &ReadBytes::new(sandbox(), "a"))
        .await;
    calls
        .same(files.read_stream("a"), &ReadStream::new(sandbox(), "a"))
        .await;
    let write = WriteStream::new(sandbox(), "a")
        .length(3)
        .to_request()
        .unwrap();
    // The length is known from the body, or set.
    calls
        .sends(files.write_stream("a", "abc"), write, Some(b"abc"))
        .await;
    let write = WriteStream::new(sandbox(), "a")
        .length(3)
        .to_request()
        .unwrap();
    calls
        .sends(
            any.write_stream("sbx_1", "a", "abc").length(3),
            write,
            Some(b"abc"),
        )
        .await;
    calls
        .same(
            files.list("a").depth(2),
            &ListFiles::new(sandbox(), "a").depth(2),
        )
        .await;
    calls
        .same(files.info("a"), &GetFileInfo::new(sandbox(), "a"))
        .await;
    calls
        .same(files.exists("a"), &FileExists::new(sandbox(), "a"))
        .await;
    calls
        .same(files.make_dir("a"), &MakeDir::new(sandbox(), "a"))
        .await;
    calls
        .same(
            files.rename("a", "b"),
            &RenameFile::new(sandbox(), "a", "b"),
        )
        .await;
    calls
        .same(files.remove("a"), &RemoveFile::new(sandbox(), "a"))
        .await;
    insta::assert_snapshot!(calls.shown);
}

#[tokio::test]
async fn threads_runs_tokens_and_vaults_are_called_as_their_operations() {
    let mut calls = Calls::new();
    let client = calls.client.clone();

    let (threads, ours) = (client.threads(), client.sandbox("sbx_1").threads());
    calls
        .same(threads.list("sbx_1"), &ListThreads::new(sandbox()))
        .await;
    calls
        .same(
            ours.create().name("x"),
            &CreateThread::new(sandbox()).name("x"),
        )
        .await;
    calls
        .same(
            threads.get("sbx_1", "thr_1"),
            &GetThread::new(sandbox(), thread()),
        )
        .await;
    calls
        .same(
            ours.delete("thr_1"),
            &DeleteThread::new(sandbox(), thread()),
        )
        .await;

    let turn = UiMessage::user("Hi").with_id("turn-1");
    let options = RunOptions::new().max_turns(3);
    let send = SendMessages::new("coder", sandbox(), turn.clone())
        .thread_id(thread())
        .options(options.clone());
    let run = threads
        .run("coder", turn.clone())
        .sandbox_id(sandbox())
        .thread_id(thread())
        .options(options);
    calls.same(run, &send).await;
    let session = Session::new("coder")
        .sandbox_id(sandbox())
        .thread_id(thread());
    let send = SendMessages::new("coder", sandbox(), turn.clone()).thread_id(thread());
    let run = threads.start(session.run(turn)).look_first(false);
    calls.same(run, &send).await;

    let token = CreateToken::new()
        .agent("coder")
        .user_id("ann")
        .max_messages(3)
        .expires_in("15m".parse().unwrap());
    let call = client
        .tokens()
        .create()
        .agent("coder")
        .user_id("ann")
        .max_messages(3)
        .expires_in("15m".parse().unwrap());
    calls.same(call, &token).await;

    let vaults = client.vaults();
    let settings = CredentialSettings::new("https://mcp.example", CredentialAuth::bearer("s"));
    calls.same(vaults.list(), &ListVaults::new()).await;
    let create = CreateVault::new("a").description("b").metadata("c", "d");
    calls
        .same(
            vaults.create("a").description("b").metadata("c", "d"),
            &create,
        )
        .await;
    calls
        .same(vaults.get("vlt_1"), &GetVault::new(vault()))
        .await;
    let known = Vault::new(vault(), "a");
    calls
        .same(
            vaults.update(&known).name("b"),
            &UpdateVault::of(&known).name("b"),
        )
        .await;
    calls
        .same(
            vaults.archive(&known).force(true),
            &DeleteVault::new(vault()).force(true),
        )
        .await;
    calls
        .same(vaults.set_default("vlt_1"), &SetDefaultVault::new(vault()))
        .await;
    let create = CreateCredential::new(vault(), settings.clone());
    calls
        .same(vaults.create_credential("vlt_1", settings.clone()), &create)
        .await;
    let update = UpdateCredential::new(vault(), credential(), settings.clone());
    calls
        .same(
            vaults.update_credential("vlt_1", "crd_1", settings),
            &update,
        )
        .await;
    let archive = DeleteCredential::new(vault(), credential()).force(true);
    calls
        .same(
            vaults.archive_credential("vlt_1", "crd_1").force(true),
            &archive,
        )
        .await;
    insta::assert_snapshot!(calls.shown);
}

#[tokio::test]
async fn an_invalid_id_is_refused_before_anything_is_sent() {
    let calls = Calls::new();
    let sandbox = calls.client.sandbox("..");
    let error = sandbox.exec("ls").await.unwrap_err();
    assert!(error.to_string().contains("sandbox_id"), "{error}");
    assert!(sandbox.files().read_to_string("a").operation().is_none());
    let thread = calls.client.sandbox("sbx_1").threads().get("").await;
    assert!(thread.unwrap_err().to_string().contains("thread_id"));
    let threads = calls.client.threads();
    assert!(threads.get(String::new(), "thr_1").await.is_err());
    assert!(calls.sent.take().is_empty());
}

#[tokio::test]
async fn a_call_can_have_its_own_options() {
    let (client, sent) = client("https://relay.example", |_| json_response(503, "{}"));
    let three = client.options().retry(RetryPolicy::standard());
    client.vaults().list().await.unwrap_err();
    assert_eq!(sent.take().len(), 1);
    tokio::time::pause();
    client
        .vaults()
        .list()
        .with_options(three)
        .await
        .unwrap_err();
    assert_eq!(sent.take().len(), 3);
}

/// As a batch would do it. No call borrows from the function that makes it.
#[tokio::test]
async fn calls_are_collected_and_spawned() {
    let (client, sent) = client("https://relay.example", |request| {
        let command: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        json_response(
            200,
            json!({"exitCode": 0, "stdout": command["command"], "stderr": ""}),
        )
    });
    let sandboxes: Vec<String> = (0..3).map(|n| format!("sbx_{n}")).collect();
    let calls = sandboxes.iter().map(|sandbox| {
        client
            .sandbox(sandbox)
            .exec(format!("echo {sandbox}"))
            .into_future()
    });
    let outputs = futures_util::future::try_join_all(calls).await.unwrap();
    assert_eq!(outputs[2].stdout, "echo sbx_2");

    let mut tasks = tokio::task::JoinSet::new();
    for sandbox in sandboxes {
        tasks.spawn(client.sandboxes().exec(&sandbox, "ls"));
    }
    assert_eq!(tasks.join_all().await.len(), 3);
    assert_eq!(sent.take().len(), 6);
}

#[tokio::test]
async fn a_run_can_be_named_by_any_value_that_has_its_ids() {
    let (client, sent) = client("https://relay.example", |request| {
        if request.target.ends_with("/sandboxes") {
            return json_response(201, json!({"id": "sbx_1", "status": "active"}));
        }
        if request.target.ends_with("/threads") {
            return json_response(201, json!({"id": "thr_1"}));
        }
        if request.method == "POST" {
            return json_response(202, json!({"sandboxId": "sbx_1", "threadId": "thr_1"}));
        }
        event_stream("")
    });
    let start = StartRun::new("coder", "Hi");
    let started = client.threads().start(start).in_background().await.unwrap();
    assert_eq!(sent.take().len(), 3);
    drop(client.threads().follow(&started).unwrap());
    drop(client.threads().follow(&started.run).unwrap());
    let run = RunRef::new("coder", sandbox(), thread()).user_message_id("turn-1");
    let named = [
        client.threads().cancel(&run),
        client.threads().cancel(run.clone()),
    ];
    for call in named {
        assert_eq!(call.operation().unwrap(), &run);
    }
    let call = client.threads().cancel(&started);
    assert_eq!(call.operation().unwrap(), &started.run);
    assert!(
        sent.take().is_empty(),
        "nothing is sent until it is awaited"
    );
}
