//! HTTP over loopback sockets: requests and responses, connection reuse, and the meaning of failures for the request.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use twentyfirst_transport::{Body, Error, HttpTransport, Transport as _};

use crate::clock::Clock;
use crate::pieces::Pieces;
use crate::secure::{Authority, SecureServer};
use crate::server::{Server, full, refusing};
use crate::{chain, soon};

fn request(method: Method, url: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(url)
        .body(body.into())
        .unwrap()
}

fn post(url: &str) -> Request<Body> {
    request(Method::POST, url, "question")
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect_up_to(1_000).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_body_is_read_in_pieces_of_the_size_that_is_set() {
    let content = "x".repeat(100_000);
    let sent = content.clone();
    let server = Server::start(move |mut connection| {
        let sent = sent.clone();
        async move {
            connection.read_head().await.unwrap();
            connection.respond("200 OK", &sent).await;
        }
    })
    .await;
    let transport = HttpTransport::builder().read_buffer(2048).build().unwrap();
    let get = request(Method::GET, &server.url("/"), "");
    let mut body = transport.send(get).await.unwrap().into_body();
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        assert!(piece.len() <= 2048, "{}", piece.len());
        read.extend_from_slice(&piece);
    }
    assert!(read == content.as_bytes());
}

#[tokio::test]
async fn a_request_arrives_and_its_response_comes_back() {
    let server = Server::start(|mut connection| async move {
        let head = connection.read_head().await.unwrap();
        assert!(head.starts_with("POST /v1/threads?limit=2 HTTP/1.1\r\n"));
        assert!(head.contains("content-length: 8\r\n"));
        assert_eq!(connection.read_exact(8).await, "question");
        connection.respond("201 Created", "served").await;
    })
    .await;

    let response = HttpTransport::new()
        .unwrap()
        .send(post(&server.url("/v1/threads?limit=2")))
        .await
        .unwrap();

    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(text(response).await, "served");
}

#[tokio::test]
async fn a_streamed_request_body_leaves_as_it_is_made() {
    let server = Server::start(|mut connection| async move {
        let head = connection.read_head().await.unwrap();
        assert!(head.contains("transfer-encoding: chunked\r\n"));
        assert_eq!(connection.read_exact(8).await, "3\r\none\r\n");
        connection.write("HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(connection.read_exact(8).await, "3\r\ntwo\r\n");
        connection.write("both").await;
    })
    .await;
    let (pieces, body) = Pieces::new();
    pieces.send(Ok("one")).unwrap();

    let response = HttpTransport::new()
        .unwrap()
        .send(request(Method::PUT, &server.url("/"), Body::wrap(body)))
        .await
        .unwrap();
    pieces.send(Ok("two")).unwrap();

    assert_eq!(text(response).await, "both");
}

#[tokio::test]
async fn an_empty_body_announces_its_length_if_the_method_takes_a_body() {
    let server = Server::start(|mut connection| async move {
        while let Some(head) = connection.read_head().await {
            connection.respond("200 OK", &head).await;
        }
    })
    .await;
    let transport = HttpTransport::new().unwrap();
    let (_, never_ending) = Pieces::new();
    let bodies = [
        (Method::POST, Body::empty(), Some("0")),
        (Method::PUT, Body::from(""), Some("0")),
        (Method::PATCH, Body::wrap(String::new()), Some("0")),
        (Method::GET, Body::empty(), None),
        (Method::DELETE, Body::empty(), None),
        (Method::POST, Body::wrap(never_ending), None),
    ];
    for (method, body, length) in bodies {
        let sent = request(method.clone(), &server.url("/"), body);
        let head = text(transport.send(sent).await.unwrap()).await;
        let said = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(said, length, "{method}: {head}");
    }
}

#[tokio::test]
async fn an_empty_body_announces_its_length_over_http2_too() {
    let authority = Authority::new();
    let server = SecureServer::start(authority.server_config(&["h2"]), |stream| async move {
        let service = service_fn(async |request: Request<Incoming>| {
            let announced = request.headers().get("content-length");
            let announced = announced.map(|length| length.to_str().unwrap().to_owned());
            Ok::<_, Infallible>(Response::new(format!("{announced:?}")))
        });
        // It ends with an error when the client leaves.
        let _ = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    })
    .await;
    let transport = HttpTransport::builder()
        .root_certificates(authority.roots())
        .build()
        .unwrap();
    for (method, said) in [
        (Method::POST, r#"Some("0")"#),
        (Method::PATCH, r#"Some("0")"#),
        (Method::GET, "None"),
    ] {
        let sent = request(method.clone(), &server.url, Body::empty());
        let response = transport.send(sent).await.unwrap();
        assert_eq!(text(response).await, said, "{method}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start(|mut connection| async move {
        connection.read_head().await.unwrap();
        connection
            .write("HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")
            .await;
        connection.closed().await;
    })
    .await;
    let transport = HttpTransport::new().unwrap();

    let response = transport
        .send(request(Method::GET, &server.url("/"), Body::empty()))
        .await
        .unwrap();

    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(response.headers()["location"], "/elsewhere");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_target_of_a_redirect_receives_nothing() {
    let elsewhere = Server::start(|connection| connection.respond_to_all("elsewhere")).await;
    let location = elsewhere.url("/");
    for status in [
        "301 Moved Permanently",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let location = location.clone();
        let server = Server::start(move |mut connection| {
            let location = location.clone();
            async move {
                connection.read_head().await.unwrap();
                connection.read_exact(8).await;
                connection
                    .write(&format!(
                        "HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
                    ))
                    .await;
                connection.closed().await;
            }
        })
        .await;

        let response = HttpTransport::new()
            .unwrap()
            .send(post(&server.url("/")))
            .await
            .unwrap();

        assert!(response.status().is_redirection());
        assert_eq!(response.headers()["location"], elsewhere.url("/"));
    }
    assert_eq!(elsewhere.connections(), 0);
}

mod not_sent {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_was_refused() {
        let (address, _held) = refusing();
        let error = HttpTransport::new()
            .unwrap()
            .send(post(&format!("http://{address}/?key=secret")))
            .await
            .unwrap_err();

        assert!(!error.maybe_sent());
        assert!(error.is_connect());
        assert!(!error.is_timeout());
        assert_eq!(error.to_string(), format!("could not connect to {address}"));
        assert!(!chain(&error).contains("secret"), "{error}");
        assert!(chain(&error).contains("refused"), "{}", chain(&error));
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve() {
        // A label of 64 characters is too long for any name server to be asked.
        let url = format!("http://{}.example/", "a".repeat(64));

        let error = HttpTransport::new()
            .unwrap()
            .send(post(&url))
            .await
            .unwrap_err();

        assert!(!error.maybe_sent());
        assert!(error.is_connect());
        assert!(chain(&error).contains("dns error"), "{}", chain(&error));
    }

    #[tokio::test]
    async fn a_connection_that_takes_too_long() {
        let (address, _full) = full().await;
        let clock = Clock::new();
        let transport = HttpTransport::builder()
            .runtime(clock.clone())
            .build()
            .unwrap();

        let call = tokio::spawn(transport.send(post(&format!("http://{address}/"))));
        clock.pass_for_a_sleeper(Duration::from_millis(9_999)).await;
        tokio::task::yield_now().await;
        assert!(!call.is_finished());
        clock.pass_for_a_sleeper(Duration::from_millis(1)).await;
        let error = soon(call).await.unwrap().unwrap_err();

        assert!(!error.maybe_sent());
        assert!(error.is_connect());
        assert!(error.is_timeout());
        assert_eq!(
            error.to_string(),
            format!("could not connect to {address} within 10s")
        );
    }

    #[tokio::test]
    async fn a_request_whose_url_names_no_http_server() {
        for (url, problem) in [
            ("/v1/sandboxes", "client error (UserAbsoluteUriRequired)"),
            ("ftp://127.0.0.1/", "the URI is neither http nor https"),
        ] {
            let error = HttpTransport::new()
                .unwrap()
                .send(post(url))
                .await
                .unwrap_err();
            assert!(!error.maybe_sent(), "{url}");
            assert!(chain(&error).ends_with(problem), "{}", chain(&error));
        }
    }
}

mod maybe_sent {
    use super::*;

    #[tokio::test]
    async fn a_connection_closed_before_the_response() {
        let server = Server::start(|mut connection| async move {
            connection.read_head().await.unwrap();
            connection.read_exact(8).await;
        })
        .await;

        let error = HttpTransport::new()
            .unwrap()
            .send(post(&server.url("/")))
            .await
            .unwrap_err();

        assert!(error.maybe_sent());
        assert!(!error.is_connect());
        assert_eq!(
            error.to_string(),
            "the exchange failed and the request may have been sent"
        );
        // The request was not tried again on another connection.
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn a_kept_connection_closed_before_the_response() {
        let server = Server::start(|mut connection| async move {
            connection.read_head().await.unwrap();
            connection.read_exact(8).await;
            connection.respond("200 OK", "first").await;
            connection.read_head().await;
        })
        .await;
        let transport = HttpTransport::new().unwrap();
        let first = transport.send(post(&server.url("/"))).await.unwrap();
        assert_eq!(text(first).await, "first");

        let error = transport.send(post(&server.url("/"))).await.unwrap_err();

        assert!(error.maybe_sent());
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn a_response_that_is_not_http_or_breaks_off_in_its_head() {
        for response in ["SSH-2.0-server\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-le"] {
            let server = Server::start(move |mut connection| async move {
                connection.read_head().await.unwrap();
                connection.read_exact(8).await;
                connection.write(response).await;
            })
            .await;

            let error = HttpTransport::new()
                .unwrap()
                .send(post(&server.url("/")))
                .await
                .unwrap_err();

            assert!(error.maybe_sent(), "{response}");
        }
    }

    #[tokio::test]
    async fn a_request_body_that_breaks_off() {
        let server = Server::start(|mut connection| async move {
            connection.read_head().await;
            connection.write_until_closed("").await;
        })
        .await;
        let (pieces, body) = Pieces::new();
        pieces.send(Ok("one")).unwrap();
        pieces.send(Err("the disk is gone")).unwrap();

        let error = HttpTransport::new()
            .unwrap()
            .send(request(Method::PUT, &server.url("/"), Body::wrap(body)))
            .await
            .unwrap_err();

        assert!(error.maybe_sent());
        assert_eq!(
            chain(&error),
            "the body of the request could not be sent\nthe disk is gone"
        );
    }

    #[tokio::test]
    async fn a_response_that_breaks_off_in_its_body() {
        let server = Server::start(|mut connection| async move {
            connection.read_head().await.unwrap();
            connection
                .write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
                .await;
        })
        .await;
        let response = HttpTransport::new()
            .unwrap()
            .send(request(Method::GET, &server.url("/"), Body::empty()))
            .await
            .unwrap();

        let error = response.into_body().collect_up_to(100).await.unwrap_err();

        assert!(error.maybe_sent());
        assert!(!error.is_body_limit());
        assert_eq!(error.to_string(), "the body broke off");
    }
}

/// If a server closes early, "not sent" is always true, and no request arrives twice.
mod a_server_that_closes_at_the_same_moment {
    use super::*;

    async fn new_connections() {
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let server = Server::start(move |mut connection| {
            let arrived = arrived.clone();
            async move {
                connection.finish().await;
                arrived.send(connection.read_to_end().await).unwrap();
            }
        })
        .await;

        let mut not_sent = 0;
        for _ in 0..200 {
            let call = HttpTransport::new().unwrap().send(post(&server.url("/")));
            let error = soon(call).await.unwrap_err();
            let arrived = soon(arrivals.recv()).await.unwrap();
            if !error.maybe_sent() {
                not_sent += 1;
                assert_eq!(arrived, "");
            }
        }
        // The order of the two is random, but the server is not always late.
        assert_ne!(not_sent, 0);
    }

    /// The request is in the connection's queue when the end is noticed, and is handed back.
    #[tokio::test]
    async fn on_a_new_connection() {
        new_connections().await;
    }

    /// Tries many interleavings of two threads.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_a_new_connection_with_threads() {
        new_connections().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_a_kept_connection() {
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let server = Server::start(move |mut connection| {
            let arrived = arrived.clone();
            async move {
                connection.read_head().await.unwrap();
                connection.read_exact(8).await;
                connection.respond("200 OK", "kept").await;
                connection.finish().await;
                arrived.send(connection.read_to_end().await).unwrap();
            }
        })
        .await;

        for _ in 0..200 {
            let transport = HttpTransport::new().unwrap();
            let first = transport.send(post(&server.url("/"))).await.unwrap();
            assert_eq!(text(first).await, "kept");
            let second = soon(transport.send(post(&server.url("/")))).await;
            drop(transport);
            let arrived = soon(arrivals.recv()).await.unwrap();
            match second {
                // It was sent on another connection, so nothing of it may have arrived on the first.
                Ok(_) => {
                    assert_eq!(arrived, "");
                    soon(arrivals.recv()).await.unwrap();
                }
                Err(error) => assert!(error.maybe_sent() || arrived.is_empty(), "{arrived}"),
            }
        }
    }
}

mod connections {
    use super::*;

    #[tokio::test]
    async fn are_used_again() {
        let server = Server::start(|connection| connection.respond_to_all("again")).await;
        let transport = HttpTransport::new().unwrap();

        for _ in 0..3 {
            let get = request(Method::GET, &server.url("/"), Body::empty());
            assert_eq!(
                text(transport.clone().send(get).await.unwrap()).await,
                "again"
            );
        }

        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn that_the_server_closed_are_replaced_without_repeating_a_request() {
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        let (closed, mut closings) = mpsc::unbounded_channel();
        let server = Server::start(move |mut connection| {
            let seen = Arc::clone(&seen);
            let closed = closed.clone();
            async move {
                connection.read_head().await.unwrap();
                connection.read_exact(8).await;
                seen.fetch_add(1, Ordering::SeqCst);
                connection.respond("200 OK", "once").await;
                drop(connection);
                closed.send(()).unwrap();
            }
        })
        .await;
        let transport = HttpTransport::new().unwrap();

        for _ in 0..3 {
            let response = transport.send(post(&server.url("/"))).await.unwrap();
            assert_eq!(text(response).await, "once");
            soon(closings.recv()).await.unwrap();
            // Lets the client's connection notice it: the runtime polls its sockets, then runs the task.
            tokio::time::sleep(Duration::from_millis(1)).await;
            tokio::task::yield_now().await;
        }

        assert_eq!(server.connections(), 3);
        assert_eq!(requests.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn are_closed_when_idle_before_a_server_that_waits_five_seconds() {
        let (closed, mut closings) = mpsc::unbounded_channel();
        let server = Server::start(move |connection| {
            let closed = closed.clone();
            async move {
                connection.respond_to_all("ok").await;
                closed.send(()).unwrap();
            }
        })
        .await;
        let clock = Clock::new();
        let transport = HttpTransport::builder()
            .runtime(clock.clone())
            .build()
            .unwrap();
        let send = || transport.send(request(Method::GET, &server.url("/"), Body::empty()));

        text(send().await.unwrap()).await;
        clock.pass_for_a_sleeper(Duration::from_millis(3_999)).await;
        text(send().await.unwrap()).await;
        assert_eq!(server.connections(), 1);
        clock.pass_for_a_sleeper(Duration::from_millis(4_001)).await;

        soon(closings.recv()).await.unwrap();
        text(send().await.unwrap()).await;
        assert_eq!(server.connections(), 2);
    }

    /// Like the default of 4 s and common servers, which close after 5 s, but ten times as fast.
    #[tokio::test]
    async fn that_a_server_closes_when_idle_fail_no_request() {
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        let server = Server::start(move |mut connection| {
            let seen = Arc::clone(&seen);
            async move {
                let idle = Duration::from_millis(500);
                while let Ok(Some(_)) = tokio::time::timeout(idle, connection.read_head()).await {
                    connection.read_exact(8).await;
                    seen.fetch_add(1, Ordering::SeqCst);
                    connection.respond("200 OK", "once").await;
                }
            }
        })
        .await;

        // Each task has its own connection and another pause between its requests: from one at which the connection
        // is always reused to one at which the server has always closed it.
        let mut lanes = JoinSet::new();
        for lane in 0..24 {
            let url = server.url("/");
            lanes.spawn(async move {
                let transport = HttpTransport::builder()
                    .idle_timeout(Duration::from_millis(400))
                    .build()
                    .unwrap();
                for _ in 0..5 {
                    let response = transport.send(post(&url)).await.unwrap();
                    assert_eq!(text(response).await, "once");
                    tokio::time::sleep(Duration::from_millis(350 + 8 * lane)).await;
                }
            });
        }
        lanes.join_all().await;

        assert_eq!(requests.load(Ordering::SeqCst), 24 * 5);
        let connections = server.connections();
        assert!((25..24 * 5).contains(&connections), "{connections}");
    }

    #[tokio::test]
    async fn close_with_the_last_clone_of_the_transport() {
        let (closed, mut closings) = mpsc::unbounded_channel();
        let server = Server::start(move |connection| {
            let closed = closed.clone();
            async move {
                connection.respond_to_all("ok").await;
                closed.send(()).unwrap();
            }
        })
        .await;
        let transport = HttpTransport::new().unwrap();
        let get = request(Method::GET, &server.url("/"), Body::empty());
        text(transport.send(get).await.unwrap()).await;

        drop(transport);

        soon(closings.recv()).await.unwrap();
    }

    #[tokio::test]
    async fn close_when_a_response_is_dropped_before_its_end() {
        let (closed, mut closings) = mpsc::unbounded_channel();
        let server = Server::start(move |mut connection| {
            let closed = closed.clone();
            async move {
                connection.read_head().await.unwrap();
                connection
                    .write("HTTP/1.1 200 OK\r\n\r\ndata: one\n\n")
                    .await;
                connection.closed().await;
                closed.send(()).unwrap();
            }
        })
        .await;
        let transport = HttpTransport::new().unwrap();
        let get = request(Method::GET, &server.url("/"), Body::empty());
        let response = transport.send(get).await.unwrap();

        drop(response);

        soon(closings.recv()).await.unwrap();
    }

    #[tokio::test]
    async fn close_when_a_call_is_dropped_before_its_response() {
        let (events, mut seen) = mpsc::unbounded_channel();
        let server = Server::start(move |mut connection| {
            let events = events.clone();
            async move {
                connection.read_head().await.unwrap();
                connection.read_exact(8).await;
                events.send("arrived").unwrap();
                connection.closed().await;
                events.send("closed").unwrap();
            }
        })
        .await;
        let transport = HttpTransport::new().unwrap();
        let mut call = transport.send(post(&server.url("/")));

        tokio::select! {
            response = &mut call => panic!("{response:?}"),
            event = seen.recv() => assert_eq!(event, Some("arrived")),
        }
        drop(call);

        assert_eq!(soon(seen.recv()).await, Some("closed"));
    }
}

mod bodies_without_end {
    use super::*;

    async fn endless(head: &'static str) -> (Response<Body>, mpsc::UnboundedReceiver<()>) {
        let (closed, closings) = mpsc::unbounded_channel();
        let server = Server::start(move |mut connection| {
            let closed = closed.clone();
            async move {
                connection.read_head().await.unwrap();
                connection.write(head).await;
                connection.write_until_closed(&"x".repeat(1_000)).await;
                closed.send(()).unwrap();
            }
        })
        .await;
        let get = request(Method::GET, &server.url("/"), Body::empty());
        (
            HttpTransport::new().unwrap().send(get).await.unwrap(),
            closings,
        )
    }

    #[tokio::test]
    async fn of_error_responses_are_read_to_the_limit_and_closed() {
        let (response, mut closings) = endless("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;

        let beginning = response.into_body().read_beginning(64 * 1_024).await;

        assert_eq!(beginning.bytes.len(), 64 * 1_024);
        assert!(beginning.truncated);
        soon(closings.recv()).await.unwrap();
    }

    #[tokio::test]
    async fn of_responses_are_refused_at_the_limit_and_closed() {
        let (response, mut closings) = endless("HTTP/1.1 200 OK\r\n\r\n").await;

        let error = response
            .into_body()
            .collect_up_to(10_000)
            .await
            .unwrap_err();

        assert!(error.is_body_limit());
        assert_eq!(error.to_string(), "the body is longer than 10000 bytes");
        soon(closings.recv()).await.unwrap();
    }
}

#[test]
fn public_types_are_send_and_shared_ones_are_sync() {
    fn send<T: Send + 'static>() {}
    fn send_and_sync<T: Send + Sync + 'static>() {}
    send::<Body>();
    send::<twentyfirst_transport::ResponseFuture>();
    send_and_sync::<Error>();
    send_and_sync::<HttpTransport>();
    send_and_sync::<twentyfirst_transport::SharedTransport>();
}
