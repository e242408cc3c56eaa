//! The answer of a run at each level, and the ends of runs.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use twentyfirst_client::protocol::runs::{CancelStatus, LostReason, MessageState, StartRun};
use twentyfirst_client::protocol::ui::Chunk;
use twentyfirst_client::protocol::{SandboxId, ThreadId};
use twentyfirst_client::transport::{self, Body, from_fn};
use twentyfirst_client::{AgentClient, CallOptions, FollowPolicy, Run, RunRef};

use crate::support::{client, event_stream, json};

const ANSWER: &str = concat!(
    "data: {\"type\":\"start\",\"messageId\":\"msg_1\"}\n\n",
    "data: {\"type\":\"text-start\",\"id\":\"t\"}\n\n",
    "data: {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"Hello \\ud83d\"}\n\n",
    "data: {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"\\ude00\"}\n\n",
    "data: {\"type\":\"text-end\",\"id\":\"t\"}\n\n",
    "data: {\"type\":\"message-metadata\",\"messageMetadata\":{\"totalCostUsd\":0.5}}\n\n",
    "data: {\"type\":\"finish\"}\n\n",
    "data: [DONE]\n\n",
);

/// The messages that the relay has stored at the end of the answer.
const STORED: &str = r#"{"id":"th_1","status":"completed","messages":[
    {"id":"u1","role":"user","parts":[{"type":"text","text":"Hi"}]},
    {"id":"msg_1","role":"assistant","parts":[{"type":"text","text":"Hello 😀","state":"done"}]}
]}"#;

/// Starts a run that streams this body, and is not followed after it.
async fn run(body: impl Into<Body>) -> Run {
    let body = std::sync::Mutex::new(Some(body.into()));
    let (client, _) = client("https://relay.test/prefix/", move |request| {
        match request.method.as_str() {
            "POST" => event_stream(body.lock().unwrap().take().unwrap()),
            _ => json(200, STORED),
        }
    });
    let client = client.with_options(CallOptions::new().follow(FollowPolicy::off()));
    let start = StartRun::new("my agent", "Hi")
        .sandbox_id(SandboxId::new("sb_1").unwrap())
        .thread_id(ThreadId::new("th_1").unwrap());
    client.threads().start(start).await.unwrap()
}

/// The answer before the event that contains `until`.
fn before(until: &str) -> String {
    let end = ANSWER.find(until).unwrap();
    ANSWER[..ANSWER[..end].rfind("data:").unwrap()].to_owned()
}

/// The answer with an error chunk.
fn failed_with(text: &str) -> String {
    let error = format!("data: {{\"type\":\"error\",\"errorText\":\"{text}\"}}\n\n");
    ANSWER.replace(
        "data: {\"type\":\"text-end\"",
        &(error + "data: {\"type\":\"text-end\""),
    )
}

#[tokio::test]
async fn text_and_message() {
    let mut run = run(ANSWER).await;
    assert_eq!(
        (run.sandbox_id().as_str(), run.thread_id().as_str()),
        ("sb_1", "th_1")
    );
    assert_eq!(
        run.resume_url(),
        "https://relay.test/prefix/v1/chat/my%20agent/sb_1/stream"
    );
    assert!(run.created().is_empty());
    assert_eq!(run.text().await.unwrap(), "Hello 😀");
    let message = run.message().await.unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&message).unwrap());
}

#[tokio::test]
async fn chunks_and_then_the_message() {
    let mut run = run(ANSWER).await;
    let mut text = String::new();
    let mut count = 0;
    while let Some(chunk) = run.next_chunk().await {
        count += 1;
        if let Chunk::TextDelta(delta) = chunk.unwrap() {
            text += &delta.delta.to_string_lossy();
        }
    }
    // `[DONE]` is not a chunk, and the two halves of the surrogate pair came joined.
    assert_eq!((text.as_str(), count), ("Hello 😀", 7));
    assert_eq!(run.message().await.unwrap().text(), text);
    assert!(run.next_chunk().await.is_none());
    let outcome = run.outcome().await;
    assert!(outcome.is_success() && outcome.message_state == MessageState::Whole);
    assert_eq!(outcome.usage.total_cost_usd, Some(0.5));
}

#[tokio::test]
async fn the_body_and_the_events_of_one_connection() {
    let body = run(ANSWER)
        .await
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(body, ANSWER);

    let mut events = run(ANSWER).await.into_events();
    let mut count = 0;
    while let Some(event) = events.next().await {
        event.unwrap();
        count += 1;
    }
    assert_eq!(count, 8);
}

#[tokio::test]
async fn every_kind_of_end_is_reported() {
    let mut cut = run(before("text-end")).await;
    let error = cut.text().await.unwrap_err();
    assert!(error.is_run_lost() && error.maybe_sent(), "{error}");
    assert_eq!(
        cut.message_so_far().text(),
        "Hello 😀",
        "what arrived is not lost"
    );

    let cancelled = before("text-end") + "data: [DONE]\n\n";
    let error = run(cancelled).await.message().await.unwrap_err();
    assert!(error.is_run_cancelled(), "{error}");

    let failed = failed_with("exit code 1");
    let error = run(failed).await.message().await.unwrap_err();
    assert!(error.is_run_failed(), "{error}");
    assert_eq!(error.to_string(), "the run failed: exit code 1");

    let repeats = failed_with("bad key an_sk_test\\u001b[31m\\nsecond line");
    let error = run(repeats).await.message().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run failed: bad key *** [31m second line"
    );
    assert!(!format!("{error:?}").contains("an_sk_test"));

    let escaped = failed_with("not found: /x?key=an%5fsk%5Ftest &quot;an&#95;sk_test&quot;");
    let error = run(escaped).await.message().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run failed: not found: /x?key=*** &quot;***&quot;"
    );

    let elsewhere = failed_with("cancelled");
    assert!(
        run(elsewhere)
            .await
            .message()
            .await
            .unwrap_err()
            .is_run_cancelled()
    );

    // Only `[DONE]` is missing, so the message is complete.
    assert!(run(before("[DONE]")).await.message().await.is_ok());
}

#[tokio::test]
async fn a_lost_run_shows_no_key() {
    let (client, _) = client("https://relay.test/", |_| {
        json(401, r#"{"error":"no such key: an_sk_test"}"#)
    });
    let follow = RunRef::new(
        "my-agent",
        SandboxId::new("sb_1").unwrap(),
        ThreadId::new("th_1").unwrap(),
    );
    let mut run = client.threads().follow(follow).unwrap();
    let error = run.text().await.unwrap_err();
    assert_eq!(error.lost().unwrap().reason, LostReason::Refused);
    let shown = format!("{error} {error:?} {:?}", run.outcome().await);
    assert!(!shown.contains("an_sk_test"), "{shown}");
    assert!(shown.contains("no such key: ***"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_response_shows_no_key() {
    let (client, _) = client("https://relay.test/", |request| {
        let key = request.headers["authorization"].to_str().unwrap();
        json(200, format!("\"you sent {key}\""))
    });
    let follow = RunRef::new(
        "my-agent",
        SandboxId::new("sb_1").unwrap(),
        ThreadId::new("th_1").unwrap(),
    );
    let minute = FollowPolicy::wait().deadline(Duration::from_secs(60));
    let client = client.with_options(client.options().follow(minute));
    let mut run = client.threads().follow(follow).unwrap();
    let error = run.text().await.unwrap_err();
    let cause = error.source().unwrap();
    let shown = format!("{error} {error:?} {cause} {:?}", run.outcome().await);
    assert!(!shown.contains("an_sk_test"), "{shown}");
    assert!(shown.contains("you sent Bearer ***"), "{shown}");
}

#[tokio::test]
async fn cancelling_a_run_that_is_over_does_not_cancel_the_next_one() {
    let (client, log) = client("https://relay.test/", |request| {
        match request.method.as_str() {
            "POST" => event_stream(ANSWER),
            // The next run of the thread.
            "GET" => json(200, r#"[{"id":"th_1","status":"streaming"}]"#),
            _ => json(200, r#"{"ok":true,"status":"cancelled"}"#),
        }
    });
    let start = StartRun::new("my-agent", "Hi")
        .sandbox_id(SandboxId::new("sb_1").unwrap())
        .thread_id(ThreadId::new("th_1").unwrap());
    let mut run = client.threads().start(start).await.unwrap();
    run.outcome().await;
    log.take();
    assert_eq!(run.cancel().await.unwrap().status, CancelStatus::Idle);
    assert!(log.take().is_empty());
}

#[tokio::test]
async fn cancelling_an_answered_turn_does_not_cancel_the_next_one() {
    let (client, log) = client("https://relay.test/", |request| {
        match request.method.as_str() {
            "GET" if request.target.ends_with("/th_1") => {
                json(200, STORED.replace("completed", "streaming"))
            }
            "GET" => json(200, r#"[{"id":"th_1","status":"streaming"}]"#),
            _ => json(200, r#"{"ok":true,"status":"cancelled"}"#),
        }
    });
    let sandbox_id = SandboxId::new("sb_1").unwrap();
    let thread_id = ThreadId::new("th_1").unwrap();
    let run = RunRef::new("my-agent", &sandbox_id, &thread_id);
    for (turn, status, sent) in [
        ("u1", CancelStatus::Idle, "GET"),
        ("u2", CancelStatus::Cancelled, "GET GET DELETE"),
    ] {
        let run = run.clone().user_message_id(turn);
        let cancelled = client.threads().cancel(run).await.unwrap();
        let methods = log.take().into_iter().map(|request| request.method);
        let methods: Vec<String> = methods.collect();
        assert_eq!(
            (cancelled.status, methods.join(" ")),
            (status, sent.to_owned())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_thread_beyond_the_response_limit_is_not_read_again_and_again() {
    let long = STORED.replace("Hello", &"Hello ".repeat(1_000));
    let transport = from_fn(move |request: Request<Body>| {
        let answer = match request.method().as_str() {
            "POST" => event_stream(before("text-end")),
            _ if request.uri().path().ends_with("/th_1") => json(200, &long),
            _ => json(200, r#"[{"id":"th_1","status":"completed"}]"#),
        };
        std::future::ready(Ok::<_, transport::Error>(answer))
    });
    let client = AgentClient::builder()
        .api_key("an_sk_test")
        .base_url("https://relay.test/")
        .transport(transport)
        .response_limit(1_000)
        .build()
        .unwrap();
    let start = StartRun::new("my-agent", "Hi")
        .sandbox_id(SandboxId::new("sb_1").unwrap())
        .thread_id(ThreadId::new("th_1").unwrap());
    let began = tokio::time::Instant::now();
    let mut run = client.threads().start(start).await.unwrap();
    let error = run.text().await.unwrap_err();
    assert_eq!(error.lost().unwrap().reason, LostReason::TooLarge);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(run.message_so_far().text(), "Hello 😀");
}

#[tokio::test]
async fn a_cut_is_reported_once() {
    let frames = [
        Ok(Bytes::from(before("text-end"))),
        Err(transport::Error::new("connection reset")),
    ];
    let mut run = run(Body::wrap(frames_body(frames))).await;
    let mut errors = Vec::new();
    let mut chunks = 0;
    while let Some(chunk) = run.next_chunk().await {
        match chunk {
            Ok(_) => chunks += 1,
            Err(error) => errors.push(error),
        }
    }
    assert_eq!((chunks, errors.len()), (4, 1));
    assert!(errors[0].is_run_lost());
    assert!(run.message().await.unwrap_err().is_run_lost());
}

#[tokio::test]
async fn an_event_that_is_not_a_chunk_does_not_stop_the_rest() {
    let odd = ANSWER.replace(
        "data: {\"type\":\"text-end\"",
        "data: {\"type\":\"text-delta\"}\n\ndata: {\"type\":\"hologram\",\"x\":1}\n\ndata: not json\n\ndata: {\"type\":\"text-end\"",
    );
    assert_eq!(run(odd.clone()).await.text().await.unwrap(), "Hello 😀");
    let mut run = run(odd).await;
    let (mut errors, mut unknown) = (0, 0);
    while let Some(chunk) = run.next_chunk().await {
        match chunk {
            Ok(Chunk::Unknown(_)) => unknown += 1,
            Ok(_) => {}
            Err(_) => errors += 1,
        }
    }
    assert_eq!((errors, unknown), (2, 1));
    assert_eq!(run.message().await.unwrap().text(), "Hello 😀");
}

#[tokio::test]
async fn a_message_with_a_missing_middle_is_an_error() {
    let delta = format!(
        "data: {{\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"{}\"}}\n\n",
        "x".repeat(8 * 1024 * 1024)
    );
    let delta = Bytes::from(delta);
    let mut frames = vec![Ok(Bytes::from(before("text-delta")))];
    frames.extend((0..33).map(|_| Ok(delta.clone())));
    frames.push(Ok(Bytes::from(
        ANSWER[before("text-end").len()..].to_owned(),
    )));
    let error = run(Body::wrap(frames_body(frames)))
        .await
        .text()
        .await
        .unwrap_err();
    assert!(error.is_response_limit(), "{error}");
    assert_eq!(error.to_string(), "the message exceeds the memory limit");
}

#[tokio::test]
async fn a_future_that_is_dropped_loses_nothing() {
    let pieces: Vec<_> = ANSWER
        .as_bytes()
        .chunks(3)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let mut run = run(Body::wrap(slow_body(pieces))).await;
    let mut chunks = 0;
    loop {
        // A future that is polled once and dropped, again and again.
        let polled = {
            let mut next = Box::pin(run.next_chunk());
            std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx))).await
        };
        match polled {
            std::task::Poll::Pending => tokio::task::yield_now().await,
            std::task::Poll::Ready(Some(chunk)) => {
                chunk.unwrap();
                chunks += 1;
            }
            std::task::Poll::Ready(None) => break,
        }
    }
    assert_eq!(chunks, 7);
    assert_eq!(run.text().await.unwrap(), "Hello 😀");
}

#[test]
fn everything_can_move_between_threads() {
    fn assert_send<T: Send>(_: &T) {}
    fn assert_send_and_sync<T: Send + Sync>() {}
    assert_send_and_sync::<twentyfirst_client::AgentClient>();
    assert_send_and_sync::<twentyfirst_client::Error>();
    fn futures(client: &twentyfirst_client::AgentClient, run: &mut Run) {
        assert_send(&client.threads().run("a", "b"));
        assert_send(&client.sandboxes().create("a"));
        assert_send(&run.next_chunk());
        assert_send(&run.message());
        assert_send(&run.text());
        // The future does not borrow the run, so that a run can be cancelled while it is read.
        let cancel = run.cancel();
        assert_send(&run.next_chunk());
        tokio::spawn(cancel);
    }
    let _ = futures;
}

type Frames = Result<Bytes, transport::Error>;

fn frames_body(frames: impl IntoIterator<Item = Frames, IntoIter: Send + 'static>) -> ScriptedBody {
    ScriptedBody {
        frames: Box::new(frames.into_iter()),
        pause: false,
        paused: false,
    }
}

/// A body that is pending once before each frame.
fn slow_body(frames: Vec<Frames>) -> ScriptedBody {
    ScriptedBody {
        frames: Box::new(frames.into_iter()),
        pause: true,
        paused: false,
    }
}

struct ScriptedBody {
    frames: Box<dyn Iterator<Item = Frames> + Send>,
    pause: bool,
    paused: bool,
}

impl http_body::Body for ScriptedBody {
    type Data = Bytes;
    type Error = transport::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, transport::Error>>> {
        if self.pause && !self.paused {
            self.paused = true;
            cx.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        self.paused = false;
        std::task::Poll::Ready(
            self.frames
                .next()
                .map(|frame| frame.map(http_body::Frame::data)),
        )
    }
}

#[tokio::test]
async fn the_debug_output_of_a_run_has_no_conversation() {
    let failed = "Failed query: insert into \"messages\" values ($1) params: the word is s3cr3t";
    let stream = format!(
        "data: {{\"type\":\"start\"}}\n\ndata: {{\"type\":\"text-start\",\"id\":\"t\"}}\n\n\
         data: {{\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"s3cr3t\"}}\n\n\
         data: {{\"type\":\"error\",\"errorText\":{}}}\n\ndata: [DONE]\n\n",
        serde_json::json!(failed)
    );
    let (client, _) = client("https://relay.test/", move |_| event_stream(stream.clone()));
    let start = StartRun::new("my-agent", "s3cr3t")
        .sandbox_id(SandboxId::new("sb_1").unwrap())
        .thread_id(ThreadId::new("th_1").unwrap());
    let mut shown = format!("{start:?}");
    let mut run = client
        .threads()
        .start(start.look_first(false))
        .await
        .unwrap();
    for _ in 0..3 {
        run.next_chunk().await;
        shown += &format!("{run:?}");
    }
    let error = run.text().await.unwrap_err();
    assert!(error.is_run_failed() && error.to_string().contains("Failed query"));
    let outcome = run.outcome().await;
    shown += &format!("{error:?} {outcome:?} {run:?}");
    assert!(
        !shown.contains("s3cr3t") && !shown.contains("insert into"),
        "{shown}"
    );
    assert!(
        shown.contains("sb_1") && shown.contains("Failed"),
        "{shown}"
    );
}
