//! Requests that are refused before anything is sent, and the names in their errors.

use std::time::Duration;

use twentyfirst_protocol::files::*;
use twentyfirst_protocol::git::CloneRepository;
use twentyfirst_protocol::runs::*;
use twentyfirst_protocol::sandboxes::*;
use twentyfirst_protocol::tokens::{CreateToken, TokenLifetime};
use twentyfirst_protocol::ui::UiMessage;
use twentyfirst_protocol::vaults::*;
use twentyfirst_protocol::{
    ApiKey, BaseUrl, CallOptions, Endpoint, InvalidRequest, SandboxId, ThreadId, VaultId,
};

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

fn vault() -> VaultId {
    VaultId::new("vault_1").unwrap()
}

fn refused<E: Endpoint>(operation: E) -> String {
    operation.to_request().unwrap_err().to_string()
}

fn text<T>(result: Result<T, InvalidRequest>) -> String {
    match result {
        Ok(_) => panic!("this was to be refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn ids_that_cannot_be_a_segment_of_a_path() {
    assert_eq!(text(SandboxId::new("")), "`sandbox_id` must not be empty");
    assert_eq!(
        text(SandboxId::new(".")),
        "`sandbox_id` must not be `.` or `..`"
    );
    assert_eq!(
        text(ThreadId::new("..")),
        "`thread_id` must not be `.` or `..`"
    );
    assert_eq!(
        text(VaultId::new("a\nb")),
        "`vault_id` must not contain control characters"
    );
    assert_eq!(
        text(SandboxId::new("a\u{85}b")),
        "`sandbox_id` must not contain control characters"
    );
    assert_eq!(
        text(SandboxId::new("x".repeat(1025))),
        "`sandbox_id` must not be longer than 1024 bytes"
    );
    let slug = |slug: &str| refused(ResumeStream::new(slug, sandbox()));
    assert_eq!(slug(""), "`agent` must not be empty");
    assert_eq!(slug(".."), "`agent` must not be `.` or `..`");
}

#[test]
fn uris_that_are_too_long() {
    let limit = 65_534;
    let read = |path: usize| ReadFile::new(sandbox(), "x".repeat(path)).to_request();
    let before = read(1).unwrap().uri().to_string().len() - 1;
    let longest = read(limit - before).unwrap();
    assert_eq!(longest.uri().to_string().len(), limit);
    let too_long = "`path` must not be longer than 65534 bytes";
    assert_eq!(text(read(limit - before + 1)), too_long);
    let base = BaseUrl::new("http://127.0.0.1/").unwrap();
    assert!(base.join(longest.uri()).is_ok());
    let base = BaseUrl::new("http://127.0.0.1/a").unwrap();
    assert_eq!(text(base.join(longest.uri())), too_long);
}

#[test]
fn base_urls_and_keys() {
    let url = "`base_url` must be an absolute http or https URL";
    assert_eq!(text(BaseUrl::new("relay.an.dev")), url);
    assert_eq!(text(BaseUrl::new("")), url);
    assert_eq!(text(BaseUrl::new("/v1")), url);
    assert_eq!(text(BaseUrl::new("ftp://relay.an.dev")), url);
    assert_eq!(
        text(BaseUrl::new("https://u:p@relay.an.dev")),
        "`base_url` must be a URL without user and password"
    );
    assert_eq!(
        text(BaseUrl::new("https://relay.an.dev/?a=b")),
        "`base_url` must be a URL without query and fragment"
    );
    for port in ["65536", "99999999999"] {
        let port = text(BaseUrl::new(&format!("http://[::1]:{port}/relay")));
        assert_eq!(
            port,
            "`base_url` must be a URL with a port of at most 65535"
        );
    }
    assert!(BaseUrl::new("http://[::1]:65535").is_ok());
    assert!(BaseUrl::new("http://[::1]").is_ok());

    let key = "`api_key` must contain visible ASCII characters only, no spaces and no line breaks";
    assert_eq!(text(ApiKey::new("")), "`api_key` must not be empty");
    assert_eq!(text(ApiKey::new("21st_sk_x\n")), key);
    assert_eq!(text(ApiKey::new("21st sk x")), key);
    assert_eq!(text(ApiKey::new("21st_sk_ü")), key);
}

#[test]
fn required_members() {
    assert_eq!(refused(CreateSandbox::new("")), "`agent` must not be empty");
    assert_eq!(
        refused(Exec::new(sandbox(), "")),
        "`command` must not be empty"
    );
    assert_eq!(
        refused(ReadFile::new(sandbox(), "")),
        "`path` must not be empty"
    );
    assert_eq!(
        refused(RenameFile::new(sandbox(), "a", "")),
        "`new_path` must not be empty"
    );
    assert_eq!(
        refused(WriteFiles::new(sandbox(), [("", ""); 0])),
        "`files` must not be empty"
    );
    let no_path = "`files` must contain no empty paths";
    assert_eq!(refused(WriteFiles::new(sandbox(), [("", "x")])), no_path);
    assert_eq!(refused(CreateSandbox::new("a").file("", "x")), no_path);
    let once = "`files` must contain each path only once";
    let twice = [("a", "1"), ("b", "2"), ("a", "3")];
    assert_eq!(refused(WriteFiles::new(sandbox(), twice)), once);
    assert_eq!(refused(CreateSandbox::new("a").files(twice)), once);
    assert_eq!(
        refused(ListFiles::new(sandbox(), "a").depth(0)),
        "`depth` must be at least 1"
    );
    assert_eq!(
        refused(CloneRepository::new(sandbox(), "")),
        "`url` must not be empty"
    );
    assert_eq!(
        refused(CloneRepository::new(sandbox(), "https://x").depth(0)),
        "`depth` must be at least 1"
    );
}

#[test]
fn tokens_that_would_allow_more_than_intended() {
    let filtered = ["other-agent"]
        .iter()
        .filter(|agent| agent.starts_with("my-"));
    assert_eq!(
        refused(CreateToken::new().agents(filtered.copied())),
        "`agents` must not be empty"
    );
    assert_eq!(
        refused(CreateToken::new().agent("my-agent").agent("")),
        "`agents` must contain no empty names"
    );
    assert_eq!(
        refused(CreateToken::new().user_id("")),
        "`user_id` must not be empty"
    );
    assert_eq!(
        refused(CreateToken::new().end_user_id("")),
        "`end_user_id` must not be empty"
    );
    let two = CreateToken::new().agents(["a", "b"]);
    assert_eq!(two, CreateToken::new().agent("a").agent("b"));
    assert!(two.to_request().is_ok());
}

#[test]
fn invalid_names_of_environment_variables() {
    let rule = "`envs` must contain no name that is empty or contains a `=` or a NUL";
    for name in ["", "A=B", "A\0"] {
        assert_eq!(refused(Exec::new(sandbox(), "env").env(name, "x")), rule);
        assert_eq!(refused(CreateSandbox::new("my-agent").env(name, "x")), rule);
    }
}

#[test]
fn times_over_the_relays_limits() {
    let exec = |timeout| Exec::new(sandbox(), "sleep 1").timeout(timeout);
    let most = Duration::from_secs(600);
    assert!(exec(most).to_request().is_ok());
    assert_eq!(
        refused(exec(most + Duration::from_nanos(1))),
        "`timeout` must be at most 10 minutes: start longer commands with `Spawn`, the client's `spawn`"
    );
    let sent = |timeout| {
        let request = exec(timeout).to_request().unwrap();
        let body: serde_json::Value = serde_json::from_slice(request.body().as_bytes()).unwrap();
        body["timeoutMs"].clone()
    };
    assert_eq!(sent(Duration::ZERO), 0);
    assert_eq!(sent(Duration::from_nanos(1)), 1, "0 would mean a minute");
    assert_eq!(sent(Duration::from_micros(1999)), 2);
    assert_eq!(sent(Duration::from_millis(2)), 2);
}

#[test]
fn bodies_over_the_relays_limit() {
    let limit = 10 * 1024 * 1024;
    assert_eq!(
        refused(WriteBytes::new(sandbox(), "a", vec![0; limit + 1])),
        "`content` must not make the request longer than 10485760 bytes: \
         use `WriteStream`, the client's `write_stream`, which takes any length"
    );
    assert!(
        WriteBytes::new(sandbox(), "a", vec![0; limit])
            .to_request()
            .is_ok()
    );
    assert_eq!(
        refused(WriteFiles::new(sandbox(), [("a", "x".repeat(limit))])),
        "`files` must not make the request longer than 10485760 bytes: \
         write them in several requests, and long ones with `WriteStream`, the client's `write_stream`"
    );
}

#[test]
fn messages_without_a_turn() {
    let run = |messages: Messages| {
        text(StartRun::new("my-agent", messages).flow(None, &CallOptions::new(), 0))
    };
    assert_eq!(run(Vec::new().into()), "`messages` must not be empty");
    let assistant = UiMessage::assistant("Hello");
    assert_eq!(
        run(assistant.into()),
        "`messages` must contain a user message"
    );
    let blank = "`messages` must contain text in the last user message";
    assert_eq!(run(" \n ".into()), blank);
    assert_eq!(
        run(vec![UiMessage::user("first"), UiMessage::user("")].into()),
        blank
    );
}

#[test]
fn a_thread_without_its_sandbox() {
    let run = StartRun::new("my-agent", "Hi").thread_id(ThreadId::new("th_1").unwrap());
    assert_eq!(
        text(run.flow(None, &CallOptions::new(), 0)),
        "`thread_id` requires `sandbox_id`"
    );
}

#[test]
fn options_that_would_make_the_relay_drop_them_all() {
    let run = |options| {
        text(
            StartRun::new("my-agent", "Hi")
                .options(options)
                .flow(None, &CallOptions::new(), 0),
        )
    };
    let options = RunOptions::new;
    assert_eq!(
        run(options().model("")),
        "`options.model` must not be empty"
    );
    assert_eq!(
        run(options().max_turns(0)),
        "`options.max_turns` must be at least 1"
    );
    for dollars in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            run(options().max_budget_usd(dollars)),
            "`options.max_budget_usd` must be a number above 0"
        );
    }
    for dollars in [-0.01, f64::NAN, f64::INFINITY] {
        let sandbox = run(options().max_sandbox_budget_usd(dollars));
        assert_eq!(
            sandbox,
            "`options.max_sandbox_budget_usd` must be a number of at least 0"
        );
    }
    // A budget of 0 is valid: nothing may be spent beyond the run.
    assert_eq!(options().max_sandbox_budget_usd(0.0).validate(), Ok(()));
    assert_eq!(
        run(options().disallowed_tools([""; 0])),
        "`options.disallowed_tools` must not be empty"
    );
    assert_eq!(
        run(options().disallowed_tools(["a", ""])),
        "`options.disallowed_tools` must contain no empty names"
    );

    // A server that reads with these types also sees the members that the relay drops.
    for dropped in [
        r#"{"temperature":0.5}"#,
        r#"{"permissionMode":"yolo"}"#,
        r#"{"maxTurns":1.5}"#,
    ] {
        assert!(
            serde_json::from_str::<RunOptions>(dropped).is_err(),
            "{dropped}"
        );
    }
    let preset = r#"{"systemPrompt":{"type":"preset","preset":"other"}}"#;
    assert!(serde_json::from_str::<RunOptions>(preset).is_err());
}

#[test]
fn token_lifetimes_that_the_relay_would_change() {
    for lifetime in [
        Duration::ZERO,
        Duration::from_millis(1500),
        Duration::from_secs(24 * 3600 + 1),
    ] {
        let rule = "`expires_in` must be from 1 second to 24 hours, in whole seconds";
        assert_eq!(text(TokenLifetime::new(lifetime)), rule);
    }
    for lifetime in ["90min", "1w", "", "-1s", "0s", "25h", "ü"] {
        assert!(lifetime.parse::<TokenLifetime>().is_err(), "{lifetime}");
        assert!(
            serde_json::from_value::<TokenLifetime>(lifetime.into()).is_err(),
            "{lifetime}"
        );
    }
    for lifetime in ["0m", "25h", "2d"] {
        assert_eq!(
            text(lifetime.parse::<TokenLifetime>()),
            "`expires_in` must be from 1 second to 24 hours, in whole seconds"
        );
    }
    assert_eq!(
        text("1 hour".parse::<TokenLifetime>()),
        "`expires_in` must be a number and one of `s`, `m`, `h` and `d`, such as `15m`"
    );
    assert_eq!("1h".parse(), Ok(TokenLifetime::HOUR));
    let day: TokenLifetime = serde_json::from_str("\"1d\"").unwrap();
    assert_eq!(day.to_string(), "24h");
}

#[test]
fn vaults_by_the_relays_rules() {
    assert_eq!(refused(CreateVault::new("  ")), "`name` must not be empty");
    assert_eq!(
        refused(CreateVault::new("n".repeat(201))),
        "`name` must be at most 200 characters long"
    );
    let description = CreateVault::new("x").description("d".repeat(501));
    assert_eq!(
        refused(description),
        "`description` must be at most 500 characters long"
    );
    let key = CreateVault::new("x").metadata("k".repeat(65), "");
    assert_eq!(
        refused(key),
        "`metadata` must contain no key longer than 64 characters"
    );
    let value = CreateVault::new("x").metadata("k", "v".repeat(513));
    assert_eq!(
        refused(value),
        "`metadata` must contain no value longer than 512 characters"
    );
    let many = (0..17).fold(CreateVault::new("x"), |vault, n| {
        vault.metadata(n.to_string(), "")
    });
    assert_eq!(refused(many), "`metadata` must contain at most 16 pairs");
    // JavaScript counts characters outside of the BMP twice.
    assert!(CreateVault::new("😀".repeat(100)).to_request().is_ok());
    assert!(CreateVault::new("😀".repeat(101)).to_request().is_err());

    let credential = |url, auth: CredentialAuth| {
        refused(CreateCredential::new(
            vault(),
            CredentialSettings::new(url, auth),
        ))
    };
    let bearer = || CredentialAuth::bearer("t");
    assert_eq!(
        credential("nope", bearer()),
        "`server_url` must be an http or https URL"
    );
    assert_eq!(
        credential("ftp://a.example.com", bearer()),
        "`server_url` must be an http or https URL"
    );
    assert_eq!(
        credential("https://u:p@a.example.com", bearer()),
        "`server_url` must be a URL without user and password"
    );
    let url = "https://a.example.com";
    assert_eq!(
        credential(url, CredentialAuth::bearer(" ")),
        "`auth.token` must not be empty"
    );
    assert_eq!(
        credential(url, Oauth::default().into()),
        "`auth.access_token` must not be empty"
    );
    let mut oauth = Oauth::new("a");
    oauth.refresh_token = Some("r".into());
    assert_eq!(
        credential(url, oauth.into()),
        "`auth.refresh_token` requires `auth.client_id`"
    );
}
