//! Time limits, retries, and errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use twentyfirst_client::blocking::Wait;
use twentyfirst_client::protocol::sandboxes::Exec;
use twentyfirst_client::{AgentClient, AgentClientBuilder, CallOptions, RetryPolicy};
use twentyfirst_local_relay::Fault;

use crate::server::{Server, respond};
use crate::{client, relay};

fn at(url: &str) -> AgentClientBuilder {
    let builder = AgentClient::builder().api_key("an_sk_test");
    builder.base_url(url).blocking()
}

#[test]
fn a_response_that_never_comes_is_a_timeout_and_closes_the_connection() {
    let server = Server::start(|_, _| {});
    let limit = Duration::from_millis(200);
    let options = CallOptions::new().retry(RetryPolicy::never());
    let client = at(&server.url);
    let client = client.options(options.head_timeout(limit)).build().unwrap();
    let error = client.sandbox("sb_1").get().wait().unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(error.timeout().map(|timeout| timeout.limit), Some(limit));
    server.closed();
}

#[test]
fn a_deadline_ends_a_call() {
    let server = Server::start(|_, _| {});
    let deadline = Duration::from_millis(300);
    let options = CallOptions::new().deadline(deadline);
    let client = at(&server.url).options(options).build().unwrap();
    let start = Instant::now();
    let error = client.sandbox("sb_1").get().wait().unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!(start.elapsed() >= deadline);
    // Without a deadline an attempt would take a minute.
    assert!(start.elapsed() < Duration::from_secs(30));
    server.closed();
}

#[test]
fn a_failed_request_is_retried() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&attempts);
    let server = Server::start(move |stream, _| match seen.fetch_add(1, Ordering::SeqCst) {
        0 => respond(stream, "503 Service Unavailable", "{}"),
        // Cuts the connection.
        1 => stream.shutdown(std::net::Shutdown::Both).unwrap(),
        _ => respond(stream, "200 OK", r#"{"id":"sb_1","status":"active"}"#),
    });
    let client = at(&server.url).build().unwrap();
    let sandbox = client.sandbox("sb_1").get().wait().unwrap();
    assert_eq!(sandbox.id.as_str(), "sb_1");
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
}

#[test]
fn a_request_that_may_have_taken_effect_is_not_retried() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&attempts);
    let server = Server::start(move |stream, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let client = at(&server.url).build().unwrap();
    let error = client.sandbox("sb_1").exec("rm data").wait().unwrap_err();
    assert!(error.maybe_sent(), "{error:?}");
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[test]
fn a_request_that_was_not_sent_is_always_retried() {
    // No system listens on port 1 by itself, and none chooses it for another test.
    let client = at("http://127.0.0.1:1").build().unwrap();
    let error = client.sandbox("sb_1").exec("rm data").wait().unwrap_err();
    assert!(error.is_connect() && !error.maybe_sent(), "{error:?}");
    assert_eq!(error.attempts(), 3);
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[test]
fn an_error_response_keeps_its_details() {
    let relay = relay().start().unwrap();
    let sandbox = client(&relay).sandboxes().create("shell").wait().unwrap();
    let error = client(&relay).sandbox("sb_none").get().wait().unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    let error = client(&relay)
        .run("no-such-agent", "Hello")
        .wait()
        .unwrap_err();
    assert!(error.status().is_some(), "{error:?}");

    relay.inject(Fault::refuse(StatusCode::CONFLICT).on::<Exec>());
    let error = client(&relay)
        .sandbox(&sandbox)
        .exec("ls")
        .wait()
        .unwrap_err();
    assert!(error.is_conflict(), "{error:?}");

    let stranger = at(relay.url()).build().unwrap();
    let error = stranger.sandboxes().create("shell").wait().unwrap_err();
    assert!(error.is_unauthorized(), "{error:?}");
}
