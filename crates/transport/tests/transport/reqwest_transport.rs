//! The transport over a reqwest client, whatever its settings.

use std::error::Error as _;
use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use twentyfirst_transport::reqwest::redirect::Policy;
use twentyfirst_transport::reqwest::{Client, ClientBuilder, dns, retry};
use twentyfirst_transport::tower_service::Service;
use twentyfirst_transport::{
    Body, Error, ReqwestTransport, ResponseFuture, StageTimeouts, TokioRuntime, Transport as _,
    WithTimeouts,
};

use crate::server::{Server, refusing};
use crate::{chain, soon};

fn transport(client: ClientBuilder) -> ReqwestTransport {
    ReqwestTransport::new(client.build().unwrap())
}

/// A client with the documented settings.
fn configured() -> ReqwestTransport {
    transport(Client::builder().redirect(Policy::none()))
}

async fn send(
    transport: &ReqwestTransport,
    request: http::request::Builder,
    body: impl Into<Body>,
) -> Result<Response<Body>, Error> {
    soon(transport.send(request.body(body.into()).unwrap())).await
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect_up_to(1000).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Responds to every request with its head, and with its body if it has a length.
async fn echo() -> Server {
    Server::start(async |mut connection| {
        while let Some(head) = connection.read_head().await {
            let length = head.lines().find_map(|line| {
                let length = line.strip_prefix("content-length: ")?;
                Some(length.parse().unwrap())
            });
            let body = connection.read_exact(length.unwrap_or(0)).await;
            connection.respond("200 OK", &format!("{head}{body}")).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made() {
    let server = echo().await;
    let transport = configured();

    let post = Request::post(server.url("/v1/chat?a=b'c")).header("authorization", "Bearer key");
    let response = send(&transport, post, r#"{"a":1}"#).await.unwrap();
    assert_eq!(response.status(), 200);
    let arrived = text(response).await;
    assert!(
        arrived.starts_with("POST /v1/chat?a=b%27c HTTP/1.1\r\n"),
        "{arrived}"
    );
    assert!(arrived.contains("authorization: Bearer key\r\n"));
    assert!(arrived.contains("content-length: 7\r\n"));
    assert!(arrived.ends_with("\r\n\r\n{\"a\":1}"));

    let empty = text(
        send(&transport, Request::post(server.url("/")), "")
            .await
            .unwrap(),
    )
    .await;
    assert!(empty.contains("content-length: 0\r\n"), "{empty}");

    let get = text(
        send(&transport, Request::get(server.url("/")), "")
            .await
            .unwrap(),
    )
    .await;
    assert!(
        !get.contains("content-length") && !get.contains("transfer-encoding"),
        "{get}"
    );

    let pieces = ["stre", "amed"].map(|piece| Ok::<_, Error>(Bytes::from(piece)));
    let body = Body::from_stream(stream::iter(pieces)).with_exact_length(8);
    let put = text(
        send(&transport, Request::put(server.url("/")), body)
            .await
            .unwrap(),
    )
    .await;
    assert!(
        put.contains("content-length: 8\r\n") && put.ends_with("streamed"),
        "{put}"
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_named_and_nothing_was_sent() {
    let (address, _held) = refusing();
    for body in ["", "{}"] {
        let post = Request::post(format!("http://{address}/path?token=secret"));
        let error = send(&configured(), post, body).await.unwrap_err();
        assert!(error.is_connect() && !error.maybe_sent());
        assert_eq!(error.to_string(), format!("could not connect to {address}"));
        let texts = format!("{}\n{error:?}", chain(&error));
        assert!(
            !texts.contains("secret") && !texts.contains("/path"),
            "{texts}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_ends_without_a_response_may_have_carried_the_request() {
    let server = Server::start(async |mut connection| {
        connection.read_head().await;
    })
    .await;
    for body in ["", "{}"] {
        let post = Request::post(server.url("/path?token=secret"));
        let error = send(&configured(), post, body).await.unwrap_err();
        assert!(error.maybe_sent() && !error.is_connect());
        let texts = format!("{}\n{error:?}", chain(&error));
        assert!(
            !texts.contains("secret") && !texts.contains("/path"),
            "{texts}"
        );
    }
}

#[tokio::test]
async fn a_url_that_reqwest_refuses_or_would_change_is_not_sent() {
    let server = echo().await;
    let dots = server.url("/v1/sandboxes/%2e%2e/vaults");
    for url in [
        "/v1/relative",
        "ftp://127.0.0.1/",
        &dots,
        &server.url("/{a}"),
    ] {
        let error = send(&configured(), Request::get(url), "")
            .await
            .unwrap_err();
        assert!(!error.maybe_sent() && !error.is_connect(), "{url}");
        assert_eq!(error.to_string(), "the request was not sent");
        assert!(!chain(&error).contains(url), "{}", chain(&error));
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_body_that_fails_is_named() {
    let server = echo().await;
    let pieces = [Ok(Bytes::from("abc")), Err("the disk is gone")];
    let broken = Body::from_stream(stream::iter(pieces));
    let error = send(&configured(), Request::put(server.url("/")), broken)
        .await
        .unwrap_err();
    assert_eq!(
        chain(&error),
        "the body of the request could not be sent\nthe disk is gone"
    );

    let pieces = [Ok::<_, Error>(Bytes::from("abc"))];
    let short = Body::from_stream(stream::iter(pieces)).with_exact_length(5);
    let error = send(&configured(), Request::put(server.url("/")), short)
        .await
        .unwrap_err();
    assert!(error.maybe_sent());
    assert_eq!(
        chain(&error),
        "the body of the request could not be sent\n\
         the body ended after 3 of the 5 bytes that were announced"
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_of_the_body() {
    let server = Server::start(async |mut connection| {
        connection.read_head().await;
        connection
            .write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            .await;
    })
    .await;
    let get = Request::get(server.url("/path?token=secret"));
    let response = send(&configured(), get, "").await.unwrap();
    let error = response.into_body().collect_up_to(10).await.unwrap_err();
    assert_eq!(error.to_string(), "the body broke off");
    assert!(
        error.maybe_sent() && !chain(&error).contains("secret"),
        "{}",
        chain(&error)
    );
}

/// Redirects every request to the same target, and counts them.
async fn redirecting(status: u16, target: String) -> (Server, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let server = Server::start(move |mut connection| {
        let (count, target) = (Arc::clone(&count), target.clone());
        async move {
            while let Some(head) = connection.read_head().await {
                count.fetch_add(1, Ordering::SeqCst);
                let length = if head.contains("content-length: 2") {
                    2
                } else {
                    0
                };
                connection.read_exact(length).await;
                let head = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {target}\r\n");
                connection
                    .write(&format!("{head}content-length: 0\r\n\r\n"))
                    .await;
            }
        }
    })
    .await;
    (server, requests)
}

const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

#[tokio::test]
async fn a_redirect_is_the_response_if_the_client_follows_none() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = echo().await;
        let (server, requests) = redirecting(status, elsewhere.url("/")).await;
        for method in METHODS {
            for body in ["", "{}"] {
                let request = Request::builder().method(&method).uri(server.url("/"));
                let response = send(&configured(), request, body).await.unwrap();
                assert_eq!(response.status(), status);
            }
        }
        assert_eq!(requests.load(Ordering::SeqCst), 2 * METHODS.len());
        assert_eq!(elsewhere.connections(), 0);
    }
}

#[tokio::test]
async fn a_client_that_follows_redirects_gets_an_error_that_names_the_setting() {
    for status in [301, 302, 303, 307, 308] {
        for method in METHODS {
            for body in ["", "{}"] {
                let elsewhere = echo().await;
                let (server, requests) = redirecting(status, elsewhere.url("/?secret")).await;
                let request = Request::builder().method(&method).uri(server.url("/"));
                let result = send(&transport(Client::builder()), request, body).await;
                let case = format!("{method} {status} {body}");
                // Redirects that turn it into another request, without a body.
                if status == 303 || (status < 303 && method == Method::POST) {
                    let error = result.unwrap_err();
                    assert!(error.maybe_sent(), "{case}");
                    let texts = chain(&error);
                    assert!(
                        texts.contains("redirect(reqwest::redirect::Policy::none())"),
                        "{texts}"
                    );
                    assert!(!texts.contains("secret"), "{texts}");
                } else {
                    assert_eq!(result.unwrap().status(), status, "{case}");
                    assert_eq!(elsewhere.connections(), 0, "{case}");
                }
                assert_eq!(requests.load(Ordering::SeqCst), 1, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn neither_the_key_nor_the_body_goes_to_the_target_of_a_redirect() {
    let (tell, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let elsewhere = Server::start(move |mut connection| {
        let tell = tell.clone();
        async move {
            let head = connection.read_head().await.unwrap();
            connection.respond("200 OK", "").await;
            tell.send(head + &connection.read_to_end().await).unwrap();
        }
    })
    .await;
    let (server, _) = redirecting(303, elsewhere.url("/")).await;
    {
        let following = transport(Client::builder());
        let post = Request::post(server.url("/")).header("authorization", "Bearer key");
        send(&following, post, "{}").await.unwrap_err();
    }
    let arrived = soon(heads.recv()).await.unwrap();
    assert!(
        arrived.starts_with("GET / HTTP/1.1") && arrived.ends_with("\r\n\r\n"),
        "{arrived}"
    );
    assert!(!arrived.contains("authorization"), "{arrived}");
}

#[tokio::test]
async fn a_redirect_to_an_unreachable_server_counts_as_maybe_sent() {
    let (address, _held) = refusing();
    let nobody = format!("http://{address}/?secret");
    for (body, target) in [
        ("", &*nobody),
        ("{}", &nobody),
        ("{}", "/loop?secret"),
        ("{}", "ftp://host/?secret"),
    ] {
        let (server, _) = redirecting(302, target.to_owned()).await;
        let post = Request::post(server.url("/loop?secret"));
        let error = send(&transport(Client::builder()), post, body)
            .await
            .unwrap_err();
        assert!(
            error.maybe_sent() && !error.is_connect(),
            "{target}: {error:?}"
        );
        let texts = format!("{}\n{error:?}", chain(&error));
        assert!(!texts.contains("secret"), "{texts}");
        let is_loop = target.starts_with("/loop");
        assert_eq!(
            texts.contains("redirect::Policy::none()"),
            is_loop,
            "{texts}"
        );
    }
}

#[tokio::test]
async fn no_policy_of_the_client_repeats_a_request() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let server = Server::start(move |mut connection| {
        let count = Arc::clone(&count);
        async move {
            while connection.read_head().await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                connection.respond("503 Service Unavailable", "").await;
            }
        }
    })
    .await;
    let always = retry::for_host("127.0.0.1")
        .no_budget()
        .classify_fn(|attempt| attempt.retryable());
    let eager = transport(Client::builder().retry(always));
    for method in [Method::GET, Method::DELETE] {
        let request = Request::builder().method(method).uri(server.url("/"));
        let response = send(&eager, request, "").await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_client_may_decompress_a_response() {
    // `printf hello | gzip -n`.
    const GZIP: &[u8] =
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9\x07\0\x86\xa6\x106\x05\0\0\0";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let response = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-encoding: gzip\r\n\r\n";
        stream
            .write_all(&[response.as_bytes(), GZIP].concat())
            .await
            .unwrap();
        String::from_utf8(head).unwrap()
    });
    let gzip = transport(Client::builder().gzip(true));
    let get = Request::get(url).header("accept-encoding", "identity");
    let response = send(&gzip, get, "").await.unwrap();
    assert!(!response.headers().contains_key("content-encoding"));
    assert_eq!(text(response).await, "hello");
    let head = server.await.unwrap();
    assert!(
        head.contains("accept-encoding: identity\r\n") && !head.contains("gzip"),
        "{head}"
    );
}

#[tokio::test]
async fn a_timeout_of_the_client_is_a_timeout() {
    let server = Server::start(async |mut connection| {
        let head = connection.read_head().await.unwrap();
        if head.starts_with("GET /body") {
            connection
                .write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
                .await;
        }
        connection.closed().await;
    })
    .await;
    let hasty = transport(Client::builder().timeout(Duration::from_secs(1)));

    let error = send(&hasty, Request::get(server.url("/?secret")), "")
        .await
        .unwrap_err();
    assert!(error.is_timeout() && error.maybe_sent() && !error.is_connect());
    assert!(!chain(&error).contains("secret"), "{}", chain(&error));

    let response = send(&hasty, Request::get(server.url("/body")), "")
        .await
        .unwrap();
    let error = soon(response.into_body().collect_up_to(10))
        .await
        .unwrap_err();
    assert!(error.is_timeout() && error.maybe_sent());
}

/// A resolver that never finds a host.
struct Lost;

impl dns::Resolve for Lost {
    fn resolve(&self, _: dns::Name) -> dns::Resolving {
        Box::pin(pending())
    }
}

#[tokio::test]
async fn a_timeout_before_there_is_a_connection_has_sent_nothing() {
    let limit = Duration::from_millis(100);
    let lost = || Client::builder().dns_resolver(Arc::new(Lost));

    let hasty = transport(lost().connect_timeout(limit));
    let error = send(&hasty, Request::post("http://relay.test/"), "{}")
        .await
        .unwrap_err();
    assert!(error.is_connect() && error.is_timeout() && !error.maybe_sent());
    assert_eq!(error.to_string(), "could not connect to relay.test");
    assert!(error.source().is_some());

    let limited = WithTimeouts::new(transport(lost()), TokioRuntime);
    let mut timeouts = StageTimeouts::default();
    timeouts.total = Some(limit);
    let post = Request::post("http://relay.test/").extension(timeouts);
    let error = soon(limited.send(post.body("{}".into()).unwrap()))
        .await
        .unwrap_err();
    assert!(error.timeout().is_some() && !error.maybe_sent());

    // Afterwards something may have been sent. The limit leaves time for connecting.
    timeouts.total = Some(10 * limit);
    let silent = Server::start(async |mut connection| {
        connection.read_head().await;
        pending::<()>().await;
    })
    .await;
    let limited = WithTimeouts::new(configured(), TokioRuntime);
    for body in ["", "{}"] {
        let post = Request::post(silent.url("/")).extension(timeouts);
        let error = soon(limited.send(post.body(body.into()).unwrap()))
            .await
            .unwrap_err();
        assert!(error.timeout().is_some() && error.maybe_sent());
    }
}

/// A layer that takes its time to give up.
#[derive(Clone)]
struct Reluctant(ReqwestTransport);

impl Service<Request<Body>> for Reluctant {
    type Response = Response<Body>;
    type Error = Error;
    type Future = GivingUp;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> GivingUp {
        GivingUp(self.0.call(request))
    }
}

struct GivingUp(ResponseFuture);

impl Future for GivingUp {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Drop for GivingUp {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The task of a connection runs beside the one that waits for the response, and may take the request just when the time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_not_sent_when_its_time_was_over_is_not_sent_afterwards() {
    let heads = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&heads);
    let server = Server::start(move |mut connection| {
        let seen = Arc::clone(&seen);
        async move {
            while let Some(head) = connection.read_head().await {
                seen.lock().unwrap().push_str(&head);
                if head.starts_with("GET") {
                    connection.respond("200 OK", "").await;
                }
            }
        }
    })
    .await;
    let transport = configured();
    let limited = WithTimeouts::new(Reluctant(transport.clone()), TokioRuntime);
    let mut timeouts = StageTimeouts::default();
    timeouts.total = Some(Duration::from_nanos(1));
    for number in 0..20 {
        // A connection that is kept takes the request at once.
        let response = send(&transport, Request::get(server.url("/")), "").await;
        assert_eq!(text(response.unwrap()).await, "");
        let path = format!("/{number}/");
        let body = if number % 2 == 0 { "" } else { "{}" };
        let post = Request::post(server.url(&path)).extension(timeouts);
        let error = soon(limited.send(post.body(body.into()).unwrap()))
            .await
            .unwrap_err();
        let has_arrived = heads.lock().unwrap().contains(&path);
        assert!(error.maybe_sent() || !has_arrived, "{number}");
    }
}
