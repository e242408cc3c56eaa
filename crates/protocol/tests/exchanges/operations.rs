//! Every operation: its whole request, the server's view of it, and the meaning of a recorded response.

use std::fmt::{Debug, Write as _};
use std::time::Duration;

use serde_json::json;

use twentyfirst_protocol::files::*;
use twentyfirst_protocol::git::CloneRepository;
use twentyfirst_protocol::runs::*;
use twentyfirst_protocol::sandboxes::*;
use twentyfirst_protocol::threads::*;
use twentyfirst_protocol::tokens::{CreateToken, TokenLifetime};
use twentyfirst_protocol::ui::UiMessage;
use twentyfirst_protocol::vaults::*;
use twentyfirst_protocol::{
    CredentialId, Endpoint, Head, Operation, SandboxId, StreamingOperation, ThreadId,
    UploadOperation, VaultId,
};

use crate::support::recording;

fn sandbox() -> SandboxId {
    SandboxId::new("sb 1/ü").unwrap()
}

fn thread() -> ThreadId {
    ThreadId::new("th_1").unwrap()
}

fn vault() -> VaultId {
    VaultId::new("vault_1").unwrap()
}

fn credential() -> CredentialId {
    CredentialId::new("cred_1").unwrap()
}

/// Returns the request as text, after checking that a server reads the same operation from it.
fn request<E: Endpoint + Debug + PartialEq>(endpoint: &E) -> String {
    let request = endpoint.to_request().unwrap();
    assert!(
        E::ROUTE.matches(&request),
        "{} does not match {}",
        E::ROUTE,
        request.uri()
    );
    assert_eq!(&E::from_request(&request).unwrap(), endpoint);

    let mut text = format!("{} {}\n", request.method(), request.uri());
    // Every request refuses content codings: see `content_coding`.
    for (name, value) in request.headers() {
        if name == "accept-encoding" {
            continue;
        }
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    let body = request.body().as_bytes();
    if !body.is_empty() {
        let body = match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(json) => serde_json::to_string_pretty(&json).unwrap(),
            Err(_) => format!("{body:?}"),
        };
        write!(text, "\n{body}\n").unwrap();
    }
    text
}

fn exchange<O: Operation<Output: Debug> + Debug + PartialEq>(
    operation: &O,
    recorded: &str,
) -> String {
    let response = recording(recorded).response;
    let output = operation
        .decode(&response.head(), &response.body())
        .unwrap();
    format!(
        "{}\n--- {} {recorded:?}\n{output:#?}",
        request(operation),
        response.status
    )
}

macro_rules! snapshot {
    ($name:literal, $text:expr) => {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

#[test]
fn sandboxes() {
    let create = CreateSandbox::new("my-agent")
        .file("data/input.json", r#"{"items":[1]}"#)
        .env("DATABASE_URL", "postgres://x")
        .setup(["npm install"])
        .timeout(Duration::from_secs(1800))
        .network_allow_out(["api.github.com"])
        .network_deny_out(["1.1.1.1"]);
    snapshot!("sandboxes.create", exchange(&create, "sandboxes.create"));
    snapshot!(
        "sandboxes.get",
        exchange(&GetSandbox::new(sandbox()), "sandboxes.get: with a thread")
    );
    snapshot!(
        "sandboxes.delete",
        exchange(&DeleteSandbox::new(sandbox()), "sandboxes.delete")
    );
    let exec = Exec::new(sandbox(), "ls -la")
        .cwd("/home/user")
        .env("NODE_ENV", "production")
        .timeout(Duration::from_secs(30));
    snapshot!("sandboxes.exec", exchange(&exec, "exec: non-zero"));
}

#[test]
fn many_values_at_once_equal_one_by_one() {
    let create = CreateSandbox::new("my-agent")
        .file("a", "1")
        .files([("b", "2"), ("c", "3")])
        .env("A", "1")
        .envs([("B", "2")]);
    let one_by_one = CreateSandbox::new("my-agent")
        .file("a", "1")
        .file("b", "2")
        .file("c", "3")
        .env("A", "1")
        .env("B", "2");
    assert_eq!(create, one_by_one);
    let exec = Exec::new(sandbox(), "env").envs([("A".to_owned(), "1".to_owned())]);
    assert_eq!(exec, Exec::new(sandbox(), "env").env("A", "1"));

    let messages = [UiMessage::user("Hi"), UiMessage::user("there")];
    assert_eq!(
        Messages::from(&messages[..]),
        Messages::from(messages.to_vec())
    );
    assert_eq!(Messages::from(messages.clone()).as_slice(), messages);
    assert_eq!(sandbox(), "sb 1/ü");
    assert!(thread() == *"th_1");
}

#[test]
fn files() {
    let path = "/home/user/a & b.txt";
    let write = WriteFiles::new(sandbox(), [("src/config.json", "{\"debug\":true}")]);
    snapshot!("files.write", exchange(&write, "files.write: map"));
    snapshot!(
        "files.read",
        exchange(&ReadFile::new(sandbox(), path), "files.read: text")
    );
    let write = WriteBytes::new(sandbox(), path, &[0_u8, 255][..]);
    snapshot!(
        "files.write_bytes",
        exchange(&write, "files.write: blob without content-type")
    );
    snapshot!(
        "files.read_bytes",
        exchange(&ReadBytes::new(sandbox(), path), "files.read: blob of json")
    );
    snapshot!(
        "files.list",
        exchange(
            &ListFiles::new(sandbox(), path).depth(2),
            "files.list: depth 1.9x"
        )
    );
    snapshot!(
        "files.info",
        exchange(&GetFileInfo::new(sandbox(), path), "files.info: symlink")
    );
    snapshot!(
        "files.exists",
        exchange(&FileExists::new(sandbox(), path), "files.exists: no")
    );
    snapshot!(
        "files.make_dir",
        exchange(&MakeDir::new(sandbox(), path), "files.mkdir: new, nested")
    );
    // The recordings have no response to a successful rename; it is a file entry like any other.
    let rename = RenameFile::new(sandbox(), path, "/home/user/b");
    snapshot!("files.rename", exchange(&rename, "files.info: directory"));
    snapshot!(
        "files.remove",
        exchange(&RemoveFile::new(sandbox(), path), "files.remove: file")
    );
}

#[test]
fn file_streams() {
    let write = WriteStream::new(sandbox(), "/home/user/big.bin").length(3_000_000_000);
    let response = recording("files.write: stream over 10 MB").response;
    let output = UploadOperation::decode(&write, &response.head(), &response.body()).unwrap();
    snapshot!(
        "files.write_stream",
        format!("{}\n---\n{output:#?}", request(&write))
    );
    snapshot!(
        "files.write_stream without length",
        request(&WriteStream::new(sandbox(), "big.bin"))
    );

    let read = ReadStream::new(sandbox(), "/home/user/big.bin");
    let response = recording("files.read: stream").response;
    snapshot!(
        "files.read_stream",
        format!(
            "{}\n---\n{:?}",
            request(&read),
            read.decode_head(&response.head())
        )
    );
    let missing = recording("files.read: missing stream").response;
    assert_eq!(read.decode_head(&missing.head()), Head::Read);
    let error = read.decode(&missing.head(), &missing.body()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the relay responded with 500 internal_error: path '/home/user/missing.txt' does not exist"
    );
}

#[test]
fn git() {
    let clone = CloneRepository::new(sandbox(), "https://github.com/org/repo.git")
        .path("/home/user/r")
        .token("ghp_x")
        .depth(1)
        .branch("main");
    snapshot!(
        "git.clone",
        exchange(&clone, "git.clone: path, branch, depth")
    );
}

#[test]
fn threads() {
    let create = CreateThread::new(sandbox()).name("Code Review");
    snapshot!(
        "threads.create",
        exchange(&create, "threads.create: no name")
    );
    snapshot!(
        "threads.list",
        exchange(&ListThreads::new(sandbox()), "threads.list: after chat")
    );
    snapshot!(
        "threads.get",
        exchange(
            &GetThread::new(sandbox(), thread()),
            "threads.get: after nested tools"
        )
    );
    snapshot!(
        "threads.delete",
        exchange(
            &DeleteThread::new(sandbox(), thread()),
            "threads.delete: while streaming"
        )
    );
}

#[test]
fn the_text_after_a_preset_prompt_can_be_read() {
    let appended = |prompt: SystemPrompt| match prompt {
        SystemPrompt::Preset(preset) => preset.append().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    assert_eq!(appended(SystemPrompt::claude_code()), None);
    let brief = SystemPrompt::claude_code_and("Be brief");
    assert_eq!(appended(brief).as_deref(), Some("Be brief"));
}

#[test]
fn runs() {
    let options = RunOptions::new()
        .model("claude-sonnet-4-6")
        .system_prompt(SystemPrompt::claude_code_and("Be brief"))
        .max_turns(25)
        .max_budget_usd(1.0)
        .max_sandbox_budget_usd(5.0)
        .permission_mode(PermissionMode::BypassPermissions)
        .disallowed_tools(["Bash"]);
    let send = SendMessages::new("my agent", sandbox(), UiMessage::user("Hi").with_id("u1"))
        .thread_id(thread())
        .vault_ids([vault()])
        .external_user_id("usr_1")
        .options(options);
    let stream = recording("cors preflight").response.head();
    assert_eq!(send.decode_head(&stream), Head::Read, "204 is no stream");
    let mut stream = recording("health").response.head();
    stream
        .headers
        .insert("content-type", "text/event-stream".parse().unwrap());
    snapshot!(
        "runs.send",
        format!("{}\n---\n{:?}", request(&send), send.decode_head(&stream))
    );

    let background = SendMessages::new("my-agent", sandbox(), "Hi")
        .mode(Mode::Background)
        .name("Nightly")
        .options(RunOptions::new().system_prompt("Be brief"));
    let response = recording("chat: background").response;
    let output = background
        .decode(&response.head(), &response.body())
        .unwrap();
    snapshot!(
        "runs.send in background",
        format!("{}\n---\n{output:#?}", request(&background))
    );

    let resume = ResumeStream::new("my-agent", sandbox());
    let response = recording("resume: idle again after the run").response;
    let idle = resume.decode_head(&response.head());
    snapshot!(
        "runs.resume",
        format!(
            "{}\n---\n{idle:?}\n{:?}",
            request(&resume),
            resume.decode_head(&stream)
        )
    );
    let cancel = CancelStream::new("my-agent", sandbox());
    snapshot!(
        "runs.cancel",
        exchange(&cancel, "two threads: first DELETE stream")
    );
    let response = recording("sandboxes.delete").response;
    let cancelled = cancel.decode(&response.head(), b"").unwrap();
    assert_eq!(
        cancelled.status,
        CancelStatus::Cancelled,
        "a bare 204, as the relay's reference has it"
    );
}

#[test]
fn tokens() {
    let metadata = json!({"plan": "pro"}).as_object().unwrap().clone();
    let create = CreateToken::new()
        .agent("my-agent")
        .user_id("user_9")
        .end_user_id("end_9")
        .metadata(metadata)
        .max_messages(1)
        .expires_in(TokenLifetime::new(Duration::from_secs(900)).unwrap());
    snapshot!("tokens.create", exchange(&create, "tokens: all options"));
}

#[test]
fn vaults() {
    snapshot!(
        "vaults.list",
        exchange(
            &ListVaults::new(),
            "vaults.list: default first, archived still listed"
        )
    );
    let create = CreateVault::new("Main")
        .description("desc")
        .metadata("external_user_id", "ext_1");
    snapshot!("vaults.create", exchange(&create, "vaults.create"));
    snapshot!(
        "vaults.get",
        exchange(
            &GetVault::new(vault()),
            "vaults.get: with active and archived credentials"
        )
    );
    let keep = [("tier".to_owned(), "gold".to_owned())].into();
    let update = UpdateVault::new(vault(), keep)
        .name("Renamed")
        .description(None);
    snapshot!(
        "vaults.update",
        exchange(&update, "vaults.patch: metadata replaces")
    );
    snapshot!(
        "vaults.delete",
        exchange(
            &DeleteVault::new(vault()).force(true),
            "vaults.delete: force archived"
        )
    );
    snapshot!("vaults.archive", request(&DeleteVault::new(vault())));
    snapshot!(
        "vaults.set_default",
        exchange(&SetDefaultVault::new(vault()), "vaults.set-default")
    );
}

#[test]
fn credentials() {
    let mut oauth = Oauth::new("at").refresh("rt", "https://auth.example.com/token", "cid");
    oauth.client_secret = Some("cs".into());
    oauth.token_endpoint_auth = Some(TokenEndpointAuth::ClientSecretPost);
    oauth.scope = Some("read".to_owned());
    let settings = CredentialSettings::new("https://mcp.notion.com/mcp", oauth)
        .name("Notion")
        .inject(Inject::Header {
            header: "X-Api-Key".to_owned(),
            prefix: Some(String::new()),
        })
        .metadata("a", "b");
    let create = CreateCredential::new(vault(), settings);
    snapshot!(
        "credentials.create",
        exchange(&create, "credentials.create: oauth")
    );
    let url = "https://mcp.linear.app/mcp";
    let settings =
        CredentialSettings::new(url, CredentialAuth::bearer("tok_y")).inject(Inject::Query {
            param: "key".to_owned(),
        });
    let update = UpdateCredential::new(vault(), credential(), settings);
    snapshot!(
        "credentials.update",
        exchange(&update, "credentials.patch: new token")
    );
    let delete = DeleteCredential::new(vault(), credential());
    snapshot!(
        "credentials.archive",
        exchange(&delete, "credentials.delete: archive")
    );
    snapshot!(
        "credentials.delete",
        exchange(
            &delete.force(true),
            "credentials.delete: force after archive"
        )
    );
}
