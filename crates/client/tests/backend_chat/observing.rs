//! An observer beside the bytes.

use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};
use std::time::Duration;

use http_body::Body as _;
use http_body_util::BodyExt;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, Observed};
use twentyfirst_client::transport::Body;
use twentyfirst_client::{AgentClient, RunEnd};

use crate::support::{answer, channel, post, read, relay, run, stream};

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

/// What an observer has seen, a line each.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn see(&self, observed: &Observed<'_>) {
        let line = match observed {
            Observed::Chunk(chunk) => chunk.encode(),
            Observed::End { message, outcome } => {
                let end = match &outcome.end {
                    RunEnd::Lost(lost) => lost.to_string(),
                    end => format!("{end:?}"),
                };
                let cost = outcome.usage.total_cost_usd;
                format!("{end} {cost:?} {:?}", message.text())
            }
            Observed::Left { message } => format!("left at {:?}", message.text()),
            _ => unreachable!(),
        };
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Waits for the last line, and hands it out.
    pub(crate) async fn last(&self) -> String {
        loop {
            let last = self.0.lock().unwrap().last().cloned();
            match last {
                Some(last) if !last.starts_with('{') => return last,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

pub(crate) fn observed(client: &AgentClient) -> (ChatHandler, Seen) {
    let seen = Seen::default();
    let observer = seen.clone();
    let chats = ChatHandler::new(client.clone(), move |request: ChatRequest| {
        let observer = observer.clone();
        let run = ChatRun::new(run(request));
        std::future::ready(Ok(run.observe(move |what| observer.see(&what))))
    });
    (chats.without_log(), seen)
}

#[tokio::test]
async fn it_sees_chunks_the_message_and_the_outcome() {
    for follows_cuts in [false, true] {
        let (client, log) = relay(|_| stream(ANSWER));
        let (mut chats, seen) = observed(&client);
        if follows_cuts {
            chats = chats.follow_cuts();
        }
        let (_, _, body) = read(chats.handle(post("Hi")).await).await;
        assert_eq!(body == ANSWER, !follows_cuts, "{body}");
        seen.last().await;
        insta::allow_duplicates! {
            insta::assert_debug_snapshot!(seen.take());
        }
        assert_eq!(log.take().len(), 1, "nothing was asked beside the run");
    }
}

#[tokio::test]
async fn no_byte_waits_for_it() {
    let (pieces, body) = channel();
    let body = Mutex::new(Some(body));
    let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let (chats, seen) = observed(&client);
    let mut answer = chats.handle(post("Hi")).await.into_body();
    pieces.send(Ok("data: {\"type\":\"start\"}\n\n")).unwrap();
    pieces
        .send(Ok("data: {\"type\":\"start-step\"}\n\n"))
        .unwrap();
    let mut polls = 0;
    let taken: Vec<_> = std::future::poll_fn(|cx| {
        polls += 1;
        // As a server does: it takes what there is, and writes it when there is no more.
        let mut taken = Vec::new();
        while let Poll::Ready(frame) = std::pin::Pin::new(&mut answer).poll_frame(cx) {
            taken.push(frame.unwrap().unwrap().into_data().unwrap());
        }
        match polls {
            1 => {
                assert_eq!(taken.len(), 2);
                assert!(seen.take().is_empty(), "nothing of it is written yet");
                Poll::Pending
            }
            _ => Poll::Ready(taken),
        }
    })
    .await;
    assert!(taken.is_empty());
    assert_eq!(
        seen.take(),
        [r#"{"type":"start"}"#, r#"{"type":"start-step"}"#]
    );
}

#[tokio::test]
async fn a_browser_that_has_everything_has_not_left() {
    let (pieces, body) = channel();
    let body = Mutex::new(Some(body));
    let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let (chats, seen) = observed(&client);
    let mut answer = chats.handle(post("Hi")).await.into_body();
    pieces.send(Ok(ANSWER)).unwrap();
    answer.frame().await.unwrap().unwrap();
    drop(answer);
    assert_eq!(seen.last().await, "Completed Some(0.5) \"Hello 😀\"");
}

#[tokio::test]
async fn it_is_told_when_the_browser_leaves() {
    for follows_cuts in [false, true] {
        let (pieces, body) = channel();
        let body = Mutex::new(Some(body));
        let (client, log) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
        let (mut chats, seen) = observed(&client);
        if follows_cuts {
            chats = chats.follow_cuts();
        }
        let mut answer = chats.handle(post("Hi")).await.into_body();
        let half = ANSWER.split_inclusive("\n\n").take(3);
        for event in half {
            pieces.send(Ok(event)).unwrap();
            answer.frame().await.unwrap().unwrap();
        }
        drop(answer);
        assert_eq!(seen.last().await, "left at \"Hello \"");
        assert!(pieces.is_closed(), "the relay's connection is closed");
        assert_eq!(log.take().len(), 1, "nothing was asked beside the run");
    }
}

#[tokio::test]
async fn it_is_told_when_the_relay_breaks_off() {
    let (pieces, body) = channel();
    let body = Mutex::new(Some(body));
    let (client, log) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let (chats, seen) = observed(&client);
    let answer = chats.handle(post("Hi")).await;
    pieces.send(Ok("data: {\"type\":\"start\"}\n\n")).unwrap();
    pieces.send(Err(crate::support::Broken)).unwrap();
    read(answer).await;
    assert_eq!(seen.last().await, "left at \"\"");
    assert_eq!(log.take().len(), 1, "nothing was asked beside the run");
}

#[tokio::test]
async fn it_reads_on_when_that_is_chosen() {
    for follows_cuts in [false, true] {
        let (pieces, body) = channel();
        let body = Mutex::new(Some(body));
        let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
        let (mut chats, seen) = observed(&client);
        chats = chats.read_on(Duration::from_secs(60));
        if follows_cuts {
            chats = chats.follow_cuts();
        }
        let mut answer = chats.handle(post("Hi")).await.into_body();
        let mut events = ANSWER.split_inclusive("\n\n");
        for event in events.by_ref().take(3) {
            pieces.send(Ok(event)).unwrap();
            answer.frame().await.unwrap().unwrap();
        }
        drop(answer);
        for event in events {
            tokio::time::sleep(Duration::from_millis(5)).await;
            pieces.send(Ok(event)).unwrap();
        }
        drop(pieces);
        assert_eq!(seen.last().await, "Completed Some(0.5) \"Hello 😀\"");
    }
}

#[tokio::test]
async fn it_reads_on_across_a_cut() {
    let stored = serde_json::json!({ "id": "th_1", "status": "completed", "messages": [
        { "id": "u1", "role": "user", "parts": [{ "type": "text", "text": "Hi" }] },
        { "id": "msg_1", "role": "assistant", "parts": [{ "type": "text", "text": "Hello 😀" }] },
    ] });
    let (pieces, body) = channel();
    let body = Mutex::new(Some(body));
    let (client, _) = relay(move |target| match target {
        "POST /v1/chat/my-agent" => stream(body.lock().unwrap().take().unwrap()),
        "GET /v1/sandboxes/sb_1/threads" => crate::support::threads(&[("th_1", "completed")]),
        _ => answer(200, &stored),
    });
    let (chats, seen) = observed(&client);
    let chats = chats.read_on(Duration::from_secs(60));
    let answer = chats.handle(post("Hi")).await;
    for event in ANSWER.split_inclusive("\n\n").take(2) {
        pieces.send(Ok(event)).unwrap();
    }
    pieces.send(Err(crate::support::Broken)).unwrap();
    let (_, _, body) = read(answer).await;
    assert!(
        body.ends_with("data: [DONE]\n\n"),
        "the browser has an end: {body}"
    );
    assert_eq!(seen.last().await, "Completed None \"Hello 😀\"");
}

#[tokio::test(start_paused = true)]
async fn it_reads_on_for_so_long_and_no_longer() {
    let (pieces, body) = channel();
    let body = Mutex::new(Some(body));
    let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let (chats, seen) = observed(&client);
    let chats = chats.read_on(Duration::from_secs(60));
    let answer = chats.handle(post("Hi")).await;
    drop(answer);
    pieces.send(Ok("data: {\"type\":\"start\"}\n\n")).unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(seen.take(), [r#"{"type":"start"}"#]);
    assert!(!pieces.is_closed());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(seen.take(), ["left at \"\""]);
    assert!(pieces.is_closed(), "the relay's connection is closed");
}

#[tokio::test]
async fn an_end_that_the_stream_does_not_tell_is_asked_for() {
    let (client, log) = relay(|target| match target {
        "POST /v1/chat/my-agent" => {
            let end = ANSWER.find("data: [DONE]").unwrap();
            stream(Body::from(&ANSWER[..end]))
        }
        // It could not be stored.
        _ => answer(
            200,
            &serde_json::json!({ "id": "th_1", "status": "error", "error": "too much" }),
        ),
    });
    let (chats, seen) = observed(&client);
    read(chats.handle(post("Hi")).await).await;
    assert_eq!(
        seen.last().await,
        "Failed(\"too much\") Some(0.5) \"Hello 😀\""
    );
    assert_eq!(
        log.take().pop().unwrap(),
        "GET /v1/sandboxes/sb_1/threads/th_1"
    );
}

#[tokio::test]
async fn a_browser_that_lags_behind_lets_it_lag_behind() {
    // More than the observer may be behind, and all there at once.
    let event = "data: {\"type\":\"start-step\"}\n\n";
    let many = event.repeat(50_000);
    let (client, _) = relay(move |_| stream(many.clone()));
    let (chats, seen) = observed(&client);
    let mut answer = chats.handle(post("Hi")).await.into_body();
    std::future::poll_fn(|cx| {
        let frame = ready!(std::pin::Pin::new(&mut answer).poll_frame(cx));
        assert!(frame.unwrap().is_ok());
        // It has seen it before it was written: so it never holds more.
        assert_eq!(seen.take().len(), 50_000);
        Poll::Ready(())
    })
    .await;
}
