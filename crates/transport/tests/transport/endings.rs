//! Connections that end at the very moment at which they get a request.
//!
//! The test decides how long closing a stream takes, and so can pause a connection's end half way: the stream is
//! gone, but the queue of its requests is not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Uri};
use smol::io::{AsyncRead, AsyncWrite};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use tower::service_fn;
use twentyfirst_transport::{Error, HttpTransport, Proxy, Runtime, Transport as _};

use crate::clock::Clock;
use crate::{chain, soon};

/// A runtime with a thread for each of hyper's tasks, and a clock that the test controls.
#[derive(Clone)]
struct Threads {
    clock: Clock,
    running: Arc<AtomicUsize>,
}

impl Threads {
    /// Waits until this many tasks are left.
    async fn are(&self, tasks: usize) {
        soon(async {
            while self.running.load(Ordering::SeqCst) != tasks {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Runtime for Threads {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        self.clock.sleep(duration)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Arc::clone(&self.running);
        std::thread::spawn(move || {
            smol::block_on(task);
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }
}

/// Keeps a stream from being closed until it is dropped.
type Hold = std::sync::mpsc::Sender<()>;

/// A stream that waits for the test when it is dropped.
struct Held {
    stream: Compat<DuplexStream>,
    drops: mpsc::UnboundedSender<Hold>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (hold, held) = std::sync::mpsc::channel();
        if self.drops.send(hold).is_ok() {
            let _ = held.recv();
        }
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// A transport with one idle connection that the server has closed and hyper is about to drop.
struct Stage {
    transport: HttpTransport,
    threads: Threads,
    hold: Hold,
    /// The number of connections that may still be made.
    connections: Arc<Semaphore>,
    servers: mpsc::UnboundedReceiver<DuplexStream>,
}

async fn stage() -> Stage {
    let threads = Threads {
        clock: Clock::new(),
        running: Arc::default(),
    };
    let connections = Arc::new(Semaphore::new(1));
    let permits = Arc::clone(&connections);
    let (server_sender, mut servers) = mpsc::unbounded_channel();
    let (drops, mut held) = mpsc::unbounded_channel();
    let connector = service_fn(move |_: Uri| {
        let permits = Arc::clone(&permits);
        let servers = server_sender.clone();
        let drops = drops.clone();
        async move {
            permits.acquire().await.unwrap().forget();
            let (client, server) = tokio::io::duplex(64 * 1024);
            servers.send(server).unwrap();
            let stream = client.compat();
            Ok::<_, io::Error>(Held { stream, drops })
        }
    });
    let transport = HttpTransport::builder()
        .proxy(Proxy::none())
        .idle_timeout(None)
        .runtime(threads.clone())
        .connector(connector)
        .build()
        .unwrap();

    let first = tokio::spawn(post(&transport));
    let mut server = soon(servers.recv()).await.unwrap();
    respond(&mut server).await;
    assert_eq!(soon(first).await.unwrap().unwrap(), "served");
    // The connection's own task, which waits for the next request.
    threads.are(1).await;
    drop(server);
    Stage {
        transport,
        threads,
        hold: soon(held.recv()).await.unwrap(),
        connections,
        servers,
    }
}

fn post(transport: &HttpTransport) -> impl Future<Output = Result<Bytes, Error>> + Send + use<> {
    let request = Request::post("http://relay.example/v1")
        .body("question".into())
        .unwrap();
    let response = transport.send(request);
    async move { response.await?.into_body().collect_up_to(100).await }
}

/// Reads a request and responds to it.
async fn respond(server: &mut DuplexStream) {
    let mut read = String::new();
    while !read.ends_with("question") {
        read.push(server.read_u8().await.unwrap().into());
    }
    server
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nserved")
        .await
        .unwrap();
}

async fn poll_once<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test]
async fn a_request_left_in_the_queue_of_an_ended_connection_was_not_sent() {
    let stage = stage().await;
    let call = tokio::spawn(post(&stage.transport));

    let clock = &stage.threads.clock;
    clock.pass_for_a_sleeper(Duration::from_millis(999)).await;
    tokio::task::yield_now().await;
    assert!(!call.is_finished());
    clock.pass_for_a_sleeper(Duration::from_millis(1)).await;
    let error = soon(call).await.unwrap().unwrap_err();

    assert!(!error.maybe_sent());
    assert_eq!(
        chain(&error),
        "the request was not sent\nthe connection closed before the request was written"
    );
    drop(stage.hold);
    stage.threads.are(0).await;
}

#[tokio::test]
async fn a_request_that_is_handed_back_has_the_whole_time_to_connect() {
    let mut stage = stage().await;
    let mut call = Box::pin(post(&stage.transport));
    assert!(poll_once(&mut call).await.is_pending());
    drop(stage.hold);
    stage.threads.are(0).await;
    assert!(poll_once(&mut call).await.is_pending());

    let clock = &stage.threads.clock;
    clock.pass_for_a_sleeper(Duration::from_millis(9_999)).await;
    assert!(poll_once(&mut call).await.is_pending());
    stage.connections.add_permits(1);
    let call = tokio::spawn(call);
    let mut server = soon(stage.servers.recv()).await.unwrap();
    respond(&mut server).await;

    assert_eq!(soon(call).await.unwrap().unwrap(), "served");
}
