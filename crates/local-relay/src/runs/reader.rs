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
use super::rival::Rival;
use super::view::View;
use crate::answers::{Answer, stream};
use crate::relay::Relay;

/// How many events lie between the reader and the connection.
const ON_THE_WAY: usize = 16;

/// The answer that streams a run to the reader who has started it.
pub(crate) fn original(subscription: Subscription, message_id: String) -> Answer {
    let reader = Reader {
        subscription,
        past: Vec::new(),
        view: None,
        hold_back: Duration::ZERO,
    };
    answer(reader, message_id)
}

/// The answer that streams a run to a reader who has joined: with ids of its own and, where it joined in the middle,
/// with nothing until the run has been silent for as long as the relay holds back.
pub(crate) fn joined(relay: &Relay, journal: &Journal) -> Answer {
    let message_id = Uuid::new_v4();
    let (subscription, past) = if relay.faults.strikes_with_replay() {
        let (subscription, past) = journal.feed.join_again();
        (subscription, cut_elsewhere(past))
    } else {
        (journal.feed.join(), Vec::new())
    };
    let is_fresh = subscription.missed == 0;
    let hold_back = if is_fresh {
        Duration::ZERO
    } else {
        relay.hold_back
    };
    let due = relay.faults.of_race();
    if !due.is_empty() || journal.is_forsaken() {
        journal.compete(Rival::new(message_id, subscription.missed, due));
    }
    let reader = Reader {
        subscription,
        past,
        view: Some(View::new(message_id)),
        hold_back,
    };
    answer(reader, message_id.to_string())
}

/// An event as it is on the wire.
pub(super) fn event(data: &str) -> String {
    format!("data: {data}\n\n")
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
    /// What was passed on before, where it gets that.
    past: Vec<Event>,
    view: Option<View>,
    /// How long it waits for silence.
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
