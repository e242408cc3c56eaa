use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use twentyfirst_protocol::ui::chunk::{ReasoningStart, Start, TextStart};
use twentyfirst_protocol::ui::{Chunk, Text};
use uuid::Uuid;

use super::feed::{Event, Received, RunMetadata, Subscription};
use crate::answers::{Answer, stream};

/// How many events lie between the reader and the connection.
const ON_THE_WAY: usize = 16;

/// The answer that streams a run to the reader who has started it.
pub(crate) fn original(subscription: Subscription, message_id: String) -> Answer {
    let reader = Reader {
        subscription,
        view: None,
        hold_back: Duration::ZERO,
    };
    answer(reader, message_id)
}

/// The answer that streams a run to a reader who has joined: with ids of its own and, where it joined in the middle,
/// with nothing until the run has been silent for `hold_back`.
pub(crate) fn joined(subscription: Subscription, hold_back: Duration) -> Answer {
    let hold_back = if subscription.in_the_middle {
        hold_back
    } else {
        Duration::ZERO
    };
    let reader = Reader {
        subscription,
        view: Some(View::default()),
        hold_back,
    };
    answer(reader, Uuid::new_v4().to_string())
}

fn answer(reader: Reader, message_id: String) -> Answer {
    let (connection, body) = mpsc::channel(ON_THE_WAY);
    tokio::spawn(reader.read(message_id, Connection(connection)));
    let mut answer = stream(body);
    let headers = answer.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "text/event-stream");
    set(header::CACHE_CONTROL, "no-cache");
    set(header::CONNECTION, "keep-alive");
    set(
        header::HeaderName::from_static("x-vercel-ai-ui-message-stream"),
        "v1",
    );
    set(header::HeaderName::from_static("x-accel-buffering"), "no");
    // No coding of that name exists; the relay sends it all the same.
    set(header::CONTENT_ENCODING, "none");
    answer
}

/// The connection has gone.
struct Gone;

struct Connection(mpsc::Sender<io::Result<Bytes>>);

impl Connection {
    async fn write(&self, data: &str) -> Result<(), Gone> {
        let event = format!("data: {data}\n\n");
        self.0.send(Ok(event.into())).await.map_err(|_| Gone)
    }
}

struct Reader {
    subscription: Subscription,
    view: Option<View>,
    hold_back: Duration,
}

impl Reader {
    async fn read(mut self, message_id: String, connection: Connection) {
        let start = Chunk::from(Start::new().message_id(message_id));
        if connection.write(&start.encode()).await.is_err() {
            return;
        }
        tokio::select! {
            _ = self.pass_on(&connection) => {}
            () = connection.0.closed() => {}
        }
    }

    async fn pass_on(&mut self, connection: &Connection) -> Result<(), Gone> {
        if !self.hold_back.is_zero() {
            let mut held = Vec::new();
            loop {
                match timeout(self.hold_back, self.subscription.next()).await {
                    Ok(Some(received)) if matches!(received.event(), Event::Cancelled) => {
                        return connection.write("[DONE]").await;
                    }
                    Ok(Some(received)) => held.push(received),
                    // All is said; the silence has only begun.
                    Ok(None) => {
                        sleep(self.hold_back).await;
                        break;
                    }
                    Err(_) => break,
                }
            }
            for received in held {
                self.deliver(&received, connection).await?;
            }
        }
        while let Some(received) = self.subscription.next().await {
            self.deliver(&received, connection).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, received: &Received, connection: &Connection) -> Result<(), Gone> {
        match received.event() {
            Event::Chunk(encoded) => match &mut self.view {
                None => connection.write(&encoded.json).await,
                Some(view) => {
                    for chunk in view.see(&encoded.chunk) {
                        connection.write(&chunk.encode()).await?;
                    }
                    Ok(())
                }
            },
            Event::Metadata(metadata) => {
                let mut metadata = RunMetadata::clone(metadata);
                if let Some(view) = &self.view {
                    metadata.final_text_id = metadata
                        .final_text_id
                        .and_then(|id| view.parts.get(&id).cloned());
                }
                connection.write(&metadata.chunk().encode()).await
            }
            Event::Done | Event::Cancelled => connection.write("[DONE]").await,
        }
    }
}

/// What a reader who has joined knows of the parts.
#[derive(Default)]
struct View {
    /// The ids of text and reasoning parts, and those under which they are shown here.
    parts: HashMap<String, String>,
    /// The tool calls that were announced here.
    calls: HashSet<String>,
}

impl View {
    /// What becomes of a chunk: a part that was begun before is begun here, under another id; what belongs to a tool
    /// call that was announced before is left out.
    fn see(&mut self, chunk: &Chunk<'static>) -> Vec<Chunk<'static>> {
        let mut chunk = chunk.clone();
        let mut begin: Option<Chunk<'static>> = None;
        let passes = match &mut chunk {
            Chunk::TextStart(part) => {
                self.rename(&mut part.id);
                true
            }
            Chunk::ReasoningStart(part) => {
                self.rename(&mut part.id);
                true
            }
            Chunk::TextDelta(part) => {
                begin = self
                    .rename(&mut part.id)
                    .map(|id| TextStart::new(id).into());
                true
            }
            Chunk::ReasoningDelta(part) => {
                begin = self
                    .rename(&mut part.id)
                    .map(|id| ReasoningStart::new(id).into());
                true
            }
            Chunk::TextEnd(part) => self.knows(&mut part.id),
            Chunk::ReasoningEnd(part) => self.knows(&mut part.id),
            Chunk::ToolInputStart(call) => self.announce(&call.tool_call_id),
            Chunk::ToolInputAvailable(call) => self.announce(&call.tool_call_id),
            Chunk::ToolInputError(call) => self.announce(&call.tool_call_id),
            Chunk::ToolInputDelta(call) => self.announced(&call.tool_call_id),
            Chunk::ToolOutputAvailable(call) => self.announced(&call.tool_call_id),
            Chunk::ToolOutputError(call) => self.announced(&call.tool_call_id),
            Chunk::ToolOutputDenied(call) => self.announced(&call.tool_call_id),
            _ => true,
        };
        begin.into_iter().chain(passes.then_some(chunk)).collect()
    }

    /// Gives a part its id here, which is returned where it is new.
    fn rename(&mut self, id: &mut Text<'static>) -> Option<String> {
        let name = key(id);
        let known = self.parts.get(&name).cloned();
        let new = known.is_none().then(|| Uuid::new_v4().to_string());
        if let Some(new) = &new {
            self.parts.insert(name, new.clone());
        }
        if let Some(here) = known.or_else(|| new.clone()) {
            *id = here.into();
        }
        new
    }

    /// Whether the part is known, which then has its id here.
    fn knows(&self, id: &mut Text<'static>) -> bool {
        match self.parts.get(&key(id)) {
            Some(here) => {
                *id = here.clone().into();
                true
            }
            None => false,
        }
    }

    fn announce(&mut self, id: &Text<'static>) -> bool {
        self.calls.insert(key(id));
        true
    }

    fn announced(&self, id: &Text<'static>) -> bool {
        self.calls.contains(&key(id))
    }
}

fn key(id: &Text<'_>) -> String {
    id.to_string_lossy().into_owned()
}
