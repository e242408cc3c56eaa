use std::collections::{HashMap, HashSet};

use twentyfirst_protocol::ui::chunk::{ReasoningStart, TextStart};
use twentyfirst_protocol::ui::{Chunk, Text};
use uuid::Uuid;

use super::feed::RunMetadata;

/// What a reader who has joined knows of the parts.
pub(super) struct View {
    /// Where the ids begin that are made here: those who see the same have the same.
    ids: Uuid,
    /// The ids of text and reasoning parts, and those under which they are shown here.
    parts: HashMap<String, String>,
    /// The tool calls that were announced here.
    calls: HashSet<String>,
}

impl View {
    /// For the reader who knows the answer under this id.
    pub(super) fn new(message_id: Uuid) -> Self {
        Self {
            ids: message_id,
            parts: HashMap::new(),
            calls: HashSet::new(),
        }
    }

    /// The closing metadata, with the final text under its id here, if it is known.
    pub(super) fn see_metadata(&self, metadata: &RunMetadata) -> RunMetadata {
        let mut metadata = metadata.clone();
        metadata.final_text_id = metadata
            .final_text_id
            .and_then(|id| self.parts.get(&id).cloned());
        metadata
    }

    /// What becomes of a chunk: a part that was begun before is begun here, under another id; what belongs to a tool
    /// call that was announced before is left out.
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
