use std::mem;

use super::machine::{Assembler, own};
use super::texts::Kind;
use crate::ui::chunk::{ReasoningEnd, TextEnd};
use crate::ui::{Chunk, Part, Text, TextState, ToolState};

/// The parts that are still being written.
impl Assembler {
    /// Returns the text and reasoning parts that have not ended, in their order: the index of each, its kind and its id.
    pub(crate) fn open_texts(&self) -> Vec<(usize, Kind, Text<'static>)> {
        let texts = self
            .texts
            .iter()
            .map(|(id, text)| (text.part, Kind::Text, id));
        let reasonings = self.reasonings.iter();
        let reasonings = reasonings.map(|(id, text)| (text.part, Kind::Reasoning, id));
        let mut open: Vec<_> = texts.chain(reasonings).collect();
        open.sort_unstable_by_key(|(at, ..)| *at);
        open
    }

    /// Ends the text and reasoning parts that have not ended. Returns them as [`open_texts`](Self::open_texts) does, but without
    /// copying their ids.
    pub(crate) fn end_open_texts(&mut self) -> Vec<(usize, Kind, Text<'static>)> {
        let texts = mem::take(&mut self.texts).into_entries();
        let texts = texts.map(|(id, text)| (text.part, Kind::Text, id));
        let reasonings = mem::take(&mut self.reasonings).into_entries();
        let reasonings = reasonings.map(|(id, text)| (text.part, Kind::Reasoning, id));
        let mut ended: Vec<_> = texts.chain(reasonings).collect();
        ended.sort_unstable_by_key(|(at, ..)| *at);
        for (at, ..) in &ended {
            match self.message.parts.get_mut(*at) {
                Some(Part::Text(part)) => part.state = Some(TextState::Done),
                Some(Part::Reasoning(part)) => part.state = Some(TextState::Done),
                _ => {}
            }
        }
        ended
    }

    /// Returns whether a text or reasoning part with this id has not ended.
    pub(crate) fn is_open(&self, kind: Kind, id: &Text<'_>) -> bool {
        match kind {
            Kind::Text => self.texts.get(id).is_some(),
            Kind::Reasoning => self.reasonings.get(id).is_some(),
        }
    }

    /// Returns the ids of the calls whose input is incomplete.
    pub(crate) fn calls_being_written(&self) -> impl Iterator<Item = Text<'static>> {
        let calls = self.message.parts.iter().filter_map(Part::as_tool);
        let calls = calls.filter(|call| call.state == ToolState::InputStreaming);
        calls.map(|call| own(&call.tool_call_id))
    }
}

impl Kind {
    /// Returns the chunk that ends such a part.
    pub(crate) fn end(self, id: Text<'static>) -> Chunk<'static> {
        match self {
            Self::Text => TextEnd::new(id).into(),
            Self::Reasoning => ReasoningEnd::new(id).into(),
        }
    }
}
