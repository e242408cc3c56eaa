use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use twentyfirst_protocol::threads::Usage;
use twentyfirst_protocol::ui::Chunk;
use twentyfirst_protocol::ui::chunk::MessageMetadata;

/// How many bytes of chunks a reader may be behind before the agent waits for it.
const FURTHEST_BEHIND: u32 = 8 * 1024 * 1024;

/// What readers of a run are told.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Chunk(Arc<EncodedChunk>),
    /// The closing `message-metadata`, which names a text part by the id that a reader knows.
    Metadata(Arc<RunMetadata>),
    /// The end.
    Done,
    /// The end of a run that was cancelled: nothing that is held back comes any more.
    Cancelled,
    /// The end of the relay's process: streams break off, and nothing that is held back comes any more.
    Restarted,
}

/// A chunk and its JSON, which is the same for most readers.
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

/// What the relay tells about a run at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunMetadata {
    pub(crate) session_id: Option<String>,
    pub(crate) usage: Usage,
    pub(crate) result_subtype: Option<String>,
    pub(crate) final_text_id: Option<String>,
}

impl RunMetadata {
    /// The `message-metadata`, without what is not known.
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

/// Passes the events of one run to its readers.
#[derive(Default)]
pub(crate) struct Feed {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    readers: Vec<Reader>,
    /// All that was passed on: for those who get it again, and gone with the run.
    log: Vec<Event>,
    closed: bool,
}

/// The feed's end of what lies between it and a reader.
#[derive(Clone)]
struct Reader {
    events: mpsc::UnboundedSender<Sent>,
    room: Arc<Semaphore>,
}

/// An event, and the room that it takes until the reader is done with it.
struct Sent {
    event: Event,
    _room: Option<OwnedSemaphorePermit>,
}

/// The reader's end.
pub(crate) struct Subscription {
    events: mpsc::UnboundedReceiver<Sent>,
    room: Arc<Semaphore>,
    /// How many events were passed on before it joined.
    pub(crate) missed: usize,
}

/// An event that a reader has. While it is held, the agent may have to wait.
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

/// Whoever waits for this reader goes on.
impl Drop for Subscription {
    fn drop(&mut self) {
        self.room.close();
    }
}

impl Feed {
    /// From now on.
    pub(crate) fn join(&self) -> Subscription {
        self.lock().join()
    }

    /// From now on, with all that was passed on before.
    pub(crate) fn join_again(&self) -> (Subscription, Vec<Event>) {
        let mut state = self.lock();
        let mut subscription = state.join();
        subscription.missed = 0;
        (subscription, state.log.clone())
    }

    /// What was passed on so far, without so many events at its beginning.
    pub(crate) fn log(&self, from: usize) -> Vec<Event> {
        self.lock().log.get(from..).unwrap_or_default().to_vec()
    }

    /// Passes an event on, and waits for readers that are far behind. Readers that have left are forgotten.
    pub(crate) async fn emit(&self, event: impl Into<Event>) {
        let event = event.into();
        let size = match &event {
            Event::Chunk(chunk) => u32::try_from(chunk.json.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        let readers = {
            let mut state = self.lock();
            state.log.push(event.clone());
            state.readers.retain(|reader| !reader.events.is_closed());
            state.readers.clone()
        };
        for reader in readers {
            let room = reader.room.acquire_many_owned(size.min(FURTHEST_BEHIND));
            if let Ok(room) = room.await {
                let event = event.clone();
                let _room = Some(room);
                reader.events.send(Sent { event, _room }).ok();
            }
        }
    }

    /// Breaks off the streams of all who read. Others may join.
    pub(crate) fn break_off(&self) {
        for reader in self.lock().readers.drain(..) {
            let event = Event::Restarted;
            reader.events.send(Sent { event, _room: None }).ok();
        }
    }

    /// Nothing comes any more.
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
        let room = Arc::new(Semaphore::new(FURTHEST_BEHIND as usize));
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
