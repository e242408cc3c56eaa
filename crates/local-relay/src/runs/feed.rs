use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use twentyfirst_protocol::threads::Usage;
use twentyfirst_protocol::ui::Chunk;
use twentyfirst_protocol::ui::chunk::MessageMetadata;

/// The bytes of chunks that a reader may be behind before the agent waits for it.
const MAX_LAG: u32 = 8 * 1024 * 1024;

/// An event for the readers of a run.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Chunk(Arc<EncodedChunk>),
    /// The closing `message-metadata`. It is no chunk yet: it contains the id of a text part, which differs between readers.
    Metadata(Arc<RunMetadata>),
    /// The end of the run.
    Done,
    /// The end of a cancelled run. Readers drop the events that they hold back.
    Cancelled,
    /// The end of the relay's process. Streams break off, and readers drop the events that they hold back.
    Restarted,
}

/// A chunk and its JSON, encoded once for all readers that see it unchanged.
#[derive(Debug)]
pub(crate) struct EncodedChunk {
    pub(crate) chunk: Chunk<'static>,
    pub(crate) json: String,
}

impl From<Chunk<'static>> for EncodedChunk {
    fn from(chunk: Chunk<'static>) -> Self {
        let json = chunk.encode();
        Self { chunk, json }
    }
}

impl From<Chunk<'static>> for Event {
    fn from(chunk: Chunk<'static>) -> Self {
        Self::Chunk(Arc::new(chunk.into()))
    }
}

/// The relay's report on a run at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunMetadata {
    pub(crate) session_id: Option<String>,
    pub(crate) usage: Usage,
    pub(crate) result_subtype: Option<String>,
    pub(crate) final_text_id: Option<String>,
}

impl RunMetadata {
    /// Returns the `message-metadata`, without unknown members.
    pub(crate) fn chunk(&self) -> Chunk<'static> {
        let usage = &self.usage;
        let members = [
            ("sessionId", json!(self.session_id)),
            ("totalCostUsd", json!(usage.total_cost_usd)),
            ("inputTokens", json!(usage.input_tokens)),
            ("outputTokens", json!(usage.output_tokens)),
            ("totalTokens", json!(usage.total_tokens)),
            ("durationMs", json!(usage.duration_ms)),
            ("resultSubtype", json!(self.result_subtype)),
            ("finalTextId", json!(self.final_text_id)),
        ];
        let known = members.into_iter().filter(|(_, value)| !value.is_null());
        let metadata: Value = known.collect();
        MessageMetadata::new().message_metadata(metadata).into()
    }
}

/// The channel from one run to its readers.
#[derive(Default)]
pub(crate) struct Feed {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    readers: Vec<Reader>,
    /// All events so far, for readers that get a replay and for rivals. Dropped with the run.
    log: Vec<Event>,
    closed: bool,
}

/// The feed's end of the channel to a reader.
///
/// The channel is unbounded, and a semaphore limits the bytes in it: a bounded channel would count events of any size.
#[derive(Clone)]
struct Reader {
    events: mpsc::UnboundedSender<Sent>,
    room: Arc<Semaphore>,
}

/// An event, and the permits for its bytes, which return when the reader has sent it.
struct Sent {
    event: Event,
    _room: Option<OwnedSemaphorePermit>,
}

/// The reader's end of the channel.
pub(crate) struct Subscription {
    events: mpsc::UnboundedReceiver<Sent>,
    room: Arc<Semaphore>,
    /// The number of events before the reader joined, which it does not get.
    pub(crate) missed: usize,
}

/// An event that a reader has received. It counts as lag until it is dropped.
pub(crate) struct Received(Sent);

impl Received {
    pub(crate) fn event(&self) -> &Event {
        &self.0.event
    }
}

impl Subscription {
    pub(crate) async fn next(&mut self) -> Option<Received> {
        self.events.recv().await.map(Received)
    }
}

/// Closes the semaphore, so that an agent which waits for this reader continues.
impl Drop for Subscription {
    fn drop(&mut self) {
        self.room.close();
    }
}

impl Feed {
    /// Subscribes to all later events.
    pub(crate) fn join(&self) -> Subscription {
        self.lock().join()
    }

    /// Subscribes to all later events, and returns all earlier ones.
    pub(crate) fn join_again(&self) -> (Subscription, Vec<Event>) {
        let mut state = self.lock();
        let mut subscription = state.join();
        subscription.missed = 0;
        (subscription, state.log.clone())
    }

    /// Returns the events so far, from this index on.
    pub(crate) fn log(&self, from: usize) -> Vec<Event> {
        self.lock().log.get(from..).unwrap_or_default().to_vec()
    }

    /// Sends an event to all readers. Waits while one of them is [`MAX_LAG`] behind.
    pub(crate) async fn emit(&self, event: impl Into<Event>) {
        let event = event.into();
        let size = match &event {
            Event::Chunk(chunk) => u32::try_from(chunk.json.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        // The log and the list of readers are used under one lock: a reader that joins now has the event in its past or gets it,
        // never both.
        let readers = {
            let mut state = self.lock();
            state.log.push(event.clone());
            state.readers.retain(|reader| !reader.events.is_closed());
            state.readers.clone()
        };
        for reader in readers {
            // An event beyond the whole lag waits until the reader has sent everything before it.
            let room = reader.room.acquire_many_owned(size.min(MAX_LAG));
            if let Ok(room) = room.await {
                let event = event.clone();
                let _room = Some(room);
                reader.events.send(Sent { event, _room }).ok();
            }
        }
    }

    /// Breaks off the streams of all current readers. Others may join later.
    pub(crate) fn break_off(&self) {
        for reader in self.lock().readers.drain(..) {
            let event = Event::Restarted;
            // Without a permit: the end must not wait for a reader that lags.
            reader.events.send(Sent { event, _room: None }).ok();
        }
    }

    /// Ends the channel for current and later readers.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.readers.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn join(&mut self) -> Subscription {
        let (sender, events) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(MAX_LAG as usize));
        if !self.closed {
            self.readers.push(Reader {
                events: sender,
                room: Arc::clone(&room),
            });
        }
        Subscription {
            events,
            room,
            missed: self.log.len(),
        }
    }
}
