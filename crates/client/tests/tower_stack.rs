//! A stack of tower's layers around the transport, such as services have: a header of a tenant, a concurrency limit and a timeout.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderValue, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::timeout::error::Elapsed;
use tower::{BoxError, ServiceBuilder};
use twentyfirst_client::transport::{Body, HttpTransport, TimeoutKind};
use twentyfirst_client::{AgentClient, CallOptions, FollowPolicy, RetryPolicy, RunEnd};
use twentyfirst_local_relay::{Agent, Fault, LocalRelay, Run};

const STORY: &str = "Once upon a time 🔭 an agent spoke for longer than any request may take.";

/// The shortest duration of the story. Half of it is the time limit of each request, which must be enough on a slow machine.
const SPOKEN: Duration = Duration::from_secs(8);

fn relay() -> LocalRelay {
    let narrator = Agent::new(async |run: Run| {
        for word in STORY.split_inclusive(' ') {
            tokio::time::sleep(SPOKEN / 15).await;
            run.say(word).await;
        }
        Ok(())
    });
    LocalRelay::builder()
        .agent("narrator", narrator)
        .start()
        .unwrap()
}

/// A client that sends one request at a time, and whose responses must begin within `limit`.
fn client(relay: &LocalRelay, url: &str, limit: Duration) -> AgentClient {
    let stack = ServiceBuilder::new()
        .map_request(|mut request: Request<Body>| {
            let tenant = HeaderValue::from_static("acme");
            request.headers_mut().insert("x-tenant", tenant);
            request
        })
        .map_err(|error: BoxError| match error.is::<Elapsed>() {
            true => io::Error::new(io::ErrorKind::TimedOut, error).into(),
            false => error,
        })
        .concurrency_limit(1)
        .timeout(limit)
        .service(HttpTransport::new().unwrap());
    AgentClient::builder()
        .api_key(relay.api_key())
        .base_url(url)
        .transport(stack)
        .options(
            CallOptions::new()
                .retry(RetryPolicy::never())
                .follow(FollowPolicy::live()),
        )
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_run_is_followed_through_the_stack_and_the_relay_gets_the_header() {
    let relay = relay();
    let (url, seen) = tap(&relay).await;
    let client = client(&relay, &url, SPOKEN / 2);
    let sandbox = client.sandboxes().create("narrator").await.unwrap();

    let cut = Fault::cut_after(200);
    relay.inject(cut.clone());
    let mut run = client
        .run("narrator", "Tell me a story")
        .sandbox_id(&sandbox.id)
        .await
        .unwrap();
    // An open stream holds no permit, so another call can be made meanwhile.
    client.sandboxes().exec(&sandbox.id, "true").await.unwrap();

    assert_eq!(run.text().await.unwrap(), STORY);
    let outcome = run.outcome().await;
    assert!(matches!(outcome.end, RunEnd::Completed), "{outcome:?}");
    assert_eq!(cut.struck(), 1);
    let seen = String::from_utf8_lossy(&seen.lock().unwrap()).to_lowercase();
    let requests = seen.matches(" http/1.1\r\n").count();
    assert!(requests >= 4, "{seen}");
    assert_eq!(seen.matches("\r\nx-tenant: acme\r\n").count(), requests);
}

#[tokio::test]
async fn a_call_that_waits_for_its_permit_was_not_sent() {
    let relay = relay();
    let client = client(&relay, relay.url(), Duration::from_secs(60));
    let sandbox = client.sandboxes().create("narrator").await.unwrap();
    let long = tokio::spawn({
        let handle = client.sandbox(sandbox.id.clone());
        async move {
            handle
                .exec("touch begun; while [ ! -e go ]; do sleep 0.02; done")
                .await
        }
    });
    // Another client, with a permit of its own: when it finds the file, the only permit of the first client is taken.
    let other = AgentClient::of(&relay).unwrap();
    while !other
        .sandboxes()
        .files()
        .exists(&sandbox.id, "begun")
        .await
        .unwrap()
    {}

    let limit = Duration::from_millis(100);
    let hasty = client.with_options(CallOptions::new().head_timeout(limit));
    let error = hasty
        .sandboxes()
        .exec(&sandbox.id, "touch too-late")
        .await
        .unwrap_err();

    assert!(!error.maybe_sent(), "{error}");
    assert!(error.is_timeout() && error.is_retryable());
    assert_eq!(error.timeout().unwrap().kind, TimeoutKind::Head);
    other
        .sandboxes()
        .exec(&sandbox.id, "touch go")
        .await
        .unwrap();
    long.await.unwrap().unwrap();
    assert!(
        !other
            .sandboxes()
            .files()
            .exists(&sandbox.id, "too-late")
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_call_ended_by_towers_timeout_may_have_been_sent() {
    let relay = relay();
    let client = client(&relay, relay.url(), Duration::from_millis(300));
    let sandbox = AgentClient::of(&relay)
        .unwrap()
        .sandboxes()
        .create("narrator")
        .await
        .unwrap();

    let error = client
        .sandboxes()
        .exec(&sandbox.id, "sleep 5")
        .await
        .unwrap_err();

    assert!(error.maybe_sent());
    assert!(error.is_timeout());
    assert_eq!(
        error.timeout(),
        None,
        "it is not one of the client's timeouts"
    );
}

#[tokio::test]
async fn a_call_without_a_connection_was_not_sent_whatever_the_stack() {
    let relay = relay();
    // No system listens on port 1 by itself, and none chooses it for another test.
    let error = client(&relay, "http://127.0.0.1:1", Duration::from_secs(60))
        .sandboxes()
        .create("narrator")
        .await
        .unwrap_err();

    assert!(error.is_connect() && !error.maybe_sent(), "{error}");
}

/// Returns the URL of a proxy in front of the relay, and the bytes that are sent to the relay through it.
async fn tap(relay: &LocalRelay) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (relay, written) = (relay.address(), Arc::clone(&seen));
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let relay = TcpStream::connect(relay).await.unwrap();
            let (mut from_relay, mut to_relay) = relay.into_split();
            let seen = Arc::clone(&written);
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = from_client.read(&mut piece).await {
                    seen.lock().unwrap().extend_from_slice(&piece[..length]);
                    to_relay.write_all(&piece[..length]).await?;
                }
                io::Result::Ok(())
            });
            tokio::spawn(async move { tokio::io::copy(&mut from_relay, &mut to_client).await });
        }
    });
    (url, seen)
}
