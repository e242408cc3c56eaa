use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twentyfirst_protocol::threads::Usage;
use twentyfirst_protocol::ui::chunk::{Finish, ReasoningEnd, Start, TextEnd};
use twentyfirst_protocol::ui::{Assembler, Chunk, RawJson, Text, UiMessage};

use super::feed::{Event, Feed, RunMetadata};

/// What an agent has written: it goes to the readers, and into the message that is stored.
pub(crate) struct Journal {
    pub(crate) feed: Feed,
    written: tokio::sync::Mutex<Written>,
    report: Mutex<Report>,
}

struct Written {
    message: Assembler,
    open: Vec<Open>,
    final_text: Option<Text<'static>>,
    /// Whether the agent has told its metadata itself, and the last of it.
    metadata: Option<RawJson<'static>>,
    finish: Option<Finish<'static>>,
    error: Option<String>,
}

#[derive(PartialEq)]
enum Open {
    Text(Text<'static>),
    Reasoning(Text<'static>),
}

/// What is left of a run when its agent has ended.
pub(crate) struct Ending {
    pub(crate) error: Option<String>,
    pub(crate) final_text: Option<String>,
    /// The agent's own closing metadata.
    pub(crate) metadata: Option<RawJson<'static>>,
}

/// What an agent says about its run.
#[derive(Clone)]
pub(crate) struct Report {
    pub(crate) usage: Usage,
    pub(crate) result_subtype: String,
}

impl Journal {
    /// For the answer with this id.
    pub(crate) fn new(message_id: &str) -> Self {
        let mut message = Assembler::new();
        apply(&mut message, &Start::new().message_id(message_id).into());
        Self {
            feed: Feed::default(),
            written: tokio::sync::Mutex::new(Written {
                message,
                open: Vec::new(),
                final_text: None,
                metadata: None,
                finish: None,
                error: None,
            }),
            report: Mutex::new(Report {
                usage: Usage::default(),
                result_subtype: "success".to_owned(),
            }),
        }
    }

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
            Chunk::MessageMetadata(chunk) => {
                if let Some(metadata) = &chunk.message_metadata {
                    written.metadata = Some(metadata.clone());
                }
            }
            Chunk::TextStart(part) => {
                written.final_text = Some(part.id.clone());
                written.open.push(Open::Text(part.id.clone()));
            }
            Chunk::TextEnd(part) => written.close(&Open::Text(part.id.clone())),
            Chunk::ReasoningStart(part) => written.open.push(Open::Reasoning(part.id.clone())),
            Chunk::ReasoningEnd(part) => written.close(&Open::Reasoning(part.id.clone())),
            _ => {}
        }
        self.pass_on(&mut written, chunk).await;
    }

    /// Closes the parts that the agent has left open.
    pub(crate) async fn end(&self) -> Ending {
        let mut written = self.written.lock().await;
        for open in std::mem::take(&mut written.open) {
            let end = match open {
                Open::Text(id) => TextEnd::new(id).into(),
                Open::Reasoning(id) => ReasoningEnd::new(id).into(),
            };
            self.pass_on(&mut written, end).await;
        }
        Ending {
            error: written.error.clone(),
            final_text: written
                .final_text
                .as_ref()
                .map(|id| id.to_string_lossy().into_owned()),
            metadata: written.metadata.clone(),
        }
    }

    /// The whole message, with the relay's metadata where the agent has told none.
    pub(crate) async fn message(&self, metadata: &RunMetadata) -> UiMessage {
        let mut written = self.written.lock().await;
        let mut message = std::mem::take(&mut written.message);
        if written.metadata.is_none() {
            apply(&mut message, &metadata.chunk());
        }
        if let Some(finish) = &written.finish {
            apply(&mut message, &finish.clone().into());
        }
        message.into_message()
    }

    /// Tells the readers how it ends.
    pub(crate) async fn tell_end(&self, metadata: RunMetadata) {
        let written = self.written.lock().await;
        if written.metadata.is_none() {
            self.feed.emit(Event::Metadata(Arc::new(metadata))).await;
        }
        let finish = written.finish.clone().unwrap_or_else(Finish::new);
        self.feed.emit(Chunk::from(finish)).await;
    }

    /// Changes what the agent says about its run.
    pub(crate) fn report(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.lock());
    }

    pub(crate) fn reported(&self) -> Report {
        self.lock().clone()
    }

    /// What the agent has said so far.
    pub(crate) async fn text(&self) -> String {
        self.written.lock().await.message.message().text()
    }

    async fn pass_on(&self, written: &mut Written, chunk: Chunk<'static>) {
        apply(&mut written.message, &chunk);
        self.feed.emit(chunk).await;
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn close(&mut self, part: &Open) {
        self.open.retain(|open| open != part);
    }
}

/// A chunk that does not fit goes to the readers as it is, and is not stored.
fn apply(message: &mut Assembler, chunk: &Chunk<'_>) {
    message.apply(chunk).ok();
}
