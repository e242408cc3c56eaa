//! Responses that differ from the documents in harmless ways.

use twentyfirst_protocol::files::*;
use twentyfirst_protocol::http::Response;
use twentyfirst_protocol::runs::*;
use twentyfirst_protocol::sandboxes::*;
use twentyfirst_protocol::threads::*;
use twentyfirst_protocol::tokens::CreateToken;
use twentyfirst_protocol::vaults::*;
use twentyfirst_protocol::{
    Operation, ResponseError, SandboxId, StreamingOperation, ThreadId, VaultId,
};

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

fn vault() -> VaultId {
    VaultId::new("vault_1").unwrap()
}

fn try_read<O: Operation>(operation: &O, body: &str) -> Result<O::Output, ResponseError> {
    let head = Response::new(()).into_parts().0;
    operation.decode(&head, body.as_bytes())
}

fn read<O: Operation>(operation: &O, body: &str) -> O::Output {
    try_read(operation, body).unwrap()
}

/// Returns the object with each of `members` in turn replaced by `null`, text, a number, a list and an object.
fn with_odd_members(object: &str, members: &[&str]) -> Vec<String> {
    let mut odd = Vec::new();
    for member in members {
        for value in ["null", "\"\\ud83d\"", "1e999", "-7", "[[]]", "{\"a\":[]}"] {
            odd.push(format!(
                "{},\"{member}\":{value}}}",
                &object[..object.len() - 1]
            ));
        }
    }
    odd
}

#[test]
fn created_objects_are_known_by_their_id() {
    let create = CreateSandbox::new("my-agent");
    let created = read(&create, r#"{"id":"sb_1"}"#);
    assert_eq!(created, Sandbox::new(sandbox(), SandboxStatus::default()));
    assert_eq!(created.status.as_str(), "");
    let members = [
        "sandboxId",
        "provider",
        "status",
        "error",
        "agent",
        "threads",
        "createdAt",
        "updatedAt",
    ];
    for body in with_odd_members(r#"{"id":"sb_1"}"#, &members) {
        assert_eq!(read(&create, &body).id, sandbox(), "{body}");
        assert_eq!(read(&GetSandbox::new(sandbox()), &body).id, sandbox());
    }

    let create = CreateThread::new(sandbox());
    assert_eq!(
        read(&create, r#"{"id":"th_1"}"#).status,
        ThreadStatus::default()
    );
    for body in with_odd_members(
        r#"{"id":"th_1"}"#,
        &["name", "status", "createdAt", "updatedAt"],
    ) {
        assert_eq!(read(&create, &body).id.as_str(), "th_1", "{body}");
    }
    assert!(try_read(&create, r#"{"id":null}"#).is_err());

    let members = [
        "teamId",
        "name",
        "description",
        "isDefault",
        "status",
        "createdAt",
        "updatedAt",
        "archivedAt",
        "credentials",
    ];
    for body in with_odd_members(r#"{"id":"vault_1"}"#, &members) {
        let body = format!(r#"{{"vault":{body}}}"#);
        assert_eq!(read(&CreateVault::new("x"), &body).id, vault(), "{body}");
        assert_eq!(read(&GetVault::new(vault()), &body).vault.id, vault());
    }
    let settings = CredentialSettings::new("https://x", CredentialAuth::bearer("t"));
    let create = CreateCredential::new(vault(), settings);
    let members = [
        "vaultId",
        "name",
        "serverUrl",
        "serverUrlNormalized",
        "hostPattern",
        "inject",
        "authType",
        "auth",
        "status",
        "lastError",
        "lastResolvedAt",
        "createdAt",
        "updatedAt",
        "archivedAt",
    ];
    for body in with_odd_members(r#"{"id":"cred_1"}"#, &members) {
        let body = format!(r#"{{"credential":{body}}}"#);
        assert_eq!(read(&create, &body).id.as_str(), "cred_1", "{body}");
    }
}

#[test]
fn an_odd_member_does_not_hide_a_history() {
    let get = GetThread::new(sandbox(), ThreadId::new("th_1").unwrap());
    let thread = r#"{"id":"th_1","messages":[{"id":"m1","role":"user","parts":[]}]}"#;
    let members = [
        "name",
        "status",
        "usage",
        "error",
        "createdAt",
        "updatedAt",
        "completedAt",
    ];
    for body in with_odd_members(thread, &members) {
        assert_eq!(read(&get, &body).ui_messages().count(), 1, "{body}");
    }
    let usage = read(
        &get,
        r#"{"id":"th_1","usage":{"inputTokens":12.0,"outputTokens":"many","totalTokens":null,"totalCostUsd":"0.1","durationMs":-1}}"#,
    )
    .usage;
    assert_eq!((usage.input_tokens, usage.output_tokens), (Some(12), None));
    assert_eq!((usage.total_cost_usd, usage.duration_ms), (None, None));
}

#[test]
fn output_and_text_are_read_with_half_a_surrogate_pair() {
    let exec = Exec::new(sandbox(), "cat");
    let output = read(
        &exec,
        "{\"exitCode\":1.0,\"stdout\":\"a \\ud83d b \u{7f}\0\",\"stderr\":\"\\ude00\"}",
    );
    assert_eq!(
        output,
        ExecOutput::new(1, "a \u{fffd} b \u{7f}\0", "\u{fffd}")
    );
    let output = read(&exec, r#"{"exitCode":-1,"stdout":null,"stderr":null}"#);
    assert_eq!(output, ExecOutput::new(-1, "", ""));
    assert!(try_read(&exec, r#"{"stdout":"no exit code: did it end?"}"#).is_err());
    assert!(try_read(&exec, r#"{"exitCode":0,"stdout":"cut off"#).is_err());

    let text = read(
        &ReadFile::new(sandbox(), "a"),
        r#"{"path":null,"content":"\ud83d\ude00\ud83d"}"#,
    );
    assert_eq!(text.content, "😀\u{fffd}");

    let thread = r#"{"id":"th_1","name":"\ud83d","status":"error","error":"\ud83d: x","messages":[{"role":"user","parts":[{"type":"text","text":"\ud83d"}]}]}"#;
    let thread = read(
        &GetThread::new(sandbox(), ThreadId::new("th_1").unwrap()),
        thread,
    );
    assert_eq!(thread.name.as_deref(), Some("\u{fffd}"));
    assert_eq!(thread.error.as_deref(), Some("\u{fffd}: x"));
    assert_eq!(thread.ui_messages().count(), 1);
}

#[test]
fn numbers_are_doubles() {
    let entry =
        r#"{"name":"a","path":"/a","type":"file","size":10.0,"mode":4.2e2,"modifiedTime":0}"#;
    let entry = read(&GetFileInfo::new(sandbox(), "/a"), entry);
    assert_eq!((entry.size, entry.mode), (Some(10), Some(420)));
    assert_eq!(entry.modified_time, None);
    let exact = read(
        &GetFileInfo::new(sandbox(), "/a"),
        r#"{"name":"a","path":"/a","size":9007199254740993,"mode":9007199254740993}"#,
    );
    assert_eq!(
        (exact.size, exact.mode),
        (Some(9_007_199_254_740_993), None)
    );
    let written = r#"{"files":[{"path":"a","size":1.0},{"path":"b","size":"?"},{"size":2}]}"#;
    let written = read(&WriteFiles::new(sandbox(), [("a", "b")]), written);
    assert_eq!(
        written,
        [WrittenFile::new("a", Some(1)), WrittenFile::new("b", None)]
    );
}

#[test]
fn one_strange_element_does_not_hide_the_others() {
    let threads = read(
        &ListThreads::new(sandbox()),
        r#"[{"id":"th_1"},17,{"id":""},{"id":"th_2"}]"#,
    );
    assert_eq!(threads.len(), 2);
    let files = r#"[{"name":"a"},{"name":"b","path":"/b"},null]"#;
    assert_eq!(read(&ListFiles::new(sandbox(), "/"), files).len(), 1);
    let list = read(
        &ListVaults::new(),
        r#"{"vaults":[{"id":"v"},{}],"suggestions":[{},{"name":"a","url":"b"}]}"#,
    );
    assert_eq!((list.vaults.len(), list.suggestions.len()), (1, 1));
    for no_list in ["{}", "null", "\"\""] {
        assert!(try_read(&ListThreads::new(sandbox()), no_list).is_err());
        assert!(try_read(&ListVaults::new(), &format!(r#"{{"vaults":{no_list}}}"#)).is_err());
    }
}

#[test]
fn metadata_survives_an_update() {
    let get = GetVault::new(vault());
    let body = r#"{"vault":{"id":"v","metadata":{"tier":"gold","seats":3,"left":null}}}"#;
    let kept = UpdateVault::of(&read(&get, body).vault).metadata;
    assert_eq!(kept["tier"], "gold");
    assert_eq!(
        (kept["seats"].as_str(), kept["left"].as_str()),
        ("3", "null")
    );
    let none = read(&get, r#"{"id":"v","metadata":null}"#).vault;
    assert!(none.metadata.is_empty());
}

#[test]
fn a_run_in_the_background_has_started_whatever_the_response_omits() {
    let mut send = SendMessages::new("my-agent", sandbox(), "Hi");
    send.thread_id = Some(ThreadId::new("th_1").unwrap());
    send.mode = Some(Mode::Background);
    let head = Response::builder()
        .status(202)
        .body(())
        .unwrap()
        .into_parts()
        .0;
    for body in [
        r#"{}"#,
        r#"{"threadId":null,"sandboxId":7,"status":null}"#,
        // The body breaks off, even within an id.
        "",
        r#"{"threadId":"th_12"#,
    ] {
        let SendResponse::Background(run) = send.decode(&head, body.as_bytes()).unwrap() else {
            panic!("{body} is no stream")
        };
        assert_eq!(run.sandbox_id, sandbox());
        assert_eq!(run.thread_id, send.thread_id);
    }
    let page = send.decode(&head, b"<html>please wait").unwrap_err();
    assert_eq!(page.status(), 202);
}

#[test]
fn other_responses_are_as_tolerant() {
    let cancelled = read(
        &CancelStream::new("my-agent", sandbox()),
        r#"{"ok":true,"streamId":null}"#,
    );
    assert_eq!(cancelled, Cancelled::new(CancelStatus::default(), None));
    let token = read(
        &CreateToken::new(),
        r#"{"token":"an_t_x","expiresAt":"soon","note":"\ud83d"}"#,
    );
    assert_eq!(token.token.expose(), "an_t_x");
}
