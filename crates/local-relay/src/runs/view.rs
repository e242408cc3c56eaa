use std::collections::{HashMap, HashSet};

use twentyfirst_protocol::ui::chunk::{ReasoningStart, TextStart};
use twentyfirst_protocol::ui::{Chunk, Text};
use uuid::Uuid;

use super::feed::RunMetadata;

/// A joined reader's view of the parts, under its own ids.
///
/// ```text
///   text part begun before:    delta ─► start with a new id, delta          end without a delta ─► dropped
///   text part begun since:     start, delta, end ─► the same with a new id
///   tool call begun before:    delta, output ─► dropped until its input is complete, which announces the call
///   tool call begun since:     unchanged
/// ```
pub(super) struct View {
    /// The base of the new ids. They are derived from the message id, so that a rival stores the ids that its reader saw.
    ids: Uuid,
    /// The ids of text and reasoning parts, with the new ids.
    parts: HashMap<String, String>,
    /// The tool calls that this reader knows.
    calls: HashSet<String>,
}

impl View {
    /// Creates the view of a reader that knows the answer under this message id.
    pub(super) fn new(message_id: Uuid) -> Self {
        Self {
            ids: message_id,
            parts: HashMap::new(),
            calls: HashSet::new(),
        }
    }

    /// Returns the closing metadata with the new id of the final text, or without it if this reader does not know the part.
    pub(super) fn see_metadata(&self, metadata: &RunMetadata) -> RunMetadata {
        let mut metadata = metadata.clone();
        metadata.final_text_id = metadata
            .final_text_id
            .and_then(|id| self.parts.get(&id).cloned());
        metadata
    }

    /// Translates a chunk for this reader: see the table at [`View`].
    pub(super) fn see(&mut self, chunk: &Chunk<'static>) -> Vec<Chunk<'static>> {
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
            // Announces the call also to a reader that missed its start: it has the name and the whole input.
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

    /// Replaces the id of a part. Returns the new id if the part is new to this reader.
    fn rename(&mut self, id: &mut Text<'static>) -> Option<String> {
        let name = key(id);
        let known = self.parts.get(&name).cloned();
        let new = known.is_none().then(|| self.next_id());
        if let Some(new) = &new {
            self.parts.insert(name, new.clone());
        }
        if let Some(here) = known.or_else(|| new.clone()) {
            *id = here.into();
        }
        new
    }

    fn next_id(&self) -> String {
        let number = self.parts.len() as u128 + 1;
        Uuid::from_u128(self.ids.as_u128().wrapping_add(number)).to_string()
    }

    /// Replaces the id of a part, and returns whether this reader knows the part.
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
