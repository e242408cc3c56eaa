//! Time limits, exact to the millisecond: the clock advances only when every task waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use twentyfirst_transport::{
    Body, Error, HttpTransport, SharedTransport, StageTimeouts, TimeoutKind, TokioRuntime,
    Transport, WithTimeouts, from_fn,
};

use crate::clock::Clock;
use crate::pieces::Pieces;
use crate::server::{Server, full};
use crate::{chain, soon};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn limits(set: impl FnOnce(&mut StageTimeouts)) -> StageTimeouts {
    let mut timeouts = StageTimeouts::default();
    set(&mut timeouts);
    timeouts
}

fn post(url: &str, timeouts: StageTimeouts, body: impl Into<Body>) -> Request<Body> {
    Request::post(url)
        .extension(timeouts)
        .body(body.into())
        .unwrap()
}

/// Sends a request through limits that use tokio's clock.
async fn send(
    transport: impl Transport + Clone,
    timeouts: StageTimeouts,
    body: impl Into<Body>,
) -> Result<Response<Body>, Error> {
    WithTimeouts::new(transport, TokioRuntime)
        .send(post("/", timeouts, body))
        .await
}

fn assert_expired(error: &Error, kind: TimeoutKind, limit: Duration) {
    let timeout = error.timeout().expect("a limit expired");
    assert_eq!((timeout.kind, timeout.limit), (kind, limit));
    assert!(error.is_timeout());
    assert!(!error.is_body_limit());
}

/// A server that never responds, and reports when it is dropped.
fn silent() -> (impl Transport + Clone, Arc<AtomicBool>) {
    struct Tell(Arc<AtomicBool>);

    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let dropped = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&dropped);
    let server = from_fn(move |_| {
        let tell = Tell(Arc::clone(&tell));
        async move {
            std::future::pending::<()>().await;
            drop(tell);
            Ok(Response::new(Body::empty()))
        }
    });
    (server, dropped)
}

mod the_response_head {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_awaited_as_long_as_its_limit() {
        let start = Instant::now();
        let (server, dropped) = silent();

        let error = send(server, limits(|t| t.head = Some(5 * MINUTE)), "{}")
            .await
            .unwrap_err();

        assert_eq!(start.elapsed(), 5 * MINUTE);
        assert_expired(&error, TimeoutKind::Head, 5 * MINUTE);
        assert_eq!(chain(&error), "no response within 300s");
        assert!(error.maybe_sent());
        assert!(!error.is_connect());
        assert!(dropped.load(Ordering::SeqCst), "the exchange is closed");
    }

    #[tokio::test(start_paused = true)]
    async fn has_no_limit_once_it_has_arrived() {
        let (pieces, body) = Pieces::new();
        let body = std::sync::Mutex::new(Some(Body::wrap(body)));
        let server = from_fn(move |_| {
            let body = body.lock().unwrap().take().unwrap();
            async move {
                sleep(Duration::from_millis(4_999)).await;
                Ok(Response::new(body))
            }
        });

        let response = send(server, limits(|t| t.head = Some(5 * SECOND)), "{}")
            .await
            .unwrap();
        tokio::spawn(async move {
            sleep(MINUTE).await;
            pieces.send(Ok("late")).unwrap();
        });

        let body = response.into_body().collect_up_to(10).await.unwrap();
        assert_eq!(body, "late");
    }
}

mod the_requests_body {
    use super::*;

    /// Takes a piece at each interval, then responds with the sizes of the pieces.
    fn slow(pace: Duration, then: Duration) -> impl Transport + Clone {
        from_fn(move |request: Request<Body>| async move {
            let mut body = request.into_body();
            let mut sizes = Vec::new();
            while !body.is_end_stream() {
                sleep(pace).await;
                if let Some(frame) = body.frame().await {
                    sizes.push(frame?.into_data().unwrap().len());
                }
            }
            sleep(then).await;
            Ok(Response::new(format!("{sizes:?}").into()))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn may_take_long_while_there_is_progress_and_the_limit_on_the_head_starts_at_its_end() {
        let timeouts = limits(|t| {
            t.send = Some(60 * SECOND);
            t.head = Some(5 * SECOND);
        });
        let start = Instant::now();

        let response = send(
            slow(59 * SECOND, 4 * SECOND),
            timeouts,
            vec![b'x'; 200 * 1024],
        )
        .await
        .unwrap();

        assert_eq!(start.elapsed(), (4 * 59 + 4) * SECOND);
        let sizes = response.into_body().collect_up_to(100).await.unwrap();
        assert_eq!(sizes, "[65536, 65536, 65536, 8192]");
    }

    #[tokio::test(start_paused = true)]
    async fn is_followed_by_the_limit_on_the_head() {
        let timeouts = limits(|t| {
            t.send = Some(60 * SECOND);
            t.head = Some(5 * SECOND);
        });
        let start = Instant::now();

        let error = send(slow(50 * SECOND, 6 * SECOND), timeouts, "{}")
            .await
            .unwrap_err();

        assert_eq!(start.elapsed(), 55 * SECOND);
        assert_expired(&error, TimeoutKind::Head, 5 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn that_the_transport_does_not_take_expires() {
        let timeouts = limits(|t| t.send = Some(60 * SECOND));
        for (pace, expires_at) in [(61, 60), (600, 60)] {
            let start = Instant::now();

            let error = send(slow(pace * SECOND, SECOND), timeouts, "{}")
                .await
                .unwrap_err();

            assert_eq!(start.elapsed(), expires_at * SECOND);
            assert_expired(&error, TimeoutKind::Send, 60 * SECOND);
            assert_eq!(chain(&error), "no request data was sent for 60s");
            assert!(error.maybe_sent());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn that_yields_no_piece_expires() {
        let (pieces, body) = Pieces::new();
        let start = Instant::now();
        tokio::spawn(async move {
            for piece in ["one", "two"] {
                sleep(40 * SECOND).await;
                pieces.send(Ok(piece)).unwrap();
            }
            pieces.closed().await;
        });

        let error = send(
            slow(Duration::ZERO, SECOND),
            limits(|t| t.send = Some(60 * SECOND)),
            Body::wrap(body),
        )
        .await
        .unwrap_err();

        assert_eq!(start.elapsed(), 140 * SECOND);
        assert_expired(&error, TimeoutKind::Send, 60 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn that_the_transport_drops_counts_as_sent() {
        let server = from_fn(|request| async move {
            drop(request);
            sleep(3 * SECOND).await;
            Ok(Response::new("refused".into()))
        });
        let timeouts = limits(|t| {
            t.send = Some(SECOND);
            t.head = Some(4 * SECOND);
        });

        assert!(send(server, timeouts, "{}").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn becomes_a_stream_only_if_sending_it_has_a_limit() {
        let server = from_fn(async |request: Request<Body>| {
            let clone = request.body().try_clone();
            Ok(Response::new(if clone.is_some() {
                "bytes".into()
            } else {
                "stream".into()
            }))
        });
        for (timeouts, body, seen) in [
            (limits(|t| t.head = Some(SECOND)), "{}", "bytes"),
            (limits(|t| t.send = Some(SECOND)), "{}", "stream"),
            (limits(|t| t.send = Some(SECOND)), "", "bytes"),
        ] {
            let response = send(server.clone(), timeouts, body).await.unwrap();
            assert_eq!(response.into_body().collect_up_to(10).await.unwrap(), seen);
        }
    }

    #[tokio::test]
    async fn announces_the_same_length_when_it_is_watched() {
        let server = Server::start(|mut connection| async move {
            let head = connection.read_head().await.unwrap();
            assert!(head.contains("content-length: 100000\r\n"), "{head}");
            connection.read_exact(100_000).await;
            connection.respond("200 OK", "all of it").await;
        })
        .await;
        let transport = WithTimeouts::new(HttpTransport::new().unwrap(), TokioRuntime);
        let timeouts = limits(|t| t.send = Some(MINUTE));

        let response = transport
            .send(post(&server.url("/"), timeouts, vec![b'x'; 100_000]))
            .await
            .unwrap();

        let body = response.into_body().collect_up_to(10).await.unwrap();
        assert_eq!(body, "all of it");
    }
}

mod the_response_body {
    use super::*;

    type Sender = mpsc::UnboundedSender<Result<&'static str, &'static str>>;

    async fn open(timeouts: StageTimeouts) -> (Sender, Body) {
        let (pieces, body) = Pieces::new();
        let body = std::sync::Mutex::new(Some(Body::wrap(body)));
        let server = from_fn(move |_| {
            let body = body.lock().unwrap().take().unwrap();
            async move { Ok(Response::new(body)) }
        });
        let response = send(server, timeouts, Body::empty()).await.unwrap();
        (pieces, response.into_body())
    }

    #[tokio::test(start_paused = true)]
    async fn may_be_silent_up_to_the_limit_and_each_piece_restarts_it() {
        let (pieces, mut body) = open(limits(|t| t.read = Some(15 * MINUTE))).await;
        let start = Instant::now();
        let sender = pieces.clone();
        tokio::spawn(async move {
            for _ in 0..4 {
                sleep(14 * MINUTE).await;
                sender.send(Ok(":")).unwrap();
            }
        });

        for _ in 0..4 {
            body.frame().await.unwrap().unwrap();
        }
        assert_eq!(start.elapsed(), 56 * MINUTE);
        let error = body.frame().await.unwrap().unwrap_err();

        assert_eq!(start.elapsed(), 71 * MINUTE);
        assert_expired(&error, TimeoutKind::Read, 15 * MINUTE);
        assert_eq!(chain(&error), "no response data for 900s");
        assert!(error.maybe_sent());
        assert!(pieces.is_closed(), "closed although it is still held");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn is_not_silent_while_nobody_reads() {
        let (pieces, mut body) = open(limits(|t| t.read = Some(SECOND))).await;
        for _ in 0..3 {
            sleep(MINUTE).await;
            let pieces = pieces.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(999)).await;
                pieces.send(Ok("piece")).unwrap();
            });
            body.frame().await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_end_is_cut_off_at_the_total_limit() {
        let (pieces, mut body) = open(limits(|t| t.total = Some(MINUTE))).await;
        for _ in 0..1_000 {
            pieces.send(Ok("always ready")).unwrap();
        }
        sleep(30 * SECOND).await;
        body.frame().await.unwrap().unwrap();
        sleep(30 * SECOND).await;

        let error = body.frame().await.unwrap().unwrap_err();

        assert_expired(&error, TimeoutKind::Total, MINUTE);
        assert_eq!(chain(&error), "the exchange took longer than 60s");
        assert!(pieces.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn that_has_ended_cannot_be_late() {
        let (pieces, mut body) = open(limits(|t| t.total = Some(MINUTE))).await;
        pieces.send(Ok("all")).unwrap();
        drop(pieces);
        body.frame().await.unwrap().unwrap();
        assert!(body.frame().await.is_none());

        sleep(2 * MINUTE).await;

        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn that_breaks_off_says_so_once() {
        let (pieces, mut body) = open(limits(|t| t.read = Some(SECOND))).await;
        pieces.send(Err("reset by peer")).unwrap();

        let error = body.frame().await.unwrap().unwrap_err();

        assert_eq!(chain(&error), "the body broke off\nreset by peer");
        assert!(error.timeout().is_none());
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_total_limit_ends_the_exchange_whatever_it_waits_for() {
    let start = Instant::now();
    let timeouts = limits(|t| {
        t.total = Some(3 * SECOND);
        t.head = Some(MINUTE);
    });

    let error = send(silent().0, timeouts, "{}").await.unwrap_err();

    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_expired(&error, TimeoutKind::Total, 3 * SECOND);
    // A closure cannot prove that nothing was sent.
    assert!(error.maybe_sent());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_limited_without_a_setting() {
    let server = from_fn(async |_| {
        sleep(10_000 * MINUTE).await;
        Ok(Response::new(Body::empty()))
    });
    let transport = WithTimeouts::new(server.clone(), TokioRuntime);
    let request = Request::new(Body::empty());

    assert!(transport.send(request).await.is_ok());
    assert!(
        send(server.clone(), StageTimeouts::default(), "{}")
            .await
            .is_ok()
    );
    let longest = limits(|t| {
        t.send = Some(Duration::MAX);
        t.head = Some(Duration::MAX);
        t.read = Some(Duration::MAX);
        t.total = Some(Duration::MAX);
    });
    assert!(send(server, longest, "{}").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_error_that_wraps_a_timeout_still_names_the_limit() {
    let (server, _) = silent();
    let inner = WithTimeouts::new(server, TokioRuntime);
    let outer = from_fn(move |request| {
        let response = inner.send(request);
        async move { response.await.map_err(Error::new) }
    });
    let timeouts = limits(|t| t.head = Some(SECOND));

    let error = outer.send(post("/", timeouts, "{}")).await.unwrap_err();

    assert_expired(&error, TimeoutKind::Head, SECOND);
}

#[tokio::test]
async fn a_request_may_have_its_own_limit_on_connecting() {
    let (address, _full) = full().await;
    let url = format!("http://{address}/");
    for (limit, setting) in [(2, Some(10)), (20, Some(10)), (3, None)] {
        let clock = Clock::new();
        let transport = HttpTransport::builder()
            .runtime(clock.clone())
            .connect_timeout(setting.map(Duration::from_secs))
            .build()
            .unwrap();
        let timeouts = limits(|t| t.connect = Some(limit * SECOND));

        let call = tokio::spawn(transport.send(post(&url, timeouts, "{}")));
        clock
            .pass_for_a_sleeper(limit * SECOND - Duration::from_millis(1))
            .await;
        tokio::task::yield_now().await;
        assert!(!call.is_finished());
        clock.pass_for_a_sleeper(Duration::from_millis(1)).await;
        let error = soon(call).await.unwrap().unwrap_err();

        assert_expired(&error, TimeoutKind::Connect, limit * SECOND);
        assert!(error.is_connect());
        assert!(!error.maybe_sent());
    }
}

#[tokio::test]
async fn a_request_that_still_waits_for_its_connection_was_not_sent() {
    let (address, _full) = full().await;
    let url = format!("http://{address}/");
    for kind in [TimeoutKind::Total, TimeoutKind::Head, TimeoutKind::Send] {
        let clock = Clock::new();
        // With any layers in between that pass the request on unchanged.
        let transport = WithTimeouts::new(
            tower::ServiceBuilder::new()
                .map_request(|request: Request<Body>| request)
                .service(
                    HttpTransport::builder()
                        .runtime(clock.clone())
                        .build()
                        .unwrap(),
                ),
            clock.clone(),
        );
        let timeouts = limits(|t| match kind {
            TimeoutKind::Total => t.total = Some(SECOND),
            TimeoutKind::Head => t.head = Some(SECOND),
            _ => t.send = Some(SECOND),
        });

        let call = tokio::spawn(transport.send(post(&url, timeouts, "{}")));
        clock.pass_for_a_sleeper(SECOND).await;
        let error = soon(call).await.unwrap().unwrap_err();

        assert_expired(&error, kind, SECOND);
        assert!(!error.maybe_sent(), "{kind:?}");
        assert!(!error.is_connect());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_permit_was_not_sent() {
    let (server, _) = silent();
    let limited = tower::ServiceBuilder::new()
        .concurrency_limit(1)
        .service(SharedTransport::new(server));
    // With and without type erasure, as in a client.
    let shared = SharedTransport::new(SharedTransport::new(limited.clone()));
    let timeouts = limits(|t| t.head = Some(SECOND));

    let first = tokio::spawn(send(limited.clone(), limits(|_| ()), ""));
    sleep(SECOND).await;
    let second = send(shared.clone(), timeouts, "").await.unwrap_err();
    assert_expired(&second, TimeoutKind::Head, SECOND);
    assert!(!second.maybe_sent());
    let third = send(limited, timeouts, "").await.unwrap_err();
    assert!(!third.maybe_sent());

    first.abort();
    let fourth = send(shared, timeouts, "").await.unwrap_err();
    assert_expired(&fourth, TimeoutKind::Head, SECOND);
    assert!(fourth.maybe_sent(), "it had the permit");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waits_for_a_permit_does_not_hide_one_that_was_sent() {
    let (server, _) = silent();
    let limited = tower::ServiceBuilder::new()
        .concurrency_limit(0)
        .service(SharedTransport::new(server));
    // Like a layer that has sent the request elsewhere before.
    let again = from_fn(move |request| limited.send(request));
    let timeouts = limits(|t| t.head = Some(SECOND));

    let error = send(again, timeouts, "").await.unwrap_err();

    assert_expired(&error, TimeoutKind::Head, SECOND);
    assert!(error.maybe_sent());
}

#[tokio::test]
async fn a_request_that_has_a_connection_may_have_been_sent() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let server = Server::start(move |mut connection| {
        let arrived = arrived.clone();
        async move {
            connection.read_head().await.unwrap();
            assert_eq!(connection.read_exact(8).await, "question");
            arrived.send(()).unwrap();
            connection.closed().await;
        }
    })
    .await;
    let clock = Clock::new();
    let transport = WithTimeouts::new(
        HttpTransport::builder()
            .runtime(clock.clone())
            .build()
            .unwrap(),
        clock.clone(),
    );
    let timeouts = limits(|t| t.total = Some(SECOND));

    let call = tokio::spawn(transport.send(post(&server.url("/"), timeouts, "question")));
    soon(arrivals.recv()).await.unwrap();
    clock.pass_for_a_sleeper(SECOND).await;
    let error = soon(call).await.unwrap().unwrap_err();

    assert_expired(&error, TimeoutKind::Total, SECOND);
    assert!(error.maybe_sent());
}

proptest! {
    /// A response fails when the first limit expires, and otherwise arrives whole. Gaps are even
    /// and limits odd, so that no two events coincide.
    #[test]
    fn a_response_fails_at_the_first_limit_that_it_reaches_or_arrives(
        head in 0..50_u64,
        gaps in prop::collection::vec(0..50_u64, 0..8),
        head_limit in prop::option::of(0..60_u64),
        read_limit in prop::option::of(0..60_u64),
        total_limit in prop::option::of(0..250_u64),
    ) {
        let even = |n: u64| Duration::from_millis(2 * n);
        let odd = |n: u64| Duration::from_millis(2 * n + 1);
        let timeouts = limits(|t| {
            t.head = head_limit.map(odd);
            t.read = read_limit.map(odd);
            t.total = total_limit.map(odd);
        });

        let mut expected = None;
        let mut clock = Duration::ZERO;
        let waits = std::iter::once((even(head), TimeoutKind::Head, timeouts.head))
            .chain(gaps.iter().map(|&gap| (even(gap), TimeoutKind::Read, timeouts.read)));
        for (wait, kind, limit) in waits {
            let total = timeouts.total.map(|total| (total, TimeoutKind::Total));
            let silence = limit.map(|limit| (clock + limit, kind));
            clock += wait;
            expected = [total, silence].into_iter().flatten().min_by_key(|(at, _)| *at)
                .filter(|(at, _)| *at < clock);
            if expected.is_some() {
                break;
            }
        }

        let seen = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build().unwrap()
            .block_on(async {
                let start = Instant::now();
                let result = async {
                    let server = from_fn(move |_| {
                        let (pieces, body) = Pieces::new();
                        let gaps = gaps.clone();
                        async move {
                            sleep(even(head)).await;
                            tokio::spawn(async move {
                                for gap in gaps {
                                    sleep(even(gap)).await;
                                    // Fails after a limit has expired.
                                    let _ = pieces.send(Ok("piece"));
                                }
                            });
                            Ok(Response::new(Body::wrap(body)))
                        }
                    });
                    send(server, timeouts, "{}").await?.into_body().collect_up_to(1_000).await
                }
                .await;
                result.err().map(|error| (start.elapsed(), error.timeout().unwrap().kind))
            });

        prop_assert_eq!(seen, expected);
    }
}
