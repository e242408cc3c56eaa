//! A client that holds tokens: fetched once for all, renewed in time, replaced when the relay rejects them.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use http::Response;
use tokio::task::JoinSet;
use twentyfirst_client::protocol::Timestamp;
use twentyfirst_client::protocol::files::WriteStream;
use twentyfirst_client::protocol::tokens::Token;
use twentyfirst_client::transport::{Body, Error as TransportError};
use twentyfirst_client::{
    AgentClient, CallOptions, Error, RetryPolicy, SandboxId, StartRun, ThreadId,
};

use crate::support::{Log, Sent, chain, json, relay, token, token_until};

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

fn found() -> Response<Body> {
    json(200, r#"{"id":"sb_1","status":"active"}"#)
}

fn rejected() -> Response<Body> {
    json(401, r#"{"error":"Invalid or expired token"}"#)
}

/// The number of tokens that were requested.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A client whose n-th token, counted from 1, is `source(n)` after 100 ms, with a relay that responds by `respond`.
fn client<E>(
    source: impl Fn(usize) -> Result<Token, E> + Send + Sync + 'static,
    respond: impl Fn(&Sent) -> Result<Response<Body>, TransportError> + Send + Sync + 'static,
) -> (AgentClient, Log, Count)
where
    E: Into<Box<dyn StdError + Send + Sync>> + Send + 'static,
{
    let (transport, log) = relay(respond);
    let count = Count::default();
    let counter = count.clone();
    let client = AgentClient::builder()
        .token_source(move || {
            let token = source(counter.0.fetch_add(1, Ordering::SeqCst) + 1);
            async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                token
            }
        })
        .transport(transport)
        .options(CallOptions::new().retry(RetryPolicy::never()))
        .build();
    (client.unwrap(), log, count)
}

/// A source that never fails: `token-1`, `token-2`, …, each valid for this time.
fn valid_for(seconds: u64) -> impl Fn(usize) -> Result<Token, String> + Send + Sync {
    move |n| Ok(token(&format!("token-{n}"), seconds))
}

/// A relay that accepts only these tokens.
fn taking(
    tokens: &'static [&'static str],
) -> impl Fn(&Sent) -> Result<Response<Body>, TransportError> + Send + Sync {
    move |sent| {
        let taken = tokens.contains(&sent.bearer());
        Ok(if taken { found() } else { rejected() })
    }
}

async fn get(client: &AgentClient) -> Result<(), Error> {
    client.sandboxes().get(sandbox()).await.map(drop)
}

async fn seconds(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_when_it_is_needed_and_renewed_a_minute_before_its_end() {
    let (client, relay, count) = client(valid_for(3600), |_| Ok(found()));
    assert_eq!(count.get(), 0);
    get(&client).await.unwrap();
    get(&client).await.unwrap();
    seconds(3530.0).await;
    get(&client).await.unwrap();
    assert_eq!(relay.bearers(), ["token-1"; 3]);
    assert_eq!(count.get(), 1);

    seconds(10.0).await;
    get(&client).await.unwrap();
    get(&client).await.unwrap();
    assert_eq!(relay.bearers(), ["token-2"; 2]);
    assert_eq!(count.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_short_token_is_renewed_when_half_of_it_is_over() {
    let (client, relay, _) = client(valid_for(30), |_| Ok(found()));
    for _ in 0..4 {
        get(&client).await.unwrap();
        seconds(7.0).await;
    }
    assert_eq!(
        relay.bearers(),
        ["token-1", "token-1", "token-1", "token-2"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_end_is_unknown_is_renewed_early_and_used_until_the_relay_rejects_it() {
    // From a clock behind ours, without a time zone, and in an unknown format.
    for end in [
        "2020-02-26T12:00:00.000Z",
        "2099-02-26T12:00:00",
        "tomorrow",
        "",
    ] {
        let source = move |n| match n {
            1 => Ok(token_until("token-1", end)),
            _ => Err("the network is down"),
        };
        let (client, relay, count) = client(source, |_| Ok(found()));
        get(&client).await.unwrap();
        seconds(239.0).await;
        get(&client).await.unwrap();
        assert_eq!(count.get(), 1, "{end}");
        seconds(2.0).await;
        get(&client).await.unwrap();
        assert_eq!(count.get(), 2, "{end}");
        seconds(24.0 * 3600.0).await;
        get(&client).await.unwrap();
        assert_eq!(relay.bearers(), ["token-1"; 4], "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_expiry_of_a_token_is_understood_in_any_time_zone() {
    let in_ten_minutes = SystemTime::now() + Duration::from_secs(600);
    let utc = Timestamp::from(in_ten_minutes + Duration::from_secs(2 * 3600)).to_string();
    let end: &'static str = utc.replace('T', " ").replace('Z', "+02:00").leak();
    let source = move |n| Ok::<_, String>(token_until(&format!("token-{n}"), end));
    let (client, relay, _) = client(source, |_| Ok(found()));
    for pause in [530.0, 15.0, 0.0] {
        get(&client).await.unwrap();
        seconds(pause).await;
    }
    assert_eq!(relay.bearers(), ["token-1", "token-1", "token-2"]);
}

#[tokio::test(start_paused = true)]
async fn many_calls_wait_for_one_token() {
    let (client, relay, count) = client(valid_for(3600), |_| Ok(found()));
    let calls = (0..50).map(|_| {
        let client = client.clone();
        async move { get(&client).await }
    });
    let results = calls.collect::<JoinSet<_>>().join_all().await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(relay.bearers(), ["token-1"; 50]);
    assert_eq!(count.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_or_not_polled_does_not_hold_up_the_others() {
    let (client, relay, count) = client(valid_for(3600), |_| Ok(found()));
    let mut dropped = Box::pin(get(&client));
    let mut left_alone = Box::pin(get(&client));
    // They come first, and the first of them begins to fetch.
    poll_fn(|cx| {
        assert!(dropped.as_mut().poll(cx).is_pending());
        assert!(left_alone.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    let patient = tokio::spawn({
        let client = client.clone();
        async move { get(&client).await }
    });
    seconds(0.05).await;
    drop(dropped);
    patient.await.unwrap().unwrap();
    assert_eq!(
        (relay.bearers(), count.get()),
        (vec!["token-1".to_owned()], 1)
    );
    left_alone.await.unwrap();
    assert_eq!(
        (relay.bearers(), count.get()),
        (vec!["token-1".to_owned()], 1)
    );
}

#[tokio::test(start_paused = true)]
async fn fetching_stops_when_nobody_waits_for_the_token() {
    let (client, relay, count) = client(valid_for(3600), |_| Ok(found()));
    let impatient = tokio::time::timeout(Duration::from_millis(50), get(&client)).await;
    assert!(impatient.is_err());
    seconds(1.0).await;
    get(&client).await.unwrap();
    assert_eq!(relay.bearers(), ["token-2"]);
    assert_eq!(count.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_replaced_once_and_the_call_repeated_once() {
    let (client, relay, count) = client(valid_for(3600), taking(&["token-2"]));
    let output = client.sandboxes().exec(sandbox(), "make").await;
    // The relay of this test responds to everything in the same way, and not as to a command.
    assert!(output.unwrap_err().invalid_response().is_some());
    let sent = relay.take();
    let bearers: Vec<_> = sent.iter().map(Sent::bearer).collect();
    assert_eq!(bearers, ["token-1", "token-2"]);
    assert_eq!(sent[0].line, sent[1].line, "a POST with the same body");
    assert!(sent[0].line.ends_with(r#"/exec {"command":"make"}"#));

    get(&client).await.unwrap();
    assert_eq!(relay.bearers(), ["token-2"]);
    assert_eq!(count.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_second_rejection_is_final() {
    let (client, relay, count) = client(valid_for(3600), taking(&[]));
    let error = get(&client).await.unwrap_err();
    assert!(error.is_unauthorized());
    assert_eq!(relay.bearers(), ["token-1", "token-2"]);
    assert_eq!(count.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_returns_the_same_token_is_asked_once() {
    let source = |_| Ok::<_, String>(token("the-only-token", 3600));
    let (client, relay, count) = client(source, taking(&[]));
    assert!(get(&client).await.unwrap_err().is_unauthorized());
    assert_eq!(relay.bearers(), ["the-only-token"]);
    assert_eq!(count.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_rejected_together_share_the_next_token() {
    let (client, relay, count) = client(valid_for(3600), taking(&["token-2"]));
    let calls = (0..10).map(|n| {
        let client = client.clone();
        async move {
            // Some are sent before others are rejected.
            seconds(f64::from(n) * 0.001).await;
            get(&client).await
        }
    });
    let results = calls.collect::<JoinSet<_>>().join_all().await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(count.get(), 2);
    let bearers = relay.bearers();
    assert_eq!(bearers.len(), 20);
    assert_eq!(
        bearers.iter().filter(|bearer| *bearer == "token-2").count(),
        10
    );
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_not_repeated_but_its_rejected_token_is_dropped() {
    let (client, relay, _) = client(valid_for(3600), taking(&["token-2"]));
    let content = http_body_util::Full::new(bytes::Bytes::from_static(b"content"));
    let write = WriteStream::new(sandbox(), "a.txt");
    let error = client
        .upload(&write, Body::wrap(content))
        .await
        .unwrap_err();
    assert_eq!(error.status().unwrap(), 401);
    assert_eq!(relay.bearers(), ["token-1"]);
    get(&client).await.unwrap();
    assert_eq!(relay.bearers(), ["token-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_rejection_does_not_drop_a_newer_token() {
    let (client, relay, count) = client(valid_for(3600), taking(&["token-2"]));
    // Both have the first token. The upload learns of its rejection when the token has been replaced already.
    let late = {
        let client = client.clone();
        let write = WriteStream::new(sandbox(), "a.txt");
        let slow = Body::wrap(SlowBody(Box::pin(tokio::time::sleep(Duration::from_secs(
            5,
        )))));
        tokio::spawn(async move { client.upload(&write, slow).await.map(drop) })
    };
    seconds(1.0).await;
    get(&client).await.unwrap();
    assert_eq!(count.get(), 2);
    let error = late.await.unwrap().unwrap_err();
    assert_eq!(error.status().unwrap(), 401);
    get(&client).await.unwrap();
    assert_eq!(count.get(), 2, "the second token is still good");
    let mut bearers = relay.bearers();
    bearers.sort();
    assert_eq!(bearers, ["token-1", "token-1", "token-2", "token-2"]);
}

/// Ends when its time is over.
struct SlowBody(std::pin::Pin<Box<tokio::time::Sleep>>);

impl http_body::Body for SlowBody {
    type Data = bytes::Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, TransportError>>> {
        self.0.as_mut().poll(cx).map(|()| None)
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_rejected_is_masked_as_long_as_calls_with_it_may_be_under_way() {
    let (client, _, count) = client(valid_for(3600), |sent| {
        Ok(match sent.bearer() {
            "token-1" => rejected(),
            _ => json(400, r#"{"error":"token-1 is older than token-2"}"#),
        })
    });
    let content = http_body_util::Full::new(bytes::Bytes::from_static(b"content"));
    let write = WriteStream::new(sandbox(), "a.txt");
    client
        .upload(&write, Body::wrap(content))
        .await
        .unwrap_err();
    let error = get(&client).await.unwrap_err();
    assert_eq!(count.get(), 2);
    assert_eq!(
        error.to_string(),
        "the relay responded with 400: *** is older than ***"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_is_started_once_with_the_second_token() {
    let (client, relay, _) = client(valid_for(3600), |sent| {
        if sent.bearer() == "token-1" {
            return Ok(rejected());
        }
        let stream = "data: {\"type\":\"start\"}\n\ndata: {\"type\":\"text-start\",\"id\":\"1\"}\n\n\
                      data: {\"type\":\"text-delta\",\"id\":\"1\",\"delta\":\"Hi\"}\n\n\
                      data: {\"type\":\"text-end\",\"id\":\"1\"}\n\ndata: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n";
        let mut response = Response::new(Body::from(stream));
        let kind = "text/event-stream".parse().unwrap();
        response.headers_mut().insert("content-type", kind);
        Ok(response)
    });
    let run = StartRun::new("my-agent", "Hello")
        .sandbox_id(sandbox())
        .thread_id(ThreadId::new("th_1").unwrap());
    let mut run = client.threads().start(run).await.unwrap();
    assert_eq!(run.text().await.unwrap(), "Hi");
    let sent = relay.take();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].line, sent[1].line);
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_sent() {
    let (client, relay, count) = client(|_| Err("the keychain is locked"), |_| Ok(found()));
    let error = client.threads().run("a", "Hi").await.unwrap_err();
    assert_eq!(
        chain(&error),
        "no token could be obtained for the request <- the token source failed <- the keychain is locked"
    );
    assert!(!error.maybe_sent());
    assert!(
        error
            .token_error()
            .is_some_and(|error| error.status().is_none())
    );
    assert!(relay.lines().is_empty());

    // It is asked again for the next call, and for each attempt at one.
    let three = client.with_options(CallOptions::new());
    let error = get(&three).await.unwrap_err();
    assert_eq!((error.attempts(), count.get()), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_given_up_after_30_s() {
    let (transport, relay) = relay(|_| Ok(found()));
    let client = AgentClient::builder()
        .token_source(std::future::pending::<Result<Token, Error>>)
        .transport(transport)
        .options(CallOptions::new().retry(RetryPolicy::never()))
        .build()
        .unwrap();
    let start = tokio::time::Instant::now();
    let error = get(&client).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 30);
    assert!(error.is_timeout());
    assert_eq!(
        chain(&error),
        "no token could be obtained for the request <- no token arrived within 30s"
    );

    let quick = CallOptions::new().deadline(Duration::from_secs(2));
    let error = get(&client.with_options(quick)).await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(start.elapsed().as_secs(), 32);
    assert!(relay.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_is_used_to_its_end() {
    let source = |n| match n {
        1 => Ok(token("token-1", 600)),
        _ => Err("the network is down"),
    };
    let (client, relay, count) = client(source, |_| Ok(found()));
    get(&client).await.unwrap();
    seconds(580.0).await;
    get(&client).await.unwrap();
    assert_eq!((relay.bearers().len(), count.get()), (2, 2));
    seconds(30.0).await;
    let error = get(&client).await.unwrap_err();
    assert!(chain(&error).ends_with("the network is down"));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_a_header_is_refused_and_not_shown() {
    let source = |_| Ok::<_, String>(token("two words", 600));
    let (client, relay, _) = client(source, |_| Ok(found()));
    let error = get(&client).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "no token could be obtained for the request <- the token is empty or has characters that no header can hold"
    );
    assert!(relay.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn tokens_repeated_by_the_relay_are_masked() {
    let (client, _, _) = client(valid_for(3600), |sent| {
        let status = if sent.bearer() == "token-1" { 401 } else { 400 };
        Ok(json(status, r#"{"error":"token-1 or token-2 is wrong"}"#))
    });
    let error = get(&client).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the relay responded with 400: *** or *** is wrong"
    );
    assert!(!format!("{error:?} {client:?}").contains("token-"));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_renewed_is_masked_as_long_as_calls_with_it_may_be_under_way() {
    let (client, _, count) = client(valid_for(3600), |sent| {
        Ok(match sent.bearer() {
            "token-1" => found(),
            _ => json(400, r#"{"error":"token-1 is older than token-2"}"#),
        })
    });
    get(&client).await.unwrap();
    seconds(3600.0).await;
    let error = get(&client).await.unwrap_err();
    assert_eq!(count.get(), 2);
    assert_eq!(
        error.to_string(),
        "the relay responded with 400: *** is older than ***"
    );
}

#[cfg(feature = "cassette")]
#[tokio::test(start_paused = true)]
async fn tokens_are_not_recorded() {
    use std::sync::Mutex;
    use twentyfirst_client::cassette;

    #[derive(Clone, Default)]
    struct File(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for File {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let file = File::default();
    let (transport, _) = relay(|sent| {
        Ok(if sent.line.contains("app.example") {
            json(
                200,
                r#"{"token":"an_t_secret","expiresAt":"2099-01-01T00:00:00Z"}"#,
            )
        } else {
            found()
        })
    });
    let recorded = || {
        AgentClient::builder()
            .token_url("https://app.example/token")
            .options(CallOptions::new().retry(RetryPolicy::never()))
    };
    let client = recorded()
        .transport(cassette::recorder(transport, file.clone()))
        .build()
        .unwrap();
    get(&client).await.unwrap();
    get(&client).await.unwrap();
    drop(client);
    let recording = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
    assert!(recording.contains(r#""path":"/token""#));
    assert!(recording.contains(r#"\"token\":\"***\""#));
    assert!(!recording.contains("an_t_secret"));

    let player = cassette::player(&recording).unwrap();
    let client = recorded().transport(player).build().unwrap();
    get(&client).await.unwrap();
    get(&client).await.unwrap();
}
