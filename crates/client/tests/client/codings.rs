//! Responses with a content coding that the client did not accept.

use std::time::Duration;

use http::{Request, Response};
use tokio::time::Instant;
use twentyfirst_client::transport::Body;
use twentyfirst_client::{Error, SandboxId, StartRun, ThreadId};

use crate::support::{client, event_stream, json};

const PROBLEM: &str = "its content-encoding is gzip, and only identity was asked for";

fn gzip(mut response: Response<Body>) -> Response<Body> {
    let coding = http::HeaderValue::from_static("gzip");
    response.headers_mut().insert("content-encoding", coding);
    response
}

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

/// A body of which nothing ever arrives.
fn silent() -> Body {
    struct Silent;

    impl http_body::Body for Silent {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }

    Body::wrap(Silent)
}

#[tokio::test(start_paused = true)]
async fn files_downloads_and_streams_are_refused_alike_and_at_once() {
    let (client, log) = client("https://relay.test/", |sent| {
        let is_stream = sent.method == "POST" || sent.target.contains("format=stream");
        gzip(if is_stream {
            event_stream(silent())
        } else {
            json(200, r#"{"path":"/a","content":"text"}"#)
        })
    });
    let start = Instant::now();
    let files = client.sandboxes().files();
    let run = StartRun::new("my-agent", "Hi")
        .sandbox_id(sandbox())
        .thread_id(ThreadId::new("th_1").unwrap());
    let errors: [Error; 4] = [
        files.read_to_string(sandbox(), "/a").await.unwrap_err(),
        files.read(sandbox(), "/a").await.unwrap_err(),
        files.read_stream(sandbox(), "/a").await.unwrap_err(),
        client.threads().start(run).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.invalid_response().unwrap().problem(), PROBLEM);
        assert_eq!(error.status().unwrap(), 200);
        assert_eq!(error.attempts(), 1, "it would be the same again");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    for sent in log.take() {
        assert_eq!(sent.headers["accept-encoding"], "identity");
    }
}

#[tokio::test]
async fn a_custom_request_accepts_no_coding_unless_it_names_one() {
    let (client, log) = client("https://relay.test/", |_| gzip(json(200, "{}")));
    let response = client.send(Request::new(Body::empty())).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let mut request = Request::new(Body::empty());
    let br = http::HeaderValue::from_static("br");
    request.headers_mut().insert("accept-encoding", br);
    client.send(request).await.unwrap();
    let asked: Vec<_> = log
        .take()
        .iter()
        .map(|sent| sent.headers["accept-encoding"].clone())
        .collect();
    assert_eq!(asked, ["identity", "br"]);
}

#[tokio::test]
async fn an_error_keeps_its_status() {
    let (client, _) = client("https://relay.test/", |_| gzip(json(404, "\u{1f}\u{8b}")));
    let error = client.sandboxes().get(sandbox()).await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(
        error.to_string(),
        format!("the relay responded with 404: {PROBLEM}")
    );
}
