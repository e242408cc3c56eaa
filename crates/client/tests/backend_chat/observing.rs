//! An observer without a log.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, Observed};
use twentyfirst_client::transport::Body;
use twentyfirst_client::{AgentClient, RunEnd};

use crate::support::{channel, json_response, post, read, relay, run, stream};

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

/// The events that an observer has seen, one per line.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn see(&self, observed: &Observed<'_>) {
        let line = match observed {
            Observed::Chunk(chunk) => chunk.encode(),
            Observed::End {
                message, outcome, ..
            } => {
                let end = match &outcome.end {
                    RunEnd::Lost(lost) => lost.to_string(),
                    RunEnd::Failed(reason) => format!("Failed({reason:?})"),
                    end => format!("{end:?}"),
                };
                let cost = outcome.usage.total_cost_usd;
                format!("{end} {cost:?} {:?}", message.text())
            }
            Observed::Left { message, .. } => format!("left at {:?}", message.text()),
            _ => unreachable!(),
        };
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Waits for the last line, and returns it.
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
        async move {
            let run = ChatRun::new(run(request).await?);
            Ok(run.observe(move |what| observer.see(&what)))
        }
    });
    (chats.without_log(), seen)
}

#[tokio::test]
async fn an_observer_sees_chunks_the_message_and_the_outcome() {
    let (client, log) = relay(|_| stream(ANSWER));
    let (chats, seen) = observed(&client);
    let (_, _, body) = read(chats.handle(post("Hi")).await).await;
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    seen.last().await;
    insta::assert_debug_snapshot!(seen.take());
    assert_eq!(log.take().len(), 1, "nothing was asked beside the run");
}

#[tokio::test]
async fn an_observer_is_notified_when_the_browser_leaves() {
    let (pieces, body) = channel();
    let body = Mutex::new(Some(body));
    let (client, log) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let (chats, seen) = observed(&client);
    let mut response = chats.handle(post("Hi")).await.into_body();
    for event in ANSWER.split_inclusive("\n\n").take(3) {
        pieces.send(Ok(event)).unwrap();
        response.frame().await.unwrap().unwrap();
    }
    drop(response);
    assert_eq!(seen.last().await, "left at \"Hello \"");
    assert!(pieces.is_closed(), "the relay's connection is closed");
    assert_eq!(log.take().len(), 1, "nothing was asked beside the run");
}

#[tokio::test]
async fn the_relay_is_asked_for_an_end_that_the_stream_does_not_show() {
    let (client, log) = relay(|target| match target {
        "POST /v1/chat/my-agent" => {
            let end = ANSWER.find("data: [DONE]").unwrap();
            stream(Body::from(&ANSWER[..end]))
        }
        // It could not be stored.
        _ => json_response(
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
