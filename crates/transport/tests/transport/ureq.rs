//! The transport over `ureq`: requests, reuse of connections, the meaning of failures, and dropping.

use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use twentyfirst_transport::ureq::Agent;
use twentyfirst_transport::ureq::Proxy;
use twentyfirst_transport::ureq::tls::{Certificate, RootCerts, TlsConfig};
use twentyfirst_transport::{
    Body, Error, StageTimeouts, ThreadRuntime, Timeout, TimeoutKind, Transport as _, UreqTransport,
    WithTimeouts,
};

use crate::pieces::Pieces;
use crate::process::in_a_process_of_its_own;
use crate::proxies::VARIABLES;
use crate::secure::{Authority, SecureServer, echo};
use crate::server::{Server, refusing};
#[cfg(target_os = "linux")]
use crate::tls::in_a_process_with_roots;
use crate::{chain, soon};

fn request(method: Method, url: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(url);
    request.body(body.into()).unwrap()
}

fn get(url: &str) -> Request<Body> {
    request(Method::GET, url, "")
}

fn post(url: &str) -> Request<Body> {
    request(Method::POST, url, "question")
}

async fn send(transport: &UreqTransport, request: Request<Body>) -> Result<Response<Body>, Error> {
    soon(transport.send(request)).await
}

async fn text(response: Response<Body>) -> String {
    let bytes = soon(response.into_body().collect_up_to(1_000)).await;
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_request_arrives_as_it_is() {
    let (heads, mut arrived) = mpsc::unbounded_channel();
    let server = Server::start(move |mut connection| {
        let heads = heads.clone();
        async move {
            while let Some(head) = connection.read_head().await {
                let body = match head.contains("content-length: 8\r\n") {
                    true => connection.read_exact(8).await,
                    false if head.contains("chunked") => {
                        connection
                            .read_exact("8\r\nquestion\r\n0\r\n\r\n".len())
                            .await
                    }
                    false => String::new(),
                };
                heads.send(head + &body).unwrap();
                connection.respond("200 OK", "").await;
            }
        }
    })
    .await;
    let transport = UreqTransport::new();
    let url = server.url("/path?query=1");
    let host = server.address();

    let (pieces, stream) = Pieces::new();
    pieces.send(Ok("question")).unwrap();
    drop(pieces);
    let (pieces, exact) = Pieces::new();
    pieces.send(Ok("question")).unwrap();
    drop(pieces);
    let cases = [
        ("GET", Body::empty(), "", ""),
        ("DELETE", Body::empty(), "", ""),
        ("POST", Body::empty(), "content-length: 0\r\n", ""),
        ("PATCH", Body::empty(), "content-length: 0\r\n", ""),
        (
            "POST",
            "question".into(),
            "content-length: 8\r\n",
            "question",
        ),
        (
            "DELETE",
            "question".into(),
            "content-length: 8\r\n",
            "question",
        ),
        (
            "PUT",
            Body::wrap(exact).with_exact_length(8),
            "content-length: 8\r\n",
            "question",
        ),
        (
            "PUT",
            Body::wrap(stream),
            "transfer-encoding: chunked\r\n",
            "8\r\nquestion\r\n0\r\n\r\n",
        ),
    ];
    for (method, body, header, sent) in cases {
        let mut request = request(method.parse().unwrap(), &url, body);
        request
            .headers_mut()
            .insert("x-team", "platform".parse().unwrap());
        let response = send(&transport, request).await.unwrap();
        assert_eq!(text(response).await, "");
        let arrived = arrived.recv().await.unwrap();
        let (head, body) = arrived.split_once("\r\n\r\n").unwrap();
        let mut lines: Vec<&str> = head.split("\r\n").collect();
        lines[1..].sort_unstable();
        let host = format!("host: {host}");
        let mut expected = vec![host.as_str(), "x-team: platform"];
        expected.extend(header.strip_suffix("\r\n"));
        expected.sort_unstable();
        assert_eq!(lines[0], format!("{method} /path?query=1 HTTP/1.1"));
        assert_eq!(lines[1..], expected, "{method}");
        assert_eq!(body, sent);
    }
    assert_eq!(server.connections(), 1, "it is kept and used again");
}

#[tokio::test]
async fn every_status_is_a_response() {
    for (head, status, body) in [
        ("200 OK\r\ncontent-length: 4", 200, "body"),
        ("404 Not Found\r\ncontent-length: 4", 404, "body"),
        (
            "302 Found\r\nlocation: /elsewhere\r\ncontent-length: 4",
            302,
            "body",
        ),
        (
            "503 Service Unavailable\r\ntransfer-encoding: chunked",
            503,
            "4\r\nbody\r\n0\r\n\r\n",
        ),
        ("204 No Content", 204, ""),
        // Labelled as compressed, and left unchanged.
        (
            "200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4",
            200,
            "body",
        ),
    ] {
        let server = Server::start(move |mut connection| async move {
            while connection.read_head().await.is_some() {
                connection
                    .write(&format!("HTTP/1.1 {head}\r\n\r\n{body}"))
                    .await;
            }
        })
        .await;
        let transport = UreqTransport::new();
        for _ in 0..2 {
            let response = send(&transport, get(&server.url("/"))).await.unwrap();
            assert_eq!(response.status(), status);
            let is_long = response.headers().contains_key("content-length");
            let exact = response.body().size_hint().exact();
            assert_eq!(exact, is_long.then_some(4), "{head}");
            let expected = if body.is_empty() { "" } else { "body" };
            assert_eq!(text(response).await, expected, "{head}");
        }
        assert_eq!(server.connections(), 1, "{head}");
    }
}

#[tokio::test]
async fn a_response_to_head_has_no_body() {
    let server = Server::start(|mut connection| async move {
        while connection.read_head().await.is_some() {
            connection
                .write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
                .await;
        }
    })
    .await;
    let transport = UreqTransport::new();
    let head = request(Method::HEAD, &server.url("/"), "");
    let response = send(&transport, head).await.unwrap();
    assert_eq!(response.headers()["content-length"], "10");
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn a_stream_arrives_piece_by_piece() {
    let (next, mut wanted) = mpsc::unbounded_channel();
    let wanted = std::sync::Mutex::new(Some(async move { wanted.recv().await.unwrap() }));
    let server = Server::start(move |mut connection| {
        let wanted = wanted.lock().unwrap().take().unwrap();
        async move {
            connection.read_head().await.unwrap();
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            connection.write(&format!("{head}3\r\none\r\n")).await;
            // The server sends the second piece after the first has been read.
            wanted.await;
            connection.write("3\r\ntwo\r\n0\r\n\r\n").await;
            connection.closed().await;
        }
    })
    .await;
    let transport = UreqTransport::new();
    let mut body = send(&transport, get(&server.url("/")))
        .await
        .unwrap()
        .into_body();
    let piece = soon(body.frame())
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    assert_eq!(piece, "one");
    next.send(()).unwrap();
    let piece = soon(body.frame())
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    assert_eq!(piece, "two");
    assert!(soon(body.frame()).await.is_none());
}

#[tokio::test]
async fn concurrent_exchanges_have_their_own_connections_and_keep_them() {
    let server = Server::start(|connection| connection.respond_to_all("body")).await;
    let transport = UreqTransport::new();
    let mut responses = Vec::new();
    for _ in 0..3 {
        responses.push(send(&transport, get(&server.url("/"))).await.unwrap());
    }
    assert_eq!(server.connections(), 3);
    for response in responses {
        assert_eq!(text(response).await, "body");
    }
    for _ in 0..9 {
        let response = send(&transport, get(&server.url("/"))).await.unwrap();
        assert_eq!(text(response).await, "body");
    }
    assert_eq!(server.connections(), 3);

    // A response that is dropped closes its connection. The two others serve the next requests.
    let rest = send(&transport, get(&server.url("/"))).await.unwrap();
    drop(rest);
    for _ in 0..3 {
        let response = send(&transport, get(&server.url("/"))).await.unwrap();
        assert_eq!(text(response).await, "body");
    }
    assert_eq!(server.connections(), 3, "two are left");
}

#[tokio::test]
async fn no_more_connections_are_kept_than_the_settings_say() {
    let server = Server::start(|connection| connection.respond_to_all("body")).await;
    let settings = Agent::config_builder().proxy(None).max_idle_connections(0);
    let transport = UreqTransport::with_settings(settings);
    for _ in 0..3 {
        let response = send(&transport, get(&server.url("/"))).await.unwrap();
        assert_eq!(text(response).await, "body");
    }
    assert_eq!(server.connections(), 3);

    let settings = Agent::config_builder()
        .proxy(None)
        .max_idle_age(Duration::from_millis(50));
    let transport = UreqTransport::with_settings(settings);
    for _ in 0..2 {
        let response = send(&transport, get(&server.url("/"))).await.unwrap();
        assert_eq!(text(response).await, "body");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let (address, _held) = refusing();
    let transport = UreqTransport::new();
    let error = send(&transport, post(&format!("http://{address}/?key=secret")))
        .await
        .unwrap_err();
    assert!(error.is_connect() && !error.maybe_sent(), "{error:?}");
    assert!(chain(&error).starts_with(&format!("could not connect to {address}\n")));
    assert!(chain(&error).contains("refused"), "{}", chain(&error));

    // Also while the body of the request is silent.
    let (_pieces, silent) = Pieces::new();
    let put = request(
        Method::PUT,
        &format!("http://{address}/"),
        Body::wrap(silent),
    );
    let error = send(&transport, put).await.unwrap_err();
    assert!(error.is_connect() && !error.maybe_sent(), "{error:?}");

    let error = send(&transport, post("http://relay.invalid/"))
        .await
        .unwrap_err();
    assert!(error.is_connect() && !error.maybe_sent(), "{error:?}");
    assert!(chain(&error).starts_with("could not connect to relay.invalid\n"));

    // The same if the kept connection has ended and no other can be made.
    let server = Server::start_once(|mut connection| async move {
        connection.read_head().await.unwrap();
        connection.respond("200 OK", "").await;
    })
    .await;
    let response = send(&transport, get(&server)).await.unwrap();
    assert_eq!(text(response).await, "");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = send(&transport, post(&server)).await.unwrap_err();
    assert!(error.is_connect() && !error.maybe_sent(), "{error:?}");

    for nowhere in ["/path?key=secret", "relay.example"] {
        let error = send(&transport, post(nowhere)).await.unwrap_err();
        assert!(!error.maybe_sent(), "{error:?}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_request_that_is_refused_as_invalid_was_not_sent() {
    let server = Server::start(|connection| connection.respond_to_all("body")).await;
    let transport = UreqTransport::new();
    // With a new connection, and with one that is used again.
    for _ in 0..2 {
        let mut invalid = post(&server.url("/"));
        for host in ["one.example", "two.example"] {
            invalid.headers_mut().append("host", host.parse().unwrap());
        }
        let error = send(&transport, invalid).await.unwrap_err();
        assert!(!error.maybe_sent() && !error.is_connect(), "{error:?}");

        let response = send(&transport, get(&server.url("/"))).await.unwrap();
        assert_eq!(text(response).await, "body");
    }
}

#[tokio::test]
async fn a_limit_that_never_expires_is_none() {
    let server = Server::start(|connection| connection.respond_to_all("body")).await;
    let mut timeouts = StageTimeouts::default();
    timeouts.connect = Some(Duration::MAX);
    let mut request = get(&server.url("/"));
    request.extensions_mut().insert(timeouts);
    let response = send(&UreqTransport::new(), request).await.unwrap();
    assert_eq!(text(response).await, "body");
}

#[tokio::test]
async fn connecting_has_a_limit_and_nothing_was_sent() {
    // It accepts the connection but never starts TLS.
    let (closed, mut closings) = mpsc::unbounded_channel();
    let server = Server::start(move |mut connection| {
        let closed = closed.clone();
        async move {
            connection.read_to_end_of_bytes().await;
            closed.send(()).unwrap();
        }
    })
    .await;
    let transport = UreqTransport::new();
    let mut timeouts = StageTimeouts::default();
    timeouts.connect = Some(Duration::from_millis(200));
    let mut request = post(&server.url("/").replace("http:", "https:"));
    request.extensions_mut().insert(timeouts);
    let error = send(&transport, request).await.unwrap_err();
    let (kind, limit) = (TimeoutKind::Connect, Duration::from_millis(200));
    let timeout = error.timeout();
    assert!(timeout.is_some_and(|it: Timeout| it.kind == kind && it.limit == limit));
    assert!(error.is_connect() && !error.maybe_sent(), "{error:?}");
    soon(closings.recv()).await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_breaks_off_is_not_a_connection() {
    let server = Server::start(|mut connection| async move {
        connection.read_exact_bytes(10).await;
    })
    .await;
    let url = server.url("/").replace("http:", "https:");
    let error = send(&UreqTransport::new(), post(&url)).await.unwrap_err();
    assert!(error.is_connect() && !error.maybe_sent(), "{error:?}");
}

#[tokio::test]
async fn certificates_are_checked_before_anything_is_sent() {
    let authority = Authority::new();
    let server = SecureServer::start(authority.server_config(&["http/1.1"]), echo).await;
    let error = server.post(&UreqTransport::new()).await.unwrap_err();
    assert!(error.is_connect() && !error.maybe_sent(), "{error:?}");
    assert!(chain(&error).contains("certificate"), "{}", chain(&error));

    let der = authority.der();
    let roots = RootCerts::new_with_certs(&[Certificate::from_der(&der).to_owned()]);
    let settings = Agent::config_builder()
        .proxy(None)
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    let transport = UreqTransport::with_settings(settings);
    for _ in 0..2 {
        let response = server.post(&transport).await.unwrap();
        assert_eq!(text(response).await, "question");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn roots_are_read_once_for_all_connections() {
    let test = "ureq::roots_are_read_once_for_all_connections";
    in_a_process_with_roots(test, async |roots| {
        let authority = Authority::new();
        let server = SecureServer::start(authority.server_config(&[]), echo).await;
        std::fs::write(roots, authority.pem()).unwrap();
        let transport = UreqTransport::new();
        let first = soon(server.post(&transport)).await.unwrap();
        std::fs::remove_file(roots).unwrap();
        // The first connection is still in use.
        let second = soon(server.post(&transport)).await.unwrap();
        for response in [first, second] {
            assert_eq!(text(response).await, "question");
        }
    });
}

#[tokio::test]
async fn requests_go_through_a_tunnel_of_the_proxy() {
    let server = Server::start(|connection| connection.respond_to_all("body")).await;
    let address = server.address();
    let proxy = Server::start(move |mut connection| async move {
        let head = connection.read_head().await.unwrap();
        if head.starts_with("CONNECT relay.example:80 ") {
            connection.write("HTTP/1.1 200 Connected\r\n\r\n").await;
            connection.tunnel_to(address).await;
        } else {
            connection.respond("403 Forbidden", "").await;
        }
    })
    .await;
    let proxy = Proxy::new(&proxy.url("")).unwrap();
    let transport = UreqTransport::with_settings(Agent::config_builder().proxy(Some(proxy)));
    let response = send(&transport, post("http://relay.example/"))
        .await
        .unwrap();
    assert_eq!(text(response).await, "body");

    let error = send(&transport, post("http://other.example/"))
        .await
        .unwrap_err();
    assert!(error.is_connect() && !error.maybe_sent(), "{error:?}");
}

#[tokio::test]
async fn requests_go_through_a_socks_proxy() {
    let proxy = Server::start(|mut connection| async move {
        // The proxy asks for no password, and then connects.
        connection.read_exact_bytes(3).await;
        connection.write("\x05\0").await;
        connection.read_exact_bytes(10).await;
        connection.write("\x05\0\0\x01\0\0\0\0\0\0").await;
        connection.respond_to_all("body").await;
    })
    .await;
    let proxy = Proxy::new(&proxy.url("").replace("http:", "socks5:")).unwrap();
    let transport = UreqTransport::with_settings(Agent::config_builder().proxy(Some(proxy)));
    let response = send(&transport, post("http://127.0.0.1:9/")).await.unwrap();
    assert_eq!(text(response).await, "body");
}

/// A target that is not known as this machine, but leads there on Unix.
#[cfg(unix)]
#[test]
fn a_socks_proxy_in_the_environment_is_not_passed_by() {
    let test = "ureq::a_socks_proxy_in_the_environment_is_not_passed_by";
    // Nobody listens there.
    let set = [("ALL_PROXY", "socks5://user:secret@127.0.0.1:1")];
    in_a_process_of_its_own(test, &set, &VARIABLES, async || {
        let server = Server::start(|connection| connection.respond_to_all("body")).await;
        let url = server.url("/").replace("127.0.0.1", "0.0.0.0");
        let error = send(&UreqTransport::new(), get(&url)).await.unwrap_err();
        assert!(error.is_connect() && !error.maybe_sent(), "{error:?}");
        assert!(!chain(&error).contains("secret"), "{}", chain(&error));
        assert_eq!(server.connections(), 0);
    });
}

/// A header of the incoming request, `Proxy`, sets the variable.
#[cfg(unix)]
#[test]
fn a_cgi_script_does_not_take_its_proxy_from_a_request() {
    let test = "ureq::a_cgi_script_does_not_take_its_proxy_from_a_request";
    let set = [
        ("REQUEST_METHOD", "GET"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
    ];
    in_a_process_of_its_own(test, &set, &VARIABLES, async || {
        let server = Server::start(|connection| connection.respond_to_all("body")).await;
        let url = server.url("/").replace("127.0.0.1", "0.0.0.0");
        let response = send(&UreqTransport::new(), get(&url)).await.unwrap();
        assert_eq!(text(response).await, "body");
    });
}

#[test]
fn requests_to_this_machine_do_not_go_through_the_proxy_of_the_environment() {
    let test = "ureq::requests_to_this_machine_do_not_go_through_the_proxy_of_the_environment";
    for proxy in ["http://127.0.0.1:1", "socks5://127.0.0.1:1"] {
        in_a_process_of_its_own(test, &[("ALL_PROXY", proxy)], &VARIABLES, async || {
            let server = Server::start(|connection| connection.respond_to_all("body")).await;
            let transport = UreqTransport::new();
            for host in ["127.0.0.1", "LOCALHOST", "127.0.0.1"] {
                let url = server.url("/").replace("127.0.0.1", host);
                let response = send(&transport, get(&url)).await.unwrap();
                assert_eq!(text(response).await, "body");
            }
            assert_eq!(server.connections(), 2, "one for each name");
        });
    }
}

#[tokio::test]
async fn a_request_that_left_may_have_arrived_wherever_its_connection_breaks() {
    for response in ["", "HTTP/1.1 200 OK\r\ncontent-le", "nonsense\r\n\r\n"] {
        let server = Server::start(move |mut connection| async move {
            connection.read_head().await.unwrap();
            connection.read_exact(8).await;
            connection.write(response).await;
        })
        .await;
        let error = send(&UreqTransport::new(), post(&server.url("/")))
            .await
            .unwrap_err();
        assert!(
            error.maybe_sent() && !error.is_connect(),
            "{response}: {error:?}"
        );
        assert_eq!(server.connections(), 1);
    }
    for body in [
        "content-length: 10\r\n\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "transfer-encoding: chunked\r\n\r\nnonsense",
    ] {
        let server = Server::start(move |mut connection| async move {
            connection.read_head().await.unwrap();
            connection.read_exact(8).await;
            connection
                .write(&format!("HTTP/1.1 200 OK\r\n{body}"))
                .await;
        })
        .await;
        let response = send(&UreqTransport::new(), post(&server.url("/")))
            .await
            .unwrap();
        let error = soon(response.into_body().collect_up_to(1_000))
            .await
            .unwrap_err();
        assert!(error.maybe_sent(), "{body}: {error:?}");
        assert!(error.to_string().contains("broke off"), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_reset_is_not_the_end_of_a_body_that_ends_with_its_connection() {
    for is_whole in [true, false] {
        let server = Server::start(move |mut connection| async move {
            connection.read_head().await.unwrap();
            connection.write("HTTP/1.1 200 OK\r\n\r\nhalf").await;
            if !is_whole {
                // Only after the client has read the first half.
                tokio::time::sleep(Duration::from_millis(100)).await;
                connection.reset();
            }
        })
        .await;
        let response = send(&UreqTransport::new(), get(&server.url("/")))
            .await
            .unwrap();
        let body = soon(response.into_body().collect_up_to(1_000)).await;
        match is_whole {
            true => assert_eq!(body.unwrap(), "half"),
            false => assert_eq!(body.unwrap_err().to_string(), "the body broke off"),
        }
    }
}

#[tokio::test]
async fn a_request_whose_body_breaks_off_is_not_completed() {
    for announced in [None, Some(8), Some(100)] {
        let (told, mut rest) = mpsc::unbounded_channel();
        let server = Server::start(move |mut connection| {
            let told = told.clone();
            async move {
                connection.read_head().await.unwrap();
                told.send(connection.read_to_end().await).unwrap();
            }
        })
        .await;
        let (pieces, stream) = Pieces::new();
        pieces.send(Ok("half")).unwrap();
        let mut put = request(Method::PUT, &server.url("/"), Body::wrap(stream));
        match announced {
            Some(8) => pieces.send(Ok("and more than that")).unwrap(),
            // Shorter than announced.
            Some(_) => {}
            None => pieces.send(Err("the disk is gone")).unwrap(),
        }
        drop(pieces);
        if let Some(length) = announced {
            put.headers_mut().insert("content-length", length.into());
        }
        let error = send(&UreqTransport::new(), put).await.unwrap_err();
        assert!(error.maybe_sent(), "{error:?}");
        let told = chain(&error);
        assert!(
            told.starts_with("the body of the request could not be sent\n"),
            "{told}"
        );
        let reason = match announced {
            Some(8) => "longer than the 8 bytes",
            Some(_) => "ended after 4 of the 100 bytes",
            None => "the disk is gone",
        };
        assert!(told.contains(reason), "{told}");
        let rest = soon(rest.recv()).await.unwrap();
        assert!(
            !rest.contains("0\r\n\r\n"),
            "the server sees that it is not whole: {rest}"
        );
    }
}

#[tokio::test]
async fn dropping_an_exchange_closes_it_while_the_server_is_silent() {
    let (event, mut events) = mpsc::unbounded_channel();
    let server = Server::start(move |mut connection| {
        let event = event.clone();
        async move {
            let head = connection.read_head().await.unwrap();
            event.send("arrived").unwrap();
            if head.starts_with("GET /stream") {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                connection.write(&format!("{head}3\r\none\r\n")).await;
            }
            connection.read_to_end().await;
            event.send("closed").unwrap();
        }
    })
    .await;
    let transport = UreqTransport::new();

    // The head of the response never arrives.
    let mut response = transport.send(get(&server.url("/silence")));
    tokio::select! {
        response = &mut response => panic!("{response:?}"),
        event = soon(events.recv()) => assert_eq!(event, Some("arrived")),
    }
    drop(response);
    assert_eq!(soon(events.recv()).await, Some("closed"));

    // Before the first read of the body, and while a thread waits for more of it.
    let unread = send(&transport, get(&server.url("/stream"))).await.unwrap();
    drop(unread);
    assert_eq!(soon(events.recv()).await, Some("arrived"));
    assert_eq!(soon(events.recv()).await, Some("closed"));
    let mut body = send(&transport, get(&server.url("/stream")))
        .await
        .unwrap()
        .into_body();
    soon(body.frame()).await.unwrap().unwrap();
    let more = tokio::time::timeout(Duration::from_millis(50), body.frame()).await;
    assert!(more.is_err());
    drop(body);
    assert_eq!(soon(events.recv()).await, Some("arrived"));
    assert_eq!(soon(events.recv()).await, Some("closed"));

    // While the request is sent.
    let (pieces, stream) = Pieces::new();
    pieces.send(Ok("half")).unwrap();
    let put = request(
        Method::PUT,
        &server.url("/"),
        Body::wrap(stream).with_exact_length(8),
    );
    let mut response = transport.send(put);
    tokio::select! {
        response = &mut response => panic!("{response:?}"),
        event = soon(events.recv()) => assert_eq!(event, Some("arrived")),
    }
    drop(response);
    assert_eq!(soon(events.recv()).await, Some("closed"));
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn limits_on_time_are_kept_on_threads() {
    let server = Server::start(move |mut connection| async move {
        let head = connection.read_head().await.unwrap();
        if head.starts_with("GET /stream") {
            connection
                .write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\none")
                .await;
        }
        connection.closed().await;
    })
    .await;
    let transport = WithTimeouts::new(UreqTransport::new(), ThreadRuntime);
    let limit = Duration::from_millis(100);
    let with_timeouts = |path, set: fn(&mut StageTimeouts) -> &mut Option<Duration>| {
        let mut timeouts = StageTimeouts::default();
        *set(&mut timeouts) = Some(limit);
        let mut request = get(&server.url(path));
        request.extensions_mut().insert(timeouts);
        request
    };
    let error = soon(transport.send(with_timeouts("/silence", |it| &mut it.head)))
        .await
        .unwrap_err();
    assert_eq!(
        error.timeout().map(|timeout| timeout.kind),
        Some(TimeoutKind::Head)
    );
    assert!(error.maybe_sent());
    let response = soon(transport.send(with_timeouts("/stream", |it| &mut it.read)))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let error = soon(response.into_body().collect_up_to(10))
        .await
        .unwrap_err();
    assert_eq!(
        error.timeout().map(|timeout| timeout.kind),
        Some(TimeoutKind::Read)
    );
}
