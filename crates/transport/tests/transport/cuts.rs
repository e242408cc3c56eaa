//! Connections that break at every point of an exchange, and servers that never finish. In every case a
//! request arrives at most once, and an error that says "not sent" is right.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use twentyfirst_transport::{
    Body, Error, HttpTransport, StageTimeouts, TimeoutKind, TokioRuntime, Transport, WithTimeouts,
};

use crate::pieces::Pieces;
use crate::secure::{Authority, SecureServer};
use crate::server::{Connection, Server};
use crate::{chain, soon};

/// The point at which the server breaks the connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    BeforeTheRequest,
    InItsHead,
    InItsBody,
    BeforeTheResponse,
    InItsHeadAfterTheRequest,
    InTheBody,
    InTheStream,
}

use When::*;

const LENGTH: usize = 4 << 20;

async fn serve_until(when: When, connection: &mut Connection) {
    match when {
        BeforeTheRequest => return,
        InItsHead => {
            connection.read_exact(10).await;
            return;
        }
        _ => {}
    }
    connection.read_head().await.unwrap();
    if when == InItsBody {
        connection.read_exact(LENGTH / 2).await;
        return;
    }
    connection.read_exact(LENGTH).await;
    let response = match when {
        InItsHeadAfterTheRequest => "HTTP/1.1 200 OK\r\ncontent-le",
        InTheBody => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        InTheStream => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        _ => "",
    };
    connection.write(response).await;
}

async fn exchange(transport: impl Transport, request: Request<Body>) -> Result<(), Error> {
    let mut body = transport.send(request).await?.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

#[tokio::test]
async fn a_request_arrives_once_at_most_wherever_its_connection_breaks() {
    for when in [
        BeforeTheRequest,
        InItsHead,
        InItsBody,
        BeforeTheResponse,
        InItsHeadAfterTheRequest,
        InTheBody,
        InTheStream,
    ] {
        for reset in [false, true] {
            let server = Server::start(move |mut connection| async move {
                serve_until(when, &mut connection).await;
                if reset {
                    connection.reset();
                }
            })
            .await;
            let request = Request::post(server.url("/"))
                .body(vec![b'x'; LENGTH].into())
                .unwrap();

            let error = soon(exchange(HttpTransport::new().unwrap(), request))
                .await
                .unwrap_err();

            assert!(!error.is_connect(), "{when:?}");
            if when != BeforeTheRequest {
                assert!(error.maybe_sent(), "{when:?} {reset}: {}", chain(&error));
            }
            let in_body = matches!(when, InTheBody | InTheStream);
            assert_eq!(
                error.to_string() == "the body broke off",
                in_body,
                "{when:?} {reset}: {}",
                chain(&error)
            );
            assert_eq!(server.connections(), 1, "{when:?}");
        }
    }
}

#[tokio::test]
async fn a_request_over_http2_arrives_once_at_most() {
    let authority = Authority::new();
    for when in [InItsBody, BeforeTheResponse, InTheStream] {
        // Closes the connection, or only its stream.
        for whole in [true, false] {
            let requests = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&requests);
            let config = authority.server_config(&["h2"]);
            let server = SecureServer::start(config, move |stream| {
                let seen = Arc::clone(&seen);
                let (cut, mut cuts) = mpsc::unbounded_channel();
                let service = service_fn(move |request: Request<Incoming>| {
                    seen.fetch_add(1, Ordering::SeqCst);
                    let cut = cut.clone();
                    async move {
                        let mut body = request.into_body();
                        let (pieces, response) = Pieces::new();
                        if when == InItsBody {
                            body.frame().await.unwrap().unwrap();
                        } else {
                            let read = body.collect().await.unwrap();
                            assert_eq!(read.to_bytes().len(), LENGTH);
                        }
                        if when == InTheStream {
                            pieces.send(Ok("half")).unwrap();
                            tokio::spawn(async move {
                                tokio::time::sleep(Duration::from_millis(5)).await;
                                pieces.send(Err("cut")).unwrap();
                                cut.send(()).unwrap();
                            });
                            return Ok(Response::new(response));
                        }
                        cut.send(()).unwrap();
                        Err("cut")
                    }
                });
                async move {
                    let connection = http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service);
                    if whole {
                        tokio::select! {
                            _ = connection => {}
                            _ = cuts.recv() => {}
                        }
                    } else {
                        // It ends with an error when the client leaves.
                        let _ = connection.await;
                    }
                }
            })
            .await;
            let transport = HttpTransport::builder()
                .root_certificates(authority.roots())
                .build()
                .unwrap();
            let request = Request::post(&server.url)
                .body(vec![b'x'; LENGTH].into())
                .unwrap();

            let error = soon(exchange(transport, request)).await.unwrap_err();

            assert!(error.maybe_sent(), "{when:?} {whole}: {}", chain(&error));
            assert_eq!(requests.load(Ordering::SeqCst), 1, "{when:?} {whole}");
        }
    }
}

/// Sends a request to a server with endless output, and returns the error that ends the exchange.
async fn endless(
    first: &'static str,
    then: &'static str,
    pace: Duration,
    timeouts: StageTimeouts,
) -> Error {
    let (closed, mut closings) = mpsc::unbounded_channel();
    let server = Server::start(move |mut connection| {
        let closed = closed.clone();
        async move {
            connection.read_head().await.unwrap();
            connection.write(first).await;
            while connection.try_write(then).await {
                if !pace.is_zero() {
                    tokio::time::sleep(pace).await;
                }
            }
            closed.send(()).unwrap();
        }
    })
    .await;
    let request = Request::get(server.url("/"))
        .extension(timeouts)
        .body(Body::empty())
        .unwrap();
    let transport = WithTimeouts::new(HttpTransport::new().unwrap(), TokioRuntime);

    let error = soon(exchange(transport, request)).await.unwrap_err();

    // The server notices at once.
    soon(closings.recv()).await.unwrap();
    error
}

const MS: Duration = Duration::from_millis(1);

fn limits(set: impl FnOnce(&mut StageTimeouts)) -> StageTimeouts {
    let mut timeouts = StageTimeouts::default();
    // Long enough never to expire before another limit.
    timeouts.read = Some(5_000 * MS);
    set(&mut timeouts);
    timeouts
}

#[tokio::test]
async fn a_response_that_drips_is_cut_off_by_its_limit_and_not_by_silence() {
    let head = "HTTP/1.1 200 OK\r\n";
    let error = endless(head, "a", 2 * MS, limits(|t| t.head = Some(60 * MS))).await;
    assert_eq!(error.timeout().unwrap().kind, TimeoutKind::Head);

    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let error = endless(head, ":", 2 * MS, limits(|t| t.total = Some(60 * MS))).await;
    assert_eq!(error.timeout().unwrap().kind, TimeoutKind::Total);
}

#[tokio::test]
async fn interim_responses_are_not_the_response() {
    let error = endless(
        "",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        MS,
        limits(|t| t.head = Some(60 * MS)),
    )
    .await;
    assert_eq!(error.timeout().unwrap().kind, TimeoutKind::Head);
}

#[tokio::test]
async fn a_head_without_end_is_refused_without_any_limit_on_time() {
    for lines in [
        "x: y\r\n",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ] {
        let error = endless("HTTP/1.1 200 OK\r\n", lines, Duration::ZERO, limits(|_| ())).await;
        assert!(error.timeout().is_none(), "{}", chain(&error));
        assert!(error.maybe_sent());
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off_at_the_total_limit() {
    let error = endless(
        "HTTP/1.1 200 OK\r\n\r\n",
        "data: and so on\n\n",
        Duration::ZERO,
        limits(|t| t.total = Some(60 * MS)),
    )
    .await;
    assert_eq!(error.timeout().unwrap().kind, TimeoutKind::Total);
}
