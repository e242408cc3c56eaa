//! The questions that one can ask an error, such as `is_timeout`, with errors of the local relay.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use http::Response;
use twentyfirst_client::backend::Refusal;
use twentyfirst_client::transport::{self, Body, from_fn};
use twentyfirst_client::{AgentClient, Error, RetryPolicy, Sandbox};
use twentyfirst_local_relay::LocalRelay;

async fn sandbox() -> (LocalRelay, AgentClient, Sandbox) {
    let relay = LocalRelay::start().unwrap();
    let client = AgentClient::of(&relay).unwrap();
    let sandbox = client.sandboxes().create("shell").await.unwrap();
    (relay, client, sandbox)
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_a_timeout_and_not_retryable() {
    let (_relay, client, sandbox) = sandbox().await;
    let exec = client.sandboxes().exec(&sandbox, "sleep 5");
    let error = exec.timeout(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.status().unwrap(), 408, "{error}");
    assert!(error.is_timeout() && !error.is_retryable());
}

#[tokio::test]
async fn a_file_that_is_missing_is_not_found_however_it_is_read() {
    let (_relay, client, sandbox) = sandbox().await;
    let files = client.sandboxes().files();
    let text = files
        .read_to_string(&sandbox, "missing.txt")
        .await
        .unwrap_err();
    let bytes = files.read(&sandbox, "missing.txt").await.unwrap_err();
    let list = files.list(&sandbox, "missing").await.unwrap_err();
    for error in [text, bytes, list] {
        assert!(error.is_not_found() && !error.is_retryable(), "{error}");
    }
    // This failure has the same status and the same code, but the file is not missing.
    let directory = files
        .read_to_string(&sandbox, "/home/user")
        .await
        .unwrap_err();
    assert_eq!(directory.status().unwrap(), 500, "{directory}");
    assert!(!directory.is_not_found());
}

/// Returns a client whose relay always responds with this.
fn responding(status: u16, body: &'static str) -> AgentClient {
    let relay = from_fn(move |_| async move {
        Ok(Response::builder()
            .status(status)
            .body(Body::from(body))
            .unwrap())
    });
    alone(relay)
}

fn alone(relay: impl transport::Transport) -> AgentClient {
    let client = AgentClient::builder()
        .api_key("k")
        .transport(relay)
        .build()
        .unwrap();
    client.with_options(client.options().retry(RetryPolicy::never()))
}

#[tokio::test]
async fn temporary_errors_are_retryable_and_permanent_ones_are_not() {
    for (status, body, is_retryable, is_timeout) in [
        (503, "", true, false),
        (
            429,
            r#"{"error":{"code":"rate_limit_exceeded","message":"slow down"}}"#,
            true,
            false,
        ),
        (504, "<html>", true, true),
        (500, "", true, false),
        (
            500,
            r#"{"error":{"code":"internal_error","message":"Failed query: path '/a' does not exist"}}"#,
            false,
            false,
        ),
        (
            400,
            r#"{"error":{"code":"invalid_request","message":"no"}}"#,
            false,
            false,
        ),
        (401, r#"{"error":"Unauthorized"}"#, false, false),
        (
            402,
            r#"{"error":{"code":"budget_exceeded","message":"no"}}"#,
            false,
            false,
        ),
        (
            404,
            r#"{"error":{"code":"sandbox_not_found","message":"no"}}"#,
            false,
            false,
        ),
        (
            409,
            r#"{"error":{"code":"stream_active","message":"no"}}"#,
            false,
            false,
        ),
        (200, "not JSON", false, false),
    ] {
        let error = responding(status, body).vaults().list().await.unwrap_err();
        assert_eq!(
            (
                error.is_retryable(),
                error.is_timeout(),
                error.is_not_found()
            ),
            (is_retryable, is_timeout, status == 404),
            "{error}"
        );
    }
    // No response at all, and a request that was never sent.
    let broken = alone(from_fn(async |_| {
        Err::<Response<Body>, _>(transport::Error::new("cut"))
    }));
    let error = broken.vaults().list().await.unwrap_err();
    assert!(error.is_retryable() && error.maybe_sent());
    let error = broken.sandboxes().exec("..", "ls").await.unwrap_err();
    assert!(!error.is_retryable() && !error.maybe_sent());
}

#[tokio::test]
async fn a_connection_that_fails_names_the_host_and_no_more() {
    // No system listens on port 9 by itself.
    let client = AgentClient::builder()
        .api_key("21st_sk_secret")
        .base_url("http://127.0.0.1:9/prefix")
        .build()
        .unwrap();
    let client = client.with_options(client.options().retry(RetryPolicy::never()));
    let error = client.vaults().list().await.unwrap_err();
    assert!(error.is_connect() && error.is_retryable());
    assert_eq!(error.to_string(), "could not connect to 127.0.0.1:9");
}

#[tokio::test]
async fn a_refusal_and_an_error_convert_into_responses() {
    async fn route(client: &AgentClient, is_signed_in: bool) -> Result<usize, Box<Response<Body>>> {
        let answer = async {
            if !is_signed_in {
                return Err(Response::from(Refusal::unauthorized("please sign in")));
            }
            Ok(client.vaults().list().await?.vaults.len())
        };
        answer.await.map_err(Box::new)
    }
    let client = responding(503, "");
    assert_eq!(route(&client, false).await.unwrap_err().status(), 401);
    assert_eq!(route(&client, true).await.unwrap_err().status(), 503);
    let _: fn(Error) -> Response<Body> = From::from;
}
