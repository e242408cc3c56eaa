use twentyfirst_protocol::ui::chunk::{Finish, Start};
use twentyfirst_protocol::ui::{Assembler, UiMessage};
use uuid::Uuid;

use super::feed::{Event, Feed, RunMetadata};
use super::journal::apply;
use super::view::View;
use crate::faults::Due;

/// A joined reader that may store the answer as it saw it.
pub(crate) struct Rival {
    message_id: Uuid,
    /// The number of events before it joined.
    missed: usize,
    due: Vec<Due<()>>,
}

impl Rival {
    pub(super) fn new(message_id: Uuid, missed: usize, due: Vec<Due<()>>) -> Self {
        Self {
            message_id,
            missed,
            due,
        }
    }

    /// Returns whether it stores before the reader that started the run, and counts that as a strike. Ask only when the run is stored.
    pub(super) fn is_faster(&self) -> bool {
        self.due.iter().any(Due::strike)
    }

    /// Assembles the answer as this reader saw it.
    pub(super) fn message(
        &self,
        feed: &Feed,
        metadata: Option<&RunMetadata>,
        finish: Option<&Finish<'static>>,
    ) -> UiMessage {
        let mut message = Assembler::new();
        // A second view of the same events: it derives the same ids as that of the reader itself.
        let mut view = View::new(self.message_id);
        let start = Start::new().message_id(self.message_id.to_string());
        apply(&mut message, &start.into());
        for event in feed.log(self.missed) {
            if let Event::Chunk(encoded) = event {
                for chunk in view.see(&encoded.chunk) {
                    apply(&mut message, &chunk);
                }
            }
        }
        if let Some(metadata) = metadata {
            apply(&mut message, &view.see_metadata(metadata).chunk());
        }
        if let Some(finish) = finish {
            apply(&mut message, &finish.clone().into());
        }
        message.into_message()
    }
}
