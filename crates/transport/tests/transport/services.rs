//! Services as transports: closures, tower's layers, services with their own errors.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use http::{Request, Response};
use http_body_util::Full;
use tower::timeout::error::Elapsed;
use tower_service::Service;
use twentyfirst_transport::{Body, Error, SharedTransport, Transport, from_fn};

use crate::chain;

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect_up_to(1_000).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_closure_stands_in_for_a_server() {
    let calls = AtomicUsize::new(0);
    let shared = Arc::new(calls);
    let counted = Arc::clone(&shared);
    let double = SharedTransport::new(from_fn(move |request: Request<Body>| {
        let call = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok(Response::new(format!("{call}: {}", request.uri()).into())) }
    }));

    // A task requires everything to be `Send`; a clone is the same transport.
    let clone = double.clone();
    let first = tokio::spawn(async move { text(clone.send(request("/a")).await.unwrap()).await });
    assert_eq!(first.await.unwrap(), "1: /a");
    assert_eq!(
        text(double.send(request("/b")).await.unwrap()).await,
        "2: /b"
    );
    assert_eq!(shared.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn nothing_happens_before_the_future_is_polled() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let double = from_fn(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(Response::new(Body::empty())) }
    });

    drop(double.send(request("/")));

    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn layers_can_wrap_a_transport() {
    let inner = SharedTransport::new(from_fn(async |request| {
        let agent = request.headers()["user-agent"].to_str().map(String::from);
        Ok(Response::new(agent.unwrap_or_default().into()))
    }));
    let layered = tower::ServiceBuilder::new()
        .map_request(|mut request: Request<Body>| {
            let agent = http::HeaderValue::from_static("reviewer/1");
            request.headers_mut().insert("user-agent", agent);
            request
        })
        .service(inner);

    let transport = SharedTransport::new(layered);

    assert_eq!(
        text(transport.send(request("/")).await.unwrap()).await,
        "reviewer/1"
    );
}

#[tokio::test]
async fn a_service_may_have_bodies_and_errors_of_its_own() {
    let service = tower::service_fn(async |request: Request<Body>| {
        if request.uri().path() == "/" {
            Ok(Response::new(Full::from("its own body")))
        } else {
            Err(io::Error::from(io::ErrorKind::TimedOut))
        }
    });

    let response = service.send(request("/")).await.unwrap();
    assert_eq!(text(response).await, "its own body");

    let error = service.send(request("/missing")).await.unwrap_err();
    assert!(
        error.maybe_sent(),
        "an error of another type counts as maybe sent"
    );
    assert!(error.is_timeout());
    assert!(!error.is_connect());
}

#[tokio::test]
async fn an_error_of_this_crate_says_whether_the_request_was_sent() {
    let offline = from_fn(async |_| Err(Error::not_sent("the network is off")));
    let error = offline.send(request("/")).await.unwrap_err();
    assert!(!error.maybe_sent());
    assert!(!error.is_connect());
    assert_eq!(
        chain(&error),
        "the request was not sent\nthe network is off"
    );

    let cut = from_fn(async |_| Err(Error::new("the cable was pulled")));
    let error = cut.send(request("/")).await.unwrap_err();
    assert!(error.maybe_sent());
    assert_eq!(
        chain(&error),
        "the exchange failed and the request may have been sent\nthe cable was pulled"
    );
}

#[tokio::test]
async fn an_error_that_wraps_one_of_this_crate_counts_as_maybe_sent() {
    // Like a layer that tried twice: only the second attempt was certainly not sent.
    let twice = tower::service_fn(async |_: Request<Body>| {
        Err::<Response<Body>, _>(Wrapped(Error::not_sent("no route to host")))
    });

    let error = twice.send(request("/")).await.unwrap_err();

    assert!(error.maybe_sent());
}

#[tokio::test(start_paused = true)]
async fn errors_survive_layers_that_box_them_and_a_timeout_of_tower_counts_as_maybe_sent() {
    let inner = from_fn(async |request: Request<Body>| match request.uri().path() {
        "/offline" => Err(Error::not_sent("the network is off")),
        _ => std::future::pending().await,
    });
    let limit = Duration::from_secs(1);
    let stack = tower::ServiceBuilder::new()
        .concurrency_limit(1)
        .timeout(limit);

    let transport = SharedTransport::new(stack.clone().service(inner.clone()));
    let error = transport.send(request("/offline")).await.unwrap_err();
    assert!(!error.maybe_sent());
    let error = transport.send(request("/slow")).await.unwrap_err();
    assert!(error.maybe_sent());
    assert!(error.source().unwrap().is::<Elapsed>());
    assert!(!error.is_timeout(), "its type is tower's");

    // Mapped to the standard library's error, as the documentation advises.
    let transport = SharedTransport::new(
        tower::ServiceBuilder::new()
            .map_err(|error: tower::BoxError| match error.is::<Elapsed>() {
                true => io::Error::new(io::ErrorKind::TimedOut, error).into(),
                false => error,
            })
            .layer(stack)
            .service(inner),
    );
    let error = transport.send(request("/offline")).await.unwrap_err();
    assert!(!error.maybe_sent());
    let error = transport.send(request("/slow")).await.unwrap_err();
    assert!(error.maybe_sent() && error.is_timeout());
}

#[tokio::test]
async fn a_service_that_is_not_ready_never_gets_the_request() {
    let error = Gate::Broken.send(request("/")).await.unwrap_err();

    assert!(!error.maybe_sent());
    assert_eq!(
        chain(&error),
        "the request was not sent\nthe exchange failed and the request may have been sent\nthe gate is broken"
    );
}

#[tokio::test]
async fn the_clone_that_was_ready_is_called() {
    let response = Gate::Closed.send(request("/")).await.unwrap();

    assert_eq!(text(response).await, "through");
}

#[derive(Debug)]
struct Wrapped(Error);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all attempts failed")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A service that must be polled for readiness, like those with a limit.
#[derive(Clone)]
enum Gate {
    Closed,
    Open,
    Broken,
}

impl Service<Request<Body>> for Gate {
    type Response = Response<Body>;
    type Error = Error;
    type Future = std::future::Ready<Result<Response<Body>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self {
            Self::Broken => Poll::Ready(Err(Error::new("the gate is broken"))),
            Self::Closed | Self::Open => {
                *self = Self::Open;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(matches!(self, Self::Open), "called without being ready");
        std::future::ready(Ok(Response::new("through".into())))
    }
}
