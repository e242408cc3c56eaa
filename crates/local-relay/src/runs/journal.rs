use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twentyfirst_protocol::threads::Usage;
use twentyfirst_protocol::ui::chunk::{Finish, MessageMetadata, ReasoningEnd, TextEnd};
use twentyfirst_protocol::ui::{Chunk, Text};

use super::assembly::Assembly;
use super::feed::{Event, Feed};

/// What an agent has written: it goes to the readers, and into the message that is stored.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) feed: Feed,
    written: tokio::sync::Mutex<Written>,
    report: Mutex<Report>,
}

/// What is left of a run when the agent has ended.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) assembly: Assembly,
    /// The agent's own closing metadata.
    pub(crate) metadata: Option<MessageMetadata<'static>>,
    pub(crate) finish: Option<Finish<'static>>,
    pub(crate) error: Option<String>,
    pub(crate) final_text: Option<Text<'static>>,
    open: Vec<Open>,
}

#[derive(PartialEq)]
enum Open {
    Text(Text<'static>),
    Reasoning(Text<'static>),
}

/// What an agent says about its run.
#[derive(Clone)]
pub(crate) struct Report {
    pub(crate) usage: Usage,
    pub(crate) result_subtype: String,
    words: u64,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            usage: Usage::default(),
            result_subtype: "success".to_owned(),
            words: 0,
        }
    }
}

impl Journal {
    /// Takes a chunk of the agent.
    pub(crate) async fn write(&self, chunk: Chunk<'static>) {
        // Held while readers get it, so that they and the stored message see the same order.
        let mut written = self.written.lock().await;
        if written.error.is_some() {
            return;
        }
        match &chunk {
            Chunk::Start(_) => return,
            Chunk::Finish(finish) => {
                written.finish = Some(finish.clone());
                return;
            }
            Chunk::Error(error) => {
                written.error = Some(error.error_text.to_string_lossy().into_owned());
            }
            Chunk::MessageMetadata(metadata) => written.metadata = Some(metadata.clone()),
            Chunk::TextStart(part) => {
                written.final_text = Some(part.id.clone());
                written.open.push(Open::Text(part.id.clone()));
            }
            Chunk::TextEnd(part) => written
                .open
                .retain(|open| *open != Open::Text(part.id.clone())),
            Chunk::ReasoningStart(part) => written.open.push(Open::Reasoning(part.id.clone())),
            Chunk::ReasoningEnd(part) => {
                written
                    .open
                    .retain(|open| *open != Open::Reasoning(part.id.clone()));
            }
            Chunk::TextDelta(delta) => {
                let words = delta.delta.to_string_lossy().split_whitespace().count();
                self.lock().words += words as u64;
            }
            _ => {}
        }
        written.assembly.take(&chunk);
        self.feed.emit(Event::Chunk(Arc::new(chunk))).await;
    }

    /// Closes the parts that the agent has left open, and gives out what was written.
    pub(crate) async fn end(&self) -> Written {
        let mut written = std::mem::take(&mut *self.written.lock().await);
        for open in std::mem::take(&mut written.open) {
            let chunk: Chunk<'static> = match open {
                Open::Text(id) => TextEnd::new(id).into(),
                Open::Reasoning(id) => ReasoningEnd::new(id).into(),
            };
            written.assembly.take(&chunk);
            self.feed.emit(Event::Chunk(Arc::new(chunk))).await;
        }
        written
    }

    /// Changes what the agent says about its run.
    pub(crate) fn report(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.lock());
    }

    pub(crate) fn reported(&self) -> Report {
        self.lock().clone()
    }

    /// How many words the agent has said.
    pub(crate) fn words(&self) -> u64 {
        self.lock().words
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
