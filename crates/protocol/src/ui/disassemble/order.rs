//! Orders the chunks of all parts. The order is mostly that of the parts. But a chunk of a tool call names only the call or its
//! approval, not the part: which part it changes depends on the chunks before it.

use std::collections::HashMap;

use super::history::History;
use super::inputs::Inputs;
use super::parts::chunk_of;
use super::texts::Written;
use super::tools::tools;
use crate::ui::chunk::Start;
use crate::ui::{Chunk, Part, Text, UiMessage};

/// Returns the chunks of a message.
pub(super) fn chunks(message: &UiMessage) -> Vec<Chunk<'static>> {
    let mut start = Start::new();
    start.message_id = message.id.clone();
    start.message_metadata = message.metadata.clone();
    let mut chunks = vec![start.into()];

    let parts = &message.parts;
    let mut calls = Calls::of(parts);
    for (at, part) in parts.iter().enumerate() {
        chunks.append(&mut calls.changes(Position::before(at)));
        match part {
            Part::Text(_) | Part::Reasoning(_) => {
                let written = Written::of(part).into_iter();
                chunks.extend(written.flat_map(|part| part.chunks(at)));
            }
            Part::StepStart(_) => chunks.push(Chunk::StartStep),
            Part::Tool(_) => chunks.append(&mut calls.created(at)),
            Part::SourceUrl(_)
            | Part::SourceDocument(_)
            | Part::File(_)
            | Part::ReasoningFile(_)
            | Part::Custom(_)
            | Part::SteeringMessage(_)
            | Part::Data(_)
            | Part::Unknown(_) => chunks.extend(chunk_of(part)),
        }
        chunks.append(&mut calls.changes(Position::after(at)));
    }
    chunks.append(&mut calls.changes(Position::before(parts.len())));
    if let Some(Part::StepStart(_)) = parts.last() {
        // A step becomes visible with the next visible change.
        let mut start = Start::new();
        start.message_id = message.id.clone();
        chunks.push(start.into());
    }
    chunks
}

/// A position among the chunks: 2n before part n, 2n + 1 after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Position(usize);

impl Position {
    fn before(part: usize) -> Self {
        Self(2 * part)
    }

    fn after(part: usize) -> Self {
        Self(2 * part + 1)
    }
}

/// The chunks of all tool calls.
#[derive(Default)]
struct Calls {
    /// The chunks that create a part.
    created: HashMap<usize, Vec<Chunk<'static>>>,
    /// The chunks that change parts later.
    changes: HashMap<Position, Vec<Chunk<'static>>>,
}

impl Calls {
    fn of(parts: &[Part]) -> Self {
        let tools = tools(parts);
        let inputs = Inputs::of(&tools);
        let mut calls = Self::default();
        // A response changes the first part that requests its approval. So a later part with the same approval gets its response
        // first, before the earlier part requests it. `responded` has the position of that response.
        let mut responded: HashMap<&Text<'static>, Position> = HashMap::new();
        for (number, tool) in tools.iter().enumerate().rev() {
            let mut position = Position::after(tool.at);
            let next = inputs.next(number, &tools);
            let mut history = match inputs.more(number) {
                Some(more) => History::of_continued(tool.part, more),
                None => History::of(tool.part, next.as_ref()),
            };
            if next.is_some() {
                // The input that began last in the step is the one that continues, so begin it at the end of the step.
                history.write_later(tool.part);
                position = Position::before(tool.step_end);
                calls.change(position, history.input_again);
            } else if let Some(second) = tool.second
                && inputs.more(second).is_some()
                && let Some(second) = tools.get(second)
            {
                // An input that begins ends the one before it, so begin this one after the second part has continued the other.
                history.write_later(tool.part);
                position = Position::after(second.at);
                calls.change(position, history.input_again);
            }
            // During the step, results change the first part with this id. After it, they change the last one.
            if tool.is_second && tool.step_end < parts.len() {
                position = Position::after(tool.step_end);
            }
            calls.change(position, history.result);
            if let Some(approval) = &tool.part.approval {
                if let Some(last) = responded.get(&approval.id) {
                    position = position.max(*last);
                }
                if approval.approved.is_some() {
                    responded.insert(&approval.id, position);
                }
            }
            calls.change(position, history.decision);
            calls.created.insert(tool.at, history.created);
        }
        calls
    }

    fn change(&mut self, position: Position, chunks: Vec<Chunk<'static>>) {
        if !chunks.is_empty() {
            self.changes.entry(position).or_default().extend(chunks);
        }
    }

    fn created(&mut self, part: usize) -> Vec<Chunk<'static>> {
        self.created.remove(&part).unwrap_or_default()
    }

    fn changes(&mut self, position: Position) -> Vec<Chunk<'static>> {
        self.changes.remove(&position).unwrap_or_default()
    }
}
