//! Requests that an HTTP/2 server reports as not processed (RFC 9113, section 8.7). The test controls every frame of
//! the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;
use twentyfirst_transport::{Body, Error, HttpTransport, Transport as _};

use crate::secure::{Authority, SecureServer};
use crate::{chain, soon};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A connection, frame by frame.
struct Frames(TlsStream<TcpStream>);

impl Frames {
    /// Reads the preface and allows this many concurrent streams.
    async fn accept(mut stream: TlsStream<TcpStream>, streams: u32) -> Self {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        let mut frames = Self(stream);
        let mut setting = vec![0, 3];
        setting.extend(streams.to_be_bytes());
        frames.write(SETTINGS, 0, 0, &setting).await;
        frames
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // Too late when the client has closed.
        let _ = self.0.write_all(&frame).await;
    }

    /// Reads the next frame: its type, flags and stream; `None` when the client has closed.
    async fn read(&mut self) -> Option<(u8, u8, u32)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        if kind == SETTINGS && flags == 0 {
            self.write(SETTINGS, 1, 0, &[]).await;
        }
        Some((kind, flags, u32::from_be_bytes(stream)))
    }

    /// Waits for the next request and returns its stream.
    async fn request(&mut self) -> Option<u32> {
        loop {
            let (kind, _, stream) = self.read().await?;
            if kind == HEADERS {
                return Some(stream);
            }
        }
    }

    async fn reset(&mut self, stream: u32, code: u32) {
        self.write(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// Sends `GOAWAY` with the last stream that was, or may be, processed.
    async fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await;
    }

    /// Responds with 200 and no body.
    async fn respond(&mut self, stream: u32) {
        self.write(HEADERS, 0x5, stream, &[0x88]).await;
    }

    /// Reads until the client closes, so that it sees no reset.
    async fn drain(mut self) {
        while self.read().await.is_some() {}
    }
}

async fn serve<Fut>(
    streams: u32,
    story: impl Fn(Frames) -> Fut + Clone + Send + Sync + 'static,
) -> (SecureServer, HttpTransport)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let authority = Authority::new();
    let server = SecureServer::start(authority.server_config(&["h2"]), move |stream| {
        let story = story.clone();
        async move { story(Frames::accept(stream, streams).await).await }
    })
    .await;
    let transport = HttpTransport::builder()
        .root_certificates(authority.roots())
        .build()
        .unwrap();
    (server, transport)
}

fn ask(
    server: &SecureServer,
    transport: &HttpTransport,
) -> tokio::task::JoinHandle<Result<http::StatusCode, Error>> {
    let request = Request::post(&server.url)
        .body(Body::from("question"))
        .unwrap();
    let exchange = transport.send(request);
    tokio::spawn(async move { exchange.await.map(|response| response.status()) })
}

#[tokio::test]
async fn a_stream_that_is_refused_was_not_processed() {
    for (code, maybe_sent) in [
        (REFUSED_STREAM, false),
        (CANCEL, true),
        (INTERNAL_ERROR, true),
        (PROTOCOL_ERROR, true),
        (ENHANCE_YOUR_CALM, true),
        (NO_ERROR, true),
    ] {
        let (server, transport) = serve(100, move |mut frames| async move {
            let stream = frames.request().await.unwrap();
            frames.reset(stream, code).await;
            // The connection stays usable.
            if let Some(stream) = frames.request().await {
                frames.respond(stream).await;
            }
            frames.drain().await;
        })
        .await;

        let error = soon(ask(&server, &transport)).await.unwrap().unwrap_err();

        assert_eq!(error.maybe_sent(), maybe_sent, "{code}: {}", chain(&error));
        assert!(!error.is_connect());
        if !maybe_sent {
            assert_eq!(error.to_string(), "the server did not process the request");
        }
        let again = soon(ask(&server, &transport)).await.unwrap();
        assert_eq!(again.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_stream_after_the_last_one_of_a_goaway_was_not_processed() {
    for code in [NO_ERROR, ENHANCE_YOUR_CALM, INTERNAL_ERROR] {
        for (last, maybe_sent) in [(0, false), (1, true), (0x7fff_ffff, true)] {
            for drains in [true, false] {
                let (server, transport) = serve(100, move |mut frames| async move {
                    frames.request().await.unwrap();
                    frames.go_away(last, code).await;
                    if drains && !maybe_sent {
                        frames.drain().await;
                    }
                })
                .await;

                let error = soon(ask(&server, &transport)).await.unwrap().unwrap_err();

                let case = format!("{code} {last} {drains}: {}", chain(&error));
                assert_eq!(error.maybe_sent(), maybe_sent, "{case}");
            }
        }
    }
}

/// The points at which a server and a test wait for each other.
#[derive(Clone, Default)]
struct Signals {
    /// The server has the first request, and the client knows the limit on streams.
    ready: Arc<Notify>,
    /// The test has sent the other requests.
    sent: Arc<Notify>,
}

impl Signals {
    /// Handles the first request of the first connection; on later connections all requests get their response.
    async fn first(&self, frames: &mut Frames) -> Option<u32> {
        let mut first = None;
        let mut knows = false;
        while first.is_none() || !knows {
            let (kind, flags, stream) = frames.read().await?;
            match kind {
                HEADERS if stream == 1 => first = Some(stream),
                SETTINGS => knows |= flags == 1,
                _ => {}
            }
        }
        self.ready.notify_one();
        first
    }
}

#[tokio::test]
async fn a_goaway_ends_only_the_requests_that_were_not_processed() {
    let signals = Signals::default();
    let server_signals = signals.clone();
    let (server, transport) = serve(100, move |mut frames| {
        let signals = server_signals.clone();
        async move {
            let first = signals.first(&mut frames).await.unwrap();
            assert_eq!(frames.request().await, Some(3));
            frames.go_away(first, NO_ERROR).await;
            signals.sent.notified().await;
            frames.respond(first).await;
            frames.drain().await;
        }
    })
    .await;

    let first = ask(&server, &transport);
    soon(signals.ready.notified()).await;
    let error = soon(ask(&server, &transport)).await.unwrap().unwrap_err();

    assert!(!error.maybe_sent(), "{}", chain(&error));
    signals.sent.notify_one();
    assert_eq!(soon(first).await.unwrap().unwrap(), 200);
}

/// While a server allows no further stream, hyper and h2 hold the requests that they have taken from the queue.
#[tokio::test]
async fn a_request_that_waits_for_a_stream_when_the_server_goes_away_does_not_hang() {
    for code in [NO_ERROR, ENHANCE_YOUR_CALM] {
        for last in [1, 0x7fff_ffff] {
            for others in [1, 3] {
                let connections = Arc::new(AtomicUsize::new(0));
                let signals = Signals::default();
                let server_signals = signals.clone();
                let (server, transport) = serve(1, move |mut frames| {
                    let signals = server_signals.clone();
                    let earlier = connections.fetch_add(1, Ordering::SeqCst);
                    async move {
                        if earlier == 0 {
                            let first = signals.first(&mut frames).await.unwrap();
                            signals.sent.notified().await;
                            frames.go_away(last, code).await;
                            frames.respond(first).await;
                        }
                        while let Some(stream) = frames.request().await {
                            frames.respond(stream).await;
                        }
                    }
                })
                .await;

                let first = ask(&server, &transport);
                soon(signals.ready.notified()).await;
                let others: Vec<_> = (0..others).map(|_| ask(&server, &transport)).collect();
                tokio::time::sleep(Duration::from_millis(20)).await;
                signals.sent.notify_one();

                assert_eq!(soon(first).await.unwrap().unwrap(), 200);
                for other in others {
                    match soon(other).await.unwrap() {
                        Ok(status) => assert_eq!(status, 200, "{code} {last}"),
                        // h2 took it, and hyper does not report whether it was sent.
                        Err(error) => assert!(error.maybe_sent(), "{code} {last}"),
                    }
                }
            }
        }
    }
}
