//! Requests that a `reqwest::Client` of the user's own sends, over real sockets to a local relay.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use twentyfirst_client::protocol::runs::{CancelStatus, RunEnd};
use twentyfirst_client::protocol::threads::ThreadStatus;
use twentyfirst_client::protocol::ui::Chunk;
use twentyfirst_client::transport::{Body, ReqwestTransport};
use twentyfirst_client::{AgentClient, CallOptions, FollowPolicy, RetryPolicy};
use twentyfirst_local_relay::{Fault, LocalRelay};

fn client(relay: &LocalRelay, http: ClientBuilder) -> AgentClient {
    let http = http.redirect(Policy::none()).build().unwrap();
    AgentClient::builder()
        .relay(relay)
        .transport(ReqwestTransport::new(http))
        .build()
        .unwrap()
}

fn start() -> (LocalRelay, AgentClient) {
    let relay = LocalRelay::start().unwrap();
    let client = client(&relay, Client::builder());
    (relay, client)
}

#[tokio::test]
async fn a_sandbox_and_its_files() {
    let (_relay, client) = start();
    let id = client.sandboxes().create("shell").await.unwrap().id;
    let sandbox = client.sandbox(&id);
    let output = sandbox.exec("echo hello").await.unwrap();
    assert_eq!(output.stdout, "hello\n");

    let content = Bytes::from((0..=255).cycle().take(300_000).collect::<Vec<u8>>());
    let files = sandbox.files();
    let whole = content.clone();
    let pieces = (0..3)
        .map(move |piece| Ok::<_, Error>(whole.slice(piece * 100_000..(piece + 1) * 100_000)));
    let stream = futures_util::stream::iter(pieces);
    let written = files
        .write_stream("/home/user/stream.bin", Body::from_stream(stream))
        .length(content.len() as u64)
        .await
        .unwrap();
    assert_eq!(written.size, Some(300_000));
    let read = files.read_stream("/home/user/stream.bin").await.unwrap();
    let read = read.collect_up_to(Body::DEFAULT_LIMIT).await.unwrap();
    assert_eq!(read, content);

    let short = Body::from_stream(futures_util::stream::iter([Ok::<_, Error>(Bytes::from(
        "short",
    ))]));
    let error = files
        .write_stream("/home/user/short.bin", short)
        .length(9)
        .await
        .unwrap_err();
    let causes = causes(&error);
    assert!(
        causes.contains("the body ended after 5 of the 9 bytes"),
        "{causes}"
    );
    client.sandboxes().delete(id).await.unwrap();
}

fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn a_run_is_read_and_followed_across_a_cut() {
    let (relay, client) = start();
    let text = client
        .run("echo", "Hello there")
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(text.contains("Hello there"), "{text}");

    for follow in [FollowPolicy::wait(), FollowPolicy::live()] {
        let cut = Fault::cut_after(350);
        relay.inject(cut.clone());
        let client = client.with_options(CallOptions::new().follow(follow));
        let mut run = client.run("echo", "Hello there").await.unwrap();
        assert_eq!(run.text().await.unwrap(), text);
        assert_eq!(cut.struck(), 1);
    }
}

#[tokio::test]
async fn a_run_that_takes_longer_than_the_timeout_of_the_client_is_followed_to_its_end() {
    let relay = LocalRelay::start().unwrap();
    let follow = async |follow: FollowPolicy| {
        // Enough for each other request on a slow machine.
        let limit = Duration::from_secs(3);
        let client = client(&relay, Client::builder().timeout(limit))
            .with_options(CallOptions::new().follow(follow));
        let began = Instant::now();
        let commands = "sleep 2; echo one\nsleep 2; echo two\nsleep 2; echo end";
        let mut run = client.run("shell", commands).await.unwrap();
        let message = run.message().await.unwrap();
        assert!(began.elapsed() > limit, "it took longer than the timeout");
        assert_eq!(message.tool_calls().count(), 3);
        assert!(matches!(run.outcome().await.end, RunEnd::Completed));
        let thread = client
            .threads()
            .get(run.sandbox_id(), run.thread_id())
            .await
            .unwrap();
        assert_eq!(thread.ui_messages().count(), 2, "it was started once");
    };
    tokio::join!(follow(FollowPolicy::wait()), follow(FollowPolicy::live()));
}

#[tokio::test]
async fn a_run_is_cancelled() {
    let (_relay, client) = start();
    let mut run = client.run("shell", "sleep 30").await.unwrap();
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
    assert_eq!(thread.status, ThreadStatus::Cancelled);
}

#[tokio::test]
async fn an_unreachable_relay_is_named() {
    let relay = LocalRelay::start().unwrap();
    let address = relay.address();
    let client = client(&relay, Client::builder())
        .with_options(CallOptions::new().retry(RetryPolicy::never()));
    relay.shutdown();
    let error = client.sandboxes().create("shell").await.unwrap_err();
    assert!(error.is_connect() && !error.maybe_sent());
    assert!(
        causes(&error).contains(&address.to_string()),
        "{}",
        causes(&error)
    );
}
