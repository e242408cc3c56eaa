//! In which order the chunks of all parts come. Mostly it is that of the parts, but a chunk of a tool call names the call only, or its
//! approval, and which part that is depends on what has come before.

use std::collections::HashMap;

use super::history::History;
use super::inputs::Inputs;
use super::parts::chunk_of;
use super::texts::Written;
use super::tools::tools;
use crate::ui::chunk::Start;
use crate::ui::{Chunk, Part, Text, UiMessage};

/// The chunks of a message.
pub(super) fn chunks(message: &UiMessage) -> Vec<Chunk<'static>> {
    let mut start = Start::new();
    start.message_id = message.id.clone();
    start.message_metadata = message.metadata.clone();
    let mut chunks = vec![start.into()];

    let parts = &message.parts;
    let mut calls = Calls::of(parts);
    for (at, part) in parts.iter().enumerate() {
        chunks.append(&mut calls.changes(RunEvent::before(at)));
        match part {
            Part::Text(_) | Part::Reasoning(_) => {
                let written = Written::of(part).into_iter();
                chunks.extend(written.flat_map(|part| part.chunks(at)));
            }
            Part::StepStart(_) => chunks.push(Chunk::StartStep),
            Part::Tool(_) => chunks.append(&mut calls.made(at)),
            Part::SourceUrl(_)
            | Part::SourceDocument(_)
            | Part::File(_)
            | Part::ReasoningFile(_)
            | Part::Custom(_)
            | Part::SteeringMessage(_)
            | Part::Data(_)
            | Part::Unknown(_) => chunks.extend(chunk_of(part)),
        }
        chunks.append(&mut calls.changes(RunEvent::after(at)));
    }
    chunks.append(&mut calls.changes(RunEvent::before(parts.len())));
    if let Some(Part::StepStart(_)) = parts.last() {
        // A step shows with the next thing that does.
        let mut start = Start::new();
        start.message_id = message.id.clone();
        chunks.push(start.into());
    }
    chunks
}

/// A place among the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct RunEvent(usize);

impl RunEvent {
    /// Before the part of this number.
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
    /// What makes a part.
    made: HashMap<usize, Vec<Chunk<'static>>>,
    /// What changes parts later.
    changes: HashMap<RunEvent, Vec<Chunk<'static>>>,
}

impl Calls {
    fn of(parts: &[Part]) -> Self {
        let tools = tools(parts);
        let inputs = Inputs::of(&tools);
        let mut calls = Self::default();
        // A response goes to the first part that asks for its approval, so that the last such part has to get its own first.
        let mut responded: HashMap<&Text<'static>, RunEvent> = HashMap::new();
        for (number, tool) in tools.iter().enumerate().rev() {
            let mut moment = RunEvent::after(tool.at);
            let next = inputs.next(number, &tools);
            let mut history = match inputs.more(number) {
                Some(more) => History::of_continued(tool.part, more),
                None => History::of(tool.part, next.as_ref()),
            };
            if next.is_some() {
                // The last input that begins in a step is the one that goes on.
                history.write_later(tool.part);
                moment = RunEvent::before(tool.step_end);
                calls.change(moment, history.again);
            } else if let Some(second) = tool.second
                && inputs.more(second).is_some()
                && let Some(second) = tools.get(second)
            {
                // An input that begins here ends the one that goes on there.
                history.write_later(tool.part);
                moment = RunEvent::after(second.at);
                calls.change(moment, history.again);
            }
            if tool.is_second && tool.step_end < parts.len() {
                moment = RunEvent::after(tool.step_end);
            }
            calls.change(moment, history.then);
            if let Some(approval) = &tool.part.approval {
                if let Some(last) = responded.get(&approval.id) {
                    moment = moment.max(*last);
                }
                if approval.approved.is_some() {
                    responded.insert(&approval.id, moment);
                }
            }
            calls.change(moment, history.decided);
            calls.made.insert(tool.at, history.made);
        }
        calls
    }

    fn change(&mut self, moment: RunEvent, chunks: Vec<Chunk<'static>>) {
        if !chunks.is_empty() {
            self.changes.entry(moment).or_default().extend(chunks);
        }
    }

    fn made(&mut self, part: usize) -> Vec<Chunk<'static>> {
        self.made.remove(&part).unwrap_or_default()
    }

    fn changes(&mut self, moment: RunEvent) -> Vec<Chunk<'static>> {
        self.changes.remove(&moment).unwrap_or_default()
    }
}
