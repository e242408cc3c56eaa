use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::json;
use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, Refusal};
use twentyfirst_client::transport::Body;
use twentyfirst_client::{AgentClient, SandboxId, Session, ThreadId};

use crate::Result;

/// Longer than anything here takes that is not broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// A handler for the chats of one user. Where chats take place, their ids say: `sandbox thread`.
pub(crate) fn chats(client: &AgentClient) -> ChatHandler {
    ChatHandler::new(client.clone(), async |request: ChatRequest| {
        let turn = request.read().await?;
        let place = turn.id.split_once('_').and_then(|(sandbox, thread)| {
            Some((SandboxId::new(sandbox).ok()?, ThreadId::new(thread).ok()?))
        });
        let (sandbox, thread) = place.ok_or_else(|| Refusal::bad_request("no such chat"))?;
        let session = Session::new("ticker").sandbox_id(sandbox).thread_id(thread);
        let run = session.run(turn.messages).look_first(false);
        Ok(ChatRun::new(run).owner("user"))
    })
}

/// The id of the chat that takes place there.
pub(crate) fn chat(sandbox: &str, thread: &str) -> String {
    format!("{sandbox}_{thread}")
}

pub(crate) fn post(chat: &str) -> Request<Body> {
    let body = json!({
        "id": chat,
        "messages": [{ "id": "u1", "role": "user", "parts": [{ "type": "text", "text": "go" }] }],
        "trigger": "submit-message",
    });
    let request = Request::post("/api/chat").header("content-type", "application/json");
    request.body(body.to_string().into()).expect("a request")
}

/// Asks for the answer, from its start or behind this event.
pub(crate) fn resume(chat: &str, last: Option<&str>) -> Request<Body> {
    let mut request = Request::get(format!("/api/chat/{chat}/stream"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.body(Body::empty()).expect("a request")
}

/// The next piece of a body.
pub(crate) async fn piece(body: &mut Body) -> Result<Option<Bytes>> {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await?;
    let Some(frame) = frame.transpose()? else {
        return Ok(None);
    };
    Ok(Some(frame.into_data().unwrap_or_default()))
}

pub(crate) fn body(response: Response<Body>) -> Result<Body> {
    match response.status().as_u16() {
        200 => Ok(response.into_body()),
        other => Err(format!("the handler responds with {other}").into()),
    }
}

/// The events of a stream that comes in pieces.
#[derive(Default)]
pub(crate) struct Events {
    text: Vec<u8>,
}

/// An event with its id, if it has one.
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

impl Events {
    /// The events that this piece completes. Comments are none.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<Event>> {
        self.text.extend_from_slice(piece);
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(length) = self.text[start..].windows(2).position(|it| it == b"\n\n") {
            let text = std::str::from_utf8(&self.text[start..start + length])?;
            start += length + 2;
            let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            if let Some(data) = line("data: ") {
                let id = line("id: ").map(str::to_owned);
                let data = data.to_owned();
                events.push(Event { id, data });
            }
        }
        self.text.drain(..start);
        Ok(events)
    }
}

impl Event {
    pub(crate) fn is_done(&self) -> bool {
        self.data == "[DONE]"
    }

    /// The number of its chunk, which stands behind the run in its id.
    pub(crate) fn index(&self) -> Option<u64> {
        let (_, index) = self.id.as_deref()?.rsplit_once('-')?;
        index.parse().ok()
    }

    /// The text of a delta.
    pub(crate) fn delta(&self) -> Result<Option<&str>> {
        #[derive(Deserialize)]
        struct Delta<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
            delta: Option<&'a str>,
        }

        if self.is_done() {
            return Ok(None);
        }
        let delta: Delta<'_> = serde_json::from_str(&self.data)?;
        match delta.kind {
            "text-delta" => Ok(delta.delta),
            "error" | "abort" => Err(format!("the answer says {}", self.data).into()),
            _ => Ok(None),
        }
    }
}
