use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use twentyfirst_protocol::threads::Usage;
use twentyfirst_protocol::ui::Chunk;
use twentyfirst_protocol::ui::chunk::MessageMetadata;

/// How many events a reader may be behind before the agent waits for it.
const FURTHEST_BEHIND: usize = 4096;

/// What readers of a run are told.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Chunk(Arc<Chunk<'static>>),
    /// The closing `message-metadata`, which names a text part by the id that this reader knows.
    Metadata(Arc<RunMetadata>),
    /// The end.
    Done,
    /// The end of a run that was cancelled: nothing that is held back comes any more.
    Cancelled,
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
    readers: Vec<mpsc::Sender<Event>>,
    begun: bool,
    closed: bool,
}

/// A reader's end of a feed.
pub(crate) struct Subscription {
    pub(crate) events: mpsc::Receiver<Event>,
    /// Whether something was written before it joined.
    pub(crate) in_the_middle: bool,
}

impl Feed {
    pub(crate) fn join(&self) -> Subscription {
        let (sender, events) = mpsc::channel(FURTHEST_BEHIND);
        let mut state = self.lock();
        if !state.closed {
            state.readers.push(sender);
        }
        Subscription {
            events,
            in_the_middle: state.begun,
        }
    }

    /// Passes an event on, and waits for readers that are far behind. Readers that have left are forgotten.
    pub(crate) async fn emit(&self, event: Event) {
        let readers = {
            let mut state = self.lock();
            state.begun = true;
            state.readers.retain(|reader| !reader.is_closed());
            state.readers.clone()
        };
        for reader in readers {
            reader.send(event.clone()).await.ok();
        }
    }

    /// Nothing comes any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.readers.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
