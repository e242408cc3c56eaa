//! Error messages, as a user sees them.

use std::error::Error as _;
use std::process::Command;

use http::Response;
use twentyfirst_client::protocol::runs::StartRun;
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, Exec};
use twentyfirst_client::protocol::{CallOptions, ErrorCode, InvalidRequest, SandboxId, ThreadId};
use twentyfirst_client::transport::{self, Body, from_fn};
use twentyfirst_client::{AgentClient, Error};

use crate::support::{client, json};

const KEY: &str = "an_sk_test";

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

/// Returns the error with all its causes, as logs show it.
fn shown(error: &Error) -> String {
    let mut text = format!("{error}\n{error:?}\n{error:#?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!("\n{error}\n{error:?}");
        source = error.source();
    }
    text
}

#[test]
fn settings_that_cannot_work_are_refused_at_once() {
    let message = |result: Result<AgentClient, Error>| {
        let error = result.unwrap_err();
        assert!(!error.maybe_sent());
        error.to_string()
    };
    assert_eq!(
        message(AgentClient::new("")),
        "the request is invalid: `api_key` must not be empty"
    );
    let pasted = "21st_sk_pasted_with_its_newline\n";
    let error = AgentClient::new(pasted).unwrap_err();
    assert!(!shown(&error).contains("pasted"), "{error:?}");
    assert_eq!(error.invalid_request().unwrap().field(), "api_key");
    let url = AgentClient::builder()
        .api_key("k")
        .base_url("relay.an.dev")
        .build();
    assert_eq!(
        message(url),
        "the request is invalid: `base_url` must be an absolute http or https URL"
    );
    let clear = || {
        AgentClient::builder()
            .api_key("k")
            .base_url("http://relay.example")
    };
    assert!(message(clear().build()).contains("`base_url` must be https"));
    assert!(clear().dangerous_plain_http().build().is_ok());
    for loopback in [
        "http://localhost:1",
        "http://127.8.8.8",
        "http://[::1]:80/x",
    ] {
        assert!(
            AgentClient::builder()
                .api_key("k")
                .base_url(loopback)
                .build()
                .is_ok(),
            "{loopback}"
        );
    }
    for other in [
        "http://localhost.example",
        "http://128.0.0.1",
        "http://[::2]",
    ] {
        assert!(
            AgentClient::builder()
                .api_key("k")
                .base_url(other)
                .build()
                .is_err(),
            "{other}"
        );
    }
    assert_eq!(
        message(AgentClient::builder().build()),
        "the request is invalid: `api_key` is not set: call `api_key`, `env`, `token_url` or `token_source` of the builder"
    );
    let agent = AgentClient::builder()
        .api_key("k")
        .user_agent("a\nb")
        .build();
    assert!(message(agent).contains("`user_agent`"));
}

/// This test starts itself again in other processes, because a test cannot change its own environment.
#[test]
fn a_missing_key_names_its_variable() {
    let test = "errors::a_missing_key_names_its_variable";
    let variable = "TEST_EXPECTS";
    if let Ok(expected) = std::env::var(variable) {
        assert_eq!(AgentClient::from_env().unwrap_err().to_string(), expected);
        return;
    }
    for (key, expected) in [
        (
            None,
            "the request is invalid: `API_KEY_21ST` is not set: the key is taken from this variable of the environment",
        ),
        (
            Some(""),
            "the request is invalid: `API_KEY_21ST` must not be empty",
        ),
    ] {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process
            .args(["--exact", test])
            .env(variable, expected)
            .env_remove("API_KEY_21ST")
            .envs(key.map(|key| ("API_KEY_21ST", key)));
        let output = process.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && told.contains("1 passed"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn invalid_requests_are_not_sent() {
    let (client, log) = client("https://relay.test", |_| json(500, "{}"));
    let error = client.sandboxes().create("").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the request is invalid: `agent` must not be empty"
    );
    assert!(!error.maybe_sent());
    let error = client.threads().run("my-agent", "").await.unwrap_err();
    assert_eq!(error.invalid_request().unwrap().field(), "messages");
    assert!(log.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_fit_behind_the_base_url_is_not_retried() {
    let prefix = "prefix/".repeat(100);
    let (client, log) = client(&format!("https://relay.test/{prefix}"), |_| json(200, ""));
    let client = client.with_options(CallOptions::new());
    let path = "x".repeat(65_300);
    let files = client.sandboxes().files();
    let error = files.exists(sandbox(), path).await.unwrap_err();
    assert_eq!(error.attempts(), 1, "{error}");
    assert!(!error.maybe_sent() && !error.is_retryable());
    assert_eq!(
        error.invalid_request().map(InvalidRequest::field),
        Some("path")
    );
    assert_eq!(
        error.to_string(),
        "the request is invalid: `path` must not be longer than 65534 bytes"
    );
    assert!(log.take().is_empty());
}

#[tokio::test]
async fn error_responses_keep_their_details() {
    let (client, _) = client("https://relay.test", |request| {
        match request.target.rsplit('/').next() {
            Some("exec") => json(
                408,
                r#"{"error":{"code":"command_timeout","message":"Command execution timed out"}}"#,
            ),
            _ => json(
                404,
                r#"{"error":{"code":"sandbox_not_found","message":"Sandbox \"sb_1\" not found"}}"#,
            ),
        }
    });
    let error = client.sandboxes().get(sandbox()).await.unwrap_err();
    assert!(error.is_not_found() && error.maybe_sent());
    assert_eq!(error.code(), Some(&ErrorCode::SandboxNotFound));
    assert_eq!(
        error.to_string(),
        "the relay responded with 404 sandbox_not_found: Sandbox \"sb_1\" not found"
    );
    let error = client
        .sandboxes()
        .exec(sandbox(), "sleep 100")
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&ErrorCode::CommandTimeout));
}

#[tokio::test]
async fn responses_that_cannot_be_decoded_keep_their_status() {
    for (status, body) in [
        (502, "<html>Bad gateway</html>".to_owned()),
        (503, String::new()),
        (500, r#"{"error":{"code":"internal"#.to_owned()),
        (500, "x".repeat(10 * 1024 * 1024)),
        (200, "<html>".to_owned()),
        (200, String::new()),
        (200, r#"{"id":"sb_1","status"#.to_owned()),
        (200, r#"{"id":["sb_1"],"status":7}"#.to_owned()),
    ] {
        let (client, _) = client("https://relay.test", move |_| json(status, &body));
        let error = client.sandboxes().get(sandbox()).await.unwrap_err();
        assert_eq!(error.status().unwrap(), status);
        assert!(shown(&error).len() < 20_000, "bounded");
    }
}

#[tokio::test]
async fn a_response_beyond_the_memory_limit_is_an_error() {
    let (client, _) = client("https://relay.test", |_| {
        json(200, "x".repeat(33 * 1024 * 1024))
    });
    let error = client.sandboxes().get(sandbox()).await.unwrap_err();
    assert!(error.is_response_limit(), "{error}");
    assert!(error.maybe_sent());
}

#[tokio::test]
async fn no_error_shows_the_key_or_a_value_of_the_request() {
    let echo = format!(
        r#"{{"error":{{"code":"internal_error","message":"env hunter2 for {KEY}","seen":["{KEY}"]}}}}"#
    );
    for (status, body) in [
        (500, echo.clone()),
        (200, echo),
        (502, format!("<pre>{KEY} hunter2</pre>")),
    ] {
        let (client, _) = client("https://relay.test", move |_| json(status, &body));
        let create = CreateSandbox::new("my-agent").env("PASSWORD", "hunter2");
        let errors = [
            client.execute(&create).await.unwrap_err(),
            client
                .execute(&Exec::new(sandbox(), "true").env("PASSWORD", "hunter2"))
                .await
                .unwrap_err(),
            client.threads().run("my-agent", "Hi").await.unwrap_err(),
        ];
        for error in &errors {
            assert!(!shown(error).contains(KEY), "{}", shown(error));
        }
        for error in &errors[..2] {
            assert!(!shown(error).contains("hunter2"), "{}", shown(error));
        }
        assert!(!format!("{client:?} {:?}", client.sandboxes()).contains(KEY));
    }
}

#[tokio::test]
async fn without_a_response_the_error_says_whether_the_request_may_have_arrived() {
    let failing = |error: fn() -> transport::Error| {
        let transport = from_fn(move |_| async move { Err::<Response<Body>, _>(error()) });
        AgentClient::builder()
            .api_key(KEY)
            .transport(transport)
            .build()
            .unwrap()
    };
    let refused = failing(|| transport::Error::not_sent("connection refused"));
    let error = refused.sandboxes().get(sandbox()).await.unwrap_err();
    assert!(!error.maybe_sent());
    assert_eq!(error.source().unwrap().to_string(), "connection refused");

    let reset = failing(|| transport::Error::new("connection reset"));
    let error = reset.sandboxes().get(sandbox()).await.unwrap_err();
    assert!(error.maybe_sent());
    let error = reset.threads().run("my-agent", "Hi").await.unwrap_err();
    assert!(error.maybe_sent());
    assert_eq!(error.source().unwrap().to_string(), "connection reset");
}

#[tokio::test]
async fn a_run_that_does_not_start_names_what_was_created() {
    let (client, log) = client("https://relay.test", |request| {
        match request.target.rsplit('/').next() {
            Some("sandboxes") => json(201, r#"{"id":"sb_7","status":"active"}"#),
            Some("threads") => json(201, r#"{"id":"th_7","status":"idle"}"#),
            _ => json(
                402,
                r#"{"error":{"code":"billing_not_ready","message":"Billing setup is required"}}"#,
            ),
        }
    });
    let error = client.threads().run("my-agent", "Hi").await.unwrap_err();
    assert_eq!(error.code(), Some(&ErrorCode::BillingNotReady));
    assert_eq!(
        error.created().sandbox_id.as_ref().unwrap().as_str(),
        "sb_7"
    );
    assert_eq!(error.created().thread_id.as_ref().unwrap().as_str(), "th_7");
    assert_eq!(
        error.to_string(),
        "the relay responded with 402 billing_not_ready: Billing setup is required (sandbox sb_7 with thread th_7 was created)"
    );
    assert_eq!(log.take().len(), 3);
}

#[tokio::test]
async fn a_streaming_thread_has_an_error_of_its_own() {
    let (client, log) = client("https://relay.test", |_| {
        let thread = r#"{"id":"th_1","status":"streaming"}"#;
        json(200, format!(r#"{{"id":"sb_1","threads":[{thread}]}}"#))
    });
    let run = StartRun::new("my-agent", "Hi")
        .sandbox_id(sandbox())
        .thread_id(ThreadId::new("th_1").unwrap())
        .look_first(true);
    let error = client.threads().start(run).await.unwrap_err();
    assert!(error.is_thread_streaming());
    assert!(!error.maybe_sent() && error.created().is_empty() && error.source().is_none());
    assert_eq!(error.to_string(), "the thread is already streaming");
    assert_eq!(log.take().len(), 1, "it asked, and sent nothing");
}

#[tokio::test]
async fn a_sandbox_of_another_agent_is_reported_with_both_agents() {
    let (client, log) = client("https://relay.test", |_| {
        json(
            200,
            r#"{"id":"sb_1","agent":{"slug":"theirs"},"threads":[]}"#,
        )
    });
    let run = twentyfirst_client::Session::new("mine")
        .sandbox_id(sandbox())
        .run("Hi");
    let error = client.threads().start(run).await.unwrap_err();
    let other = error.other_agent().unwrap();
    assert_eq!((&*other.agent, &*other.owner), ("mine", "theirs"));
    assert!(!error.maybe_sent() && error.created().is_empty() && error.source().is_none());
    assert_eq!(
        error.to_string(),
        format!(
            "sandbox {} belongs to agent `theirs`, not to `mine`",
            sandbox()
        )
    );
    let refusal = twentyfirst_client::backend::Refusal::from(&error);
    assert_eq!(refusal.status(), 409);
    assert!(!refusal.message().contains("theirs"), "{refusal}");
    assert_eq!(log.take().len(), 1, "it looked, and created nothing");
}
