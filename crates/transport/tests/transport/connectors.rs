//! Connections that are not tokio's TCP: pipes in memory, another runtime's sockets.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use http::{Request, Uri};
use http_body_util::BodyExt as _;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use tower::service_fn;
use twentyfirst_transport::{
    Body, Error, HttpTransport, Proxy, Runtime, StageTimeouts, TimeoutKind, TokioRuntime,
    Transport as _, WithTimeouts,
};

use crate::chain;
use crate::secure::{Authority, SecureServer, echo};

/// A transport whose connections end in the test.
fn piped() -> (HttpTransport, mpsc::UnboundedReceiver<DuplexStream>) {
    let (sender, servers) = mpsc::unbounded_channel();
    let connector = service_fn(move |_: Uri| {
        let (client, server) = tokio::io::duplex(64 * 1024);
        sender.send(server).unwrap();
        async { Ok::<Compat<DuplexStream>, io::Error>(client.compat()) }
    });
    let transport = HttpTransport::builder()
        .proxy(Proxy::none())
        .connector(connector)
        .build()
        .unwrap();
    (transport, servers)
}

async fn read_until(server: &mut DuplexStream, end: &str) -> String {
    let mut read = String::new();
    while !read.ends_with(end) {
        let mut byte = [0];
        server.read_exact(&mut byte).await.unwrap();
        read.push(byte[0].into());
    }
    read
}

#[tokio::test(start_paused = true)]
async fn a_pipe_carries_requests_like_any_connection() {
    let (transport, mut servers) = piped();
    tokio::spawn(async move {
        let mut server = servers.recv().await.unwrap();
        for _ in 0..2 {
            let head = read_until(&mut server, "question").await;
            assert!(head.starts_with("POST /v1 HTTP/1.1\r\nhost: relay.example\r\n"));
            server
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nserved")
                .await
                .unwrap();
        }
        assert!(servers.recv().await.is_none(), "one connection is enough");
    });

    for _ in 0..2 {
        let request = Request::post("http://relay.example/v1")
            .body("question".into())
            .unwrap();
        let response = transport.send(request).await.unwrap();
        assert_eq!(
            response.into_body().collect_up_to(10).await.unwrap(),
            "served"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_limit_holds_on_a_connection() {
    let second = Duration::from_secs(1);
    for (kind, sent) in [
        (TimeoutKind::Send, "HTTP/1.1 100 Continue\r\n\r\n"),
        (TimeoutKind::Head, "HTTP/1.1 200 OK\r\ncontent-le"),
        (TimeoutKind::Read, "HTTP/1.1 200 OK\r\n\r\ndata: one\n\n"),
        (TimeoutKind::Total, "HTTP/1.1 200 OK\r\n\r\ndata: one\n\n"),
    ] {
        let (transport, mut servers) = piped();
        let server = tokio::spawn(async move {
            let mut server = servers.recv().await.unwrap();
            if kind == TimeoutKind::Send {
                read_until(&mut server, "\r\n\r\n").await;
            } else {
                read_until(&mut server, "x").await;
            }
            server.write_all(sent.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            if kind == TimeoutKind::Send {
                sleep(20 * second).await;
            }
            server.read_to_end(&mut rest).await.unwrap();
        });
        let mut timeouts = StageTimeouts::default();
        match kind {
            TimeoutKind::Send => timeouts.send = Some(10 * second),
            TimeoutKind::Head => timeouts.head = Some(10 * second),
            TimeoutKind::Read => timeouts.read = Some(10 * second),
            _ => timeouts.total = Some(10 * second),
        }
        // To delay sending, more than all buffers on the way can hold.
        let length = if kind == TimeoutKind::Send {
            2 << 20
        } else {
            1
        };
        let request = Request::post("http://relay.example/")
            .extension(timeouts)
            .body(vec![b'x'; length].into())
            .unwrap();
        let start = Instant::now();

        let error = async {
            let mut body = WithTimeouts::new(transport, TokioRuntime)
                .send(request)
                .await?
                .into_body();
            let piece = body.frame().await.unwrap()?.into_data().unwrap();
            assert_eq!(piece, "data: one\n\n");
            Err::<(), Error>(body.frame().await.unwrap().unwrap_err())
        }
        .await
        .unwrap_err();

        let timeout = error.timeout().unwrap();
        assert_eq!((timeout.kind, timeout.limit), (kind, 10 * second));
        assert_eq!(start.elapsed(), 10 * second, "{kind:?}");
        assert!(error.maybe_sent());
        // The connection is closed at once.
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_connector_that_fails_has_sent_nothing() {
    let connector = service_fn(async |uri: Uri| {
        assert_eq!(uri, "https://relay.example/");
        Err::<Compat<DuplexStream>, _>(io::Error::from(io::ErrorKind::HostUnreachable))
    });
    let transport = HttpTransport::builder()
        .root_certificates(Authority::new().roots())
        .proxy(Proxy::none())
        .connector(connector)
        .build()
        .unwrap();
    let request = Request::post("https://relay.example/v1")
        .body("question".into())
        .unwrap();

    let error = transport.send(request).await.unwrap_err();

    assert!(!error.maybe_sent());
    assert!(error.is_connect());
    assert!(chain(&error).ends_with("host unreachable"));
}

struct Smol;

impl Runtime for Smol {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(async move {
            smol::Timer::after(duration).await;
        })
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        smol::spawn(task).detach();
    }
}

/// A transport without any part of tokio that needs its runtime.
fn smol_transport() -> twentyfirst_transport::HttpTransportBuilder {
    HttpTransport::builder()
        .runtime(Smol)
        .proxy(Proxy::none())
        .connector(service_fn(async |uri: Uri| {
            let port = uri.port_u16().unwrap_or(80);
            smol::net::TcpStream::connect((uri.host().unwrap_or_default(), port)).await
        }))
}

#[test]
fn another_runtime_works() {
    smol::block_on(async {
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        smol::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 8];
            stream.read_exact(&mut head).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\ndata: one\n\n")
                .await
                .unwrap();
            // The client leaves in the end.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .detach();
        let transport = WithTimeouts::new(smol_transport().build().unwrap(), Smol);
        let mut timeouts = StageTimeouts::default();
        timeouts.read = Some(Duration::from_millis(200));
        let request = Request::get(url)
            .extension(timeouts)
            .body(Body::empty())
            .unwrap();

        let mut body = transport.send(request).await.unwrap().into_body();
        let piece = body.frame().await.unwrap().unwrap();
        assert_eq!(piece.into_data().unwrap(), "data: one\n\n");
        let error = body.frame().await.unwrap().unwrap_err();

        assert_eq!(error.timeout().unwrap().kind, TimeoutKind::Read);
        assert!(tokio::runtime::Handle::try_current().is_err());
    });
}

#[test]
fn another_runtime_works_with_tls_and_http2() {
    let authority = Authority::new();
    // The server may use tokio, in its own thread.
    let (started, server) = std::sync::mpsc::channel();
    let config = authority.server_config(&["h2"]);
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async {
                let server = SecureServer::start(config, echo).await;
                started.send(server).unwrap();
                std::future::pending::<()>().await;
            });
    });
    let server = server.recv().unwrap();
    let transport = smol_transport()
        .root_certificates(authority.roots())
        .build()
        .unwrap();

    smol::block_on(async {
        let response = server.post(&transport).await.unwrap();

        assert_eq!(response.version(), http::Version::HTTP_2);
        let body = response.into_body().collect_up_to(100).await.unwrap();
        assert_eq!(body, "question");
    });
}
