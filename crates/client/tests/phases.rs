//! A server that cuts the connection in each phase of an exchange, and counts requests: none that may have taken effect is sent
//! twice.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use twentyfirst_client::protocol::files::{RemoveFile, WriteFiles};
use twentyfirst_client::protocol::runs::{CancelStream, ResumeStream};
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, Exec};
use twentyfirst_client::protocol::vaults::UpdateVault;
use twentyfirst_client::protocol::{Operation, Safety, VaultId};
use twentyfirst_client::{
    AgentClient, CallOptions, Error, RetryPolicy, SandboxId, StartRun, ThreadId,
};

/// The phase in which the server cuts the connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Before it has read anything.
    Accept,
    /// Within the head of the request.
    InRequest,
    /// After the request, without a response.
    NoResponse,
    /// Within the head of the response.
    InHead,
    /// Within the body of the response.
    InBody,
    /// After a response with the status 503.
    Busy,
}

const PHASES: [Phase; 6] = [
    Phase::Accept,
    Phase::InRequest,
    Phase::NoResponse,
    Phase::InHead,
    Phase::InBody,
    Phase::Busy,
];

/// Serves until the process ends. Counts the requests whose head it has read.
fn server(phase: Phase) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // The client may close the connection at any time.
            let _ = serve(phase, stream.unwrap(), &counter);
        }
    });
    (url, count)
}

fn serve(phase: Phase, mut stream: TcpStream, count: &AtomicUsize) -> std::io::Result<()> {
    if phase == Phase::Accept {
        return Ok(());
    }
    // A connection on which nothing is sent must not block the server. Long enough for a request on a slow machine.
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 || (phase == Phase::InRequest && head.len() == 20) {
            return Ok(());
        }
        head.push(byte[0]);
    }
    count.fetch_add(1, Ordering::SeqCst);
    match phase {
        Phase::InHead => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-ty"),
        Phase::InBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"id\":")
        }
        Phase::Busy => {
            stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Phase::Accept | Phase::InRequest | Phase::NoResponse => Ok(()),
    }
}

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

/// Executes one operation. Returns whether it may be repeated, and its result.
async fn execute<O: Operation>(client: &AgentClient, operation: O) -> (Safety, Result<(), Error>) {
    (
        operation.safety(),
        client.execute(&operation).await.map(drop),
    )
}

async fn make(client: &AgentClient, which: usize) -> (&'static str, Safety, Result<(), Error>) {
    let named = |(safety, result), name| (name, safety, result);
    match which {
        0 => named(execute(client, CreateSandbox::new("a")).await, "create"),
        1 => named(execute(client, Exec::new(sandbox(), "make")).await, "exec"),
        2 => named(
            execute(client, WriteFiles::new(sandbox(), [("a", "b")])).await,
            "write",
        ),
        3 => named(
            execute(
                client,
                UpdateVault::new(VaultId::new("v").unwrap(), Default::default()),
            )
            .await,
            "update",
        ),
        4 => named(
            execute(client, CancelStream::new("a", sandbox())).await,
            "cancel",
        ),
        5 => named(
            execute(client, RemoveFile::new(sandbox(), "a")).await,
            "remove",
        ),
        6 => {
            let result = client
                .open(&ResumeStream::new("a", sandbox()))
                .await
                .map(drop);
            ("resume", Safety::FlowOnly, result)
        }
        _ => {
            let run = StartRun::new("a", "Hi")
                .sandbox_id(sandbox())
                .thread_id(ThreadId::new("t").unwrap());
            (
                "run",
                Safety::Once,
                client.threads().start(run).await.map(drop),
            )
        }
    }
}

#[tokio::test]
async fn a_head_timeout_ends_the_wait_for_a_sandbox() {
    // The system accepts connections for the listener, but nobody reads from them.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let limit = Duration::from_millis(300);
    let client = AgentClient::builder()
        .api_key("k")
        .base_url(&url)
        .options(CallOptions::new().head_timeout(limit))
        .build()
        .unwrap();
    let start = std::time::Instant::now();
    let error = client.threads().run("a", "Hi").await.unwrap_err();
    assert_eq!(error.timeout().unwrap().limit, limit);
    let waited = start.elapsed();
    assert!(
        waited >= limit && waited < Duration::from_secs(10),
        "{waited:?}"
    );
}

#[tokio::test]
async fn a_request_that_may_have_taken_effect_is_not_sent_twice() {
    let quick = RetryPolicy::standard()
        .first_delay(Duration::from_millis(1))
        .longest_delay(Duration::from_millis(2));
    for policy in [RetryPolicy::never(), quick, quick.attempts(5)] {
        for phase in PHASES {
            for which in 0..8 {
                let (url, count) = server(phase);
                let client = AgentClient::builder()
                    .api_key("k")
                    .base_url(url)
                    .options(CallOptions::new().retry(policy))
                    .build()
                    .unwrap();
                let (name, safety, result) = make(&client, which).await;
                let story = format!("{name} broken off at {phase:?} with {policy:?}");

                let requests = count.load(Ordering::SeqCst);
                let error = result.err().unwrap_or_else(|| panic!("{story}: no error"));
                // The client may notice that the connection is closed before it has written anything.
                assert!(
                    error.maybe_sent() || phase == Phase::Accept,
                    "{story}: {error}"
                );
                match safety {
                    Safety::Repeatable => assert_eq!(error.attempts(), policy.attempts, "{story}"),
                    _ if phase != Phase::Accept => assert_eq!(error.attempts(), 1, "{story}"),
                    _ => {}
                }
                if safety != Safety::Repeatable {
                    assert!(requests <= 1, "{story}: {requests} requests");
                }
            }
        }
    }
}
