//! Retries, timeouts and deadlines, on a clock that is paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use tokio::time::Instant;
use twentyfirst_client::protocol::files::WriteStream;
use twentyfirst_client::protocol::retry::{GiveUp, RetryPolicy};
use twentyfirst_client::protocol::runs::StartRun;
use twentyfirst_client::protocol::sandboxes::Exec;
use twentyfirst_client::protocol::{CallOptions, SandboxId, ThreadId};
use twentyfirst_client::transport::{Body, Error as TransportError, TimeoutKind, from_fn};
use twentyfirst_client::{AgentClient, Error};

use crate::support::{event_stream, json};

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

fn found() -> Response<Body> {
    json(200, r#"{"id":"sb_1","status":"active"}"#)
}

/// Returns a client whose n-th request, counted from 1, gets the response `respond(n)`, and the number of its requests.
fn client<F>(
    respond: impl Fn(usize) -> F + Send + Sync + 'static,
) -> (AgentClient, Arc<AtomicUsize>)
where
    F: Future<Output = Result<Response<Body>, TransportError>> + Send + 'static,
{
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let transport =
        from_fn(move |_: Request<Body>| respond(counter.fetch_add(1, Ordering::SeqCst) + 1));
    let client = AgentClient::builder()
        .api_key("an_sk_test")
        .transport(transport)
        .build()
        .unwrap();
    (client, count)
}

/// Returns the result of a call, and the seconds that it took.
async fn timed<T>(call: impl Future<Output = Result<T, Error>>) -> (Result<T, Error>, f64) {
    let start = Instant::now();
    let result = call.await;
    (result, start.elapsed().as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn a_temporary_failure_is_retried() {
    let (client, count) = client(async |attempt| match attempt {
        1 => Err(TransportError::new("connection reset")),
        2 => Ok(json(503, "")),
        _ => Ok(found()),
    });
    let (result, seconds) = timed(client.sandboxes().get(sandbox())).await;
    assert_eq!(result.unwrap().id, sandbox());
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert!(
        seconds < 1.5,
        "at most half a second and then one: {seconds}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_have_taken_effect_is_not_repeated() {
    let (client, count) = client(async |_| Err(TransportError::new("connection reset")));
    let error = client
        .sandboxes()
        .exec(sandbox(), "make release")
        .await
        .unwrap_err();
    assert_eq!((count.load(Ordering::SeqCst), error.attempts()), (1, 1));
    assert!(error.maybe_sent());
    assert_eq!(error.give_up(), Some(GiveUp::NotRepeatable));

    let error = client.threads().run("my-agent", "Hi").await.unwrap_err();
    assert_eq!((count.load(Ordering::SeqCst), error.attempts()), (2, 1));

    let (client, count) =
        crate::retries::client(async |_| Err(TransportError::not_sent("refused")));
    let error = client
        .sandboxes()
        .exec(sandbox(), "make release")
        .await
        .unwrap_err();
    assert_eq!((count.load(Ordering::SeqCst), error.attempts()), (3, 3));
    assert!(!error.maybe_sent());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_have_arrived_is_not_forgotten() {
    let (client, _) = client(async |attempt| match attempt {
        1 => Err(TransportError::new("connection reset")),
        _ => Err(TransportError::not_sent("refused")),
    });
    let error = client.sandboxes().delete(sandbox()).await.unwrap_err();
    assert_eq!(error.attempts(), 3);
    assert!(error.maybe_sent(), "the first may have deleted it");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_up_to_a_limit() {
    let busy = |seconds: u64| {
        let mut response = json(429, "{}");
        response.headers_mut().insert("retry-after", seconds.into());
        response
    };
    let (client, _) =
        client(move |attempt| async move { Ok(if attempt == 1 { busy(7) } else { found() }) });
    let (result, seconds) = timed(client.sandboxes().get(sandbox())).await;
    assert!(result.is_ok() && (7.0..7.1).contains(&seconds), "{seconds}");

    let (client, count) = crate::retries::client(move |_| async move { Ok(busy(90)) });
    let error = client.sandboxes().get(sandbox()).await.unwrap_err();
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(
        error.to_string(),
        "the relay responded with 429: Too Many Requests (it asked for a delay of 90 s)"
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(90)));
}

#[tokio::test(start_paused = true)]
async fn a_head_timeout_bounds_every_exchange_of_a_run() {
    let options = CallOptions::new().head_timeout(Duration::from_secs(30));
    // The number of the exchange that hangs: creating the sandbox, creating the thread, or sending the messages.
    for hangs in 1_usize..=3 {
        let (client, count) = client(move |attempt| async move {
            if attempt == hangs {
                std::future::pending::<()>().await;
            }
            Ok(json(201, r#"{"id":"new"}"#))
        });
        let client = client.with_options(options);
        let (result, seconds) = timed(client.threads().run("a", "Hi")).await;
        let error = result.unwrap_err();
        assert_eq!(error.timeout().unwrap().kind, TimeoutKind::Head, "{hangs}");
        assert!((30.0..30.1).contains(&seconds), "{hangs}: {seconds}");
        assert_eq!(error.attempts(), 1, "none of them is sent twice");
        assert_eq!(error.created().sandbox_id.is_some(), hangs > 1);
        assert_eq!(error.created().thread_id.is_some(), hangs > 2);
        assert_eq!(count.load(Ordering::SeqCst), hangs);
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_has_a_time_limit() {
    let (client, count) = client(|_| std::future::pending());
    let client = client.with_options(CallOptions::new().retry(RetryPolicy::never()));
    let (result, seconds) = timed(client.sandboxes().get(sandbox())).await;
    let error = result.unwrap_err();
    assert_eq!(error.timeout().unwrap().kind, TimeoutKind::Total);
    assert_eq!(error.timeout().unwrap().limit, Duration::from_secs(60));
    assert!(
        error.is_timeout() && error.maybe_sent() && (60.0..60.1).contains(&seconds),
        "{seconds} {error}"
    );

    let exec = Exec::new(sandbox(), "sleep 1000").timeout(Duration::from_secs(300));
    let (result, seconds) = timed(client.execute(&exec)).await;
    assert!(
        result.unwrap_err().is_timeout() && (315.0..315.1).contains(&seconds),
        "{seconds}"
    );
    let (result, seconds) = timed(client.sandboxes().create("my-agent")).await;
    assert!(
        result.unwrap_err().is_timeout() && (600.0..600.1).contains(&seconds),
        "{seconds}"
    );
    let named = StartRun::new("a", "Hi")
        .sandbox_id(sandbox())
        .thread_id(ThreadId::new("th").unwrap());
    let (result, seconds) = timed(client.threads().start(named)).await;
    assert!(
        result.unwrap_err().is_timeout() && (300.0..300.1).contains(&seconds),
        "{seconds}"
    );
    let upload = WriteStream::new(sandbox(), "a");
    let (result, seconds) = timed(client.upload(&upload, Body::from("content"))).await;
    assert!(
        result.unwrap_err().is_timeout() && (60.0..60.1).contains(&seconds),
        "{seconds}"
    );
    assert_eq!(count.load(Ordering::SeqCst), 5);

    // By default there are three attempts of a minute each. A deadline limits all of them, and each timeout can be set or disabled.
    let patient = client.with_options(CallOptions::new());
    let (result, seconds) = timed(patient.sandboxes().get(sandbox())).await;
    assert!(
        result.unwrap_err().attempts() == 3 && (180.0..182.0).contains(&seconds),
        "{seconds}"
    );
    let hurried = client.with_options(CallOptions::new().deadline(Duration::from_secs(100)));
    let (result, seconds) = timed(hurried.sandboxes().get(sandbox())).await;
    let error = result.unwrap_err();
    assert!(
        error.is_timeout() && (100.0..100.1).contains(&seconds),
        "{seconds} {error}"
    );
    assert_eq!(error.to_string(), "the call exceeded its 100s deadline");
    let quick = client.with_options(
        CallOptions::new()
            .total_timeout(Duration::from_secs(1))
            .retry(RetryPolicy::never()),
    );
    let (result, seconds) = timed(quick.sandboxes().create("my-agent")).await;
    assert!(
        result.is_err() && (1.0..1.1).contains(&seconds),
        "{seconds}"
    );
    let unlimited = client.with_options(CallOptions::new().total_timeout(None));
    let sandboxes = unlimited.sandboxes();
    let day = tokio::time::timeout(Duration::from_secs(86_400), sandboxes.create("my-agent"));
    assert!(day.await.is_err(), "it still waits");
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_silent_for_long_but_not_for_ever() {
    let start = "data: {\"type\":\"start\"}\n\n";
    let (client, _) = client(move |_| async move {
        // A byte after ten minutes, another after ten more, then nothing.
        let body = slow_body(vec![(600, start), (600, ": still here\n"), (86_400, "")]);
        Ok(event_stream(body))
    });
    let named = StartRun::new("a", "Hi")
        .sandbox_id(sandbox())
        .thread_id(ThreadId::new("th").unwrap());
    let mut run = client.threads().start(named).await.unwrap();
    let (_, seconds) = timed(async { Ok(run.next_chunk().await.unwrap().unwrap()) }).await;
    assert!((600.0..600.1).contains(&seconds));
    let (error, seconds) = timed(async { Ok(run.next_chunk().await.unwrap().unwrap_err()) }).await;
    assert!(
        error.unwrap().is_timeout() && (2400.0..2400.1).contains(&seconds),
        "{seconds}"
    );
}

/// A body of pieces, each of which comes this many seconds after the one before.
fn slow_body(pieces: Vec<(u64, &'static str)>) -> Body {
    struct Slow {
        pieces: std::vec::IntoIter<(u64, &'static str)>,
        next: Option<(std::pin::Pin<Box<tokio::time::Sleep>>, &'static str)>,
    }

    impl http_body::Body for Slow {
        type Data = bytes::Bytes;
        type Error = TransportError;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, TransportError>>>
        {
            if self.next.is_none() {
                let Some((seconds, piece)) = self.pieces.next() else {
                    return std::task::Poll::Ready(None);
                };
                self.next = Some((
                    Box::pin(tokio::time::sleep(Duration::from_secs(seconds))),
                    piece,
                ));
            }
            let Some((sleep, piece)) = &mut self.next else {
                return std::task::Poll::Ready(None);
            };
            std::task::ready!(sleep.as_mut().poll(cx));
            let frame = http_body::Frame::data(bytes::Bytes::from_static(piece.as_bytes()));
            self.next = None;
            std::task::Poll::Ready(Some(Ok(frame)))
        }
    }

    Body::wrap(Slow {
        pieces: pieces.into_iter(),
        next: None,
    })
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_ends_it_at_once_and_sends_nothing() {
    let (client, count) = client(async |_| {
        let mut response = json(503, "");
        response.headers_mut().insert("retry-after", 30.into());
        Ok(response)
    });
    // It is dropped in the wait before the second attempt.
    let call = client.sandboxes().get(sandbox());
    let dropped = tokio::time::timeout(Duration::from_secs(10), call).await;
    assert!(dropped.is_err());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
