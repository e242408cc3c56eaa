//! Readers: the streams of a run on their way to the connections.
//!
//! ```text
//!   started the run:  start ─► all events
//!   joined:           start ─► hold the events back until the run is silent for `hold_back` ─► all events since, by a View
//!   joined, replayed: start ─► the events before, recut ─► all events, by a View
//! ```
//!
//! A cancellation or a restart during the hold-back ends the stream, and the held events are dropped.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use twentyfirst_protocol::ui::Chunk;
use twentyfirst_protocol::ui::chunk::Start;
use uuid::Uuid;

use super::feed::{Event, RunMetadata, Subscription};
use super::journal::Journal;
use super::recut::cut_elsewhere;
use super::view::View;
use crate::relay::Relay;
use crate::responses::{RelayResponse, stream};

/// The number of events between a reader and its connection.
const BUFFERED_EVENTS: usize = 16;

/// Returns the response that streams a run to the reader that started it.
pub(crate) fn original(subscription: Subscription, message_id: String) -> RelayResponse {
    let reader = Reader {
        subscription,
        past: Vec::new(),
        view: None,
        hold_back: Duration::ZERO,
    };
    streamed(reader, message_id)
}

/// Returns the response that streams a run to a joined reader, with ids of its own.
///
/// A reader that joins in the middle gets only `start` until the run has been silent for the relay's hold-back time.
pub(crate) fn joined(relay: &Relay, journal: &Journal) -> RelayResponse {
    let message_id = Uuid::new_v4();
    let replays = relay.faults.strikes_with_replay();
    let (subscription, past) = journal.join(message_id, replays, relay.faults.of_race());
    // A reader that has missed nothing is live at once, and so is one that gets a replay.
    let is_fresh = subscription.missed == 0;
    let hold_back = if is_fresh {
        Duration::ZERO
    } else {
        relay.hold_back
    };
    let reader = Reader {
        subscription,
        past: cut_elsewhere(past),
        view: Some(View::new(message_id)),
        hold_back,
    };
    streamed(reader, message_id.to_string())
}

/// Encodes an event.
pub(super) fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

fn streamed(reader: Reader, message_id: String) -> RelayResponse {
    let (connection, body) = mpsc::channel(BUFFERED_EVENTS);
    tokio::spawn(reader.read(message_id, Connection(connection)));
    let mut response = stream(body);
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "text/event-stream");
    set(header::CACHE_CONTROL, "no-cache");
    set(header::CONNECTION, "keep-alive");
    set(
        header::HeaderName::from_static("x-vercel-ai-ui-message-stream"),
        "v1",
    );
    set(header::HeaderName::from_static("x-accel-buffering"), "no");
    // Not a valid coding, but the relay sends it.
    set(header::CONTENT_ENCODING, "none");
    response
}

/// The error of a closed connection.
struct Gone;

struct Connection(mpsc::Sender<io::Result<Bytes>>);

impl Connection {
    /// Ends the stream with an error.
    async fn break_off(&self) -> Result<(), Gone> {
        let error = io::Error::from(io::ErrorKind::ConnectionAborted);
        self.0.send(Err(error)).await.map_err(|_| Gone)
    }

    async fn write(&self, data: &str) -> Result<(), Gone> {
        let event = Bytes::from(event(data));
        self.0.send(Ok(event)).await.map_err(|_| Gone)
    }
}

struct Reader {
    subscription: Subscription,
    /// The events before it joined, for a replay. Empty otherwise.
    past: Vec<Event>,
    view: Option<View>,
    /// The silence that it waits for.
    hold_back: Duration,
}

impl Reader {
    async fn read(mut self, message_id: String, connection: Connection) {
        let start = Chunk::from(Start::new().message_id(message_id));
        if connection.write(&start.encode()).await.is_err() {
            return;
        }
        // A reader that has left is noticed even while the run is silent, so that no agent waits for it.
        tokio::select! {
            _ = self.pass_on(&connection) => {}
            () = connection.0.closed() => {}
        }
    }

    async fn pass_on(&mut self, connection: &Connection) -> Result<(), Gone> {
        for event in std::mem::take(&mut self.past) {
            self.deliver(&event, connection).await?;
        }
        if !self.hold_back.is_zero() {
            let mut held = Vec::new();
            loop {
                match timeout(self.hold_back, self.subscription.next()).await {
                    Ok(Some(received))
                        if matches!(received.event(), Event::Cancelled | Event::Restarted) =>
                    {
                        return self.deliver(received.event(), connection).await;
                    }
                    // Held with its permit, so that the bytes held back count as lag.
                    Ok(Some(received)) => held.push(received),
                    // The run has ended, and its silence has only begun.
                    Ok(None) => {
                        sleep(self.hold_back).await;
                        break;
                    }
                    Err(_) => break,
                }
            }
            for received in held {
                self.deliver(received.event(), connection).await?;
            }
        }
        while let Some(received) = self.subscription.next().await {
            self.deliver(received.event(), connection).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, event: &Event, connection: &Connection) -> Result<(), Gone> {
        match event {
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
                let metadata = match &self.view {
                    None => RunMetadata::clone(metadata),
                    Some(view) => view.see_metadata(metadata),
                };
                connection.write(&metadata.chunk().encode()).await
            }
            Event::Done | Event::Cancelled => connection.write("[DONE]").await,
            Event::Restarted => connection.break_off().await,
        }
    }
}
