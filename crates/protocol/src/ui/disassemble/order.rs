//! In which order the chunks of all parts come. Mostly it is that of the parts, but a chunk of a tool call names the call only, or its
//! approval, and which part that is depends on what has come before.

use std::collections::{HashMap, HashSet};

use super::history::{History, goes_on, text_of, written_in};
use super::parts::chunk_of;
use super::texts::Written;
use crate::ui::chunk::Start;
use crate::ui::{Chunk, Part, Text, ToolPart, UiMessage};

/// The chunks of a message.
pub(super) fn chunks(message: &UiMessage) -> Vec<Chunk<'static>> {
    let mut start = Start::new();
    start.message_id = message.id.clone();
    start.message_metadata = message.metadata.clone();
    let mut chunks = vec![start.into()];

    let parts = &message.parts;
    let mut calls = Calls::of(parts);
    for (at, part) in parts.iter().enumerate() {
        chunks.append(&mut calls.changes(Moment::before(at)));
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
        chunks.append(&mut calls.changes(Moment::after(at)));
    }
    chunks.append(&mut calls.changes(Moment::before(parts.len())));
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
struct Moment(usize);

impl Moment {
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
    changes: HashMap<Moment, Vec<Chunk<'static>>>,
}

impl Calls {
    fn of(parts: &[Part]) -> Self {
        let tools = tools(parts);
        let inputs = Inputs::of(&tools);
        let mut calls = Self::default();
        // A response goes to the first part that asks for its approval, so that the last such part has to get its own first.
        let mut responded: HashMap<&Text<'static>, Moment> = HashMap::new();
        for (number, tool) in tools.iter().enumerate().rev() {
            let mut moment = Moment::after(tool.at);
            let mut history = match inputs.more(number) {
                Some(more) => History::of_continued(tool.part, more),
                None => History::of(tool.part),
            };
            if let Some((next, text)) = inputs.begun(number, &tools) {
                history.begin(tool.part, next, text);
                // The last input that begins in a step is the one that goes on.
                moment = Moment::before(tool.step_end);
                calls.change(moment, history.again);
            }
            if tool.is_second && tool.step_end < parts.len() {
                moment = Moment::after(tool.step_end);
            }
            if let Some(approval) = &tool.part.approval {
                if let Some(last) = responded.get(&approval.id) {
                    moment = moment.max(*last);
                }
                if approval.approved.is_some() {
                    responded.insert(&approval.id, moment);
                }
            }
            calls.change(moment, history.then);
            calls.made.insert(tool.at, history.made);
        }
        calls
    }

    fn change(&mut self, moment: Moment, chunks: Vec<Chunk<'static>>) {
        if !chunks.is_empty() {
            self.changes.entry(moment).or_default().extend(chunks);
        }
    }

    fn made(&mut self, part: usize) -> Vec<Chunk<'static>> {
        self.made.remove(&part).unwrap_or_default()
    }

    fn changes(&mut self, moment: Moment) -> Vec<Chunk<'static>> {
        self.changes.remove(&moment).unwrap_or_default()
    }
}

/// A part of a tool call, with what has to be known of the others.
struct Tool<'p> {
    at: usize,
    part: &'p ToolPart,
    /// Where the next step begins, or the message ends.
    step_end: usize,
    /// Whether another part of its step has the same id. As long as the step lasts, results go to that one.
    is_second: bool,
    /// Which of the tools was the last of this id before, if both are dynamic and in different steps.
    before: Option<usize>,
}

fn tools(parts: &[Part]) -> Vec<Tool<'_>> {
    let mut tools: Vec<Tool<'_>> = Vec::new();
    let mut in_step: HashSet<&Text<'static>> = HashSet::new();
    let mut dynamic: HashMap<&Text<'static>, usize> = HashMap::new();
    let mut step = 0;
    let end_step = |step: usize, end: usize, tools: &mut [Tool<'_>]| {
        let of_step = tools.iter_mut().rev().take_while(|tool| tool.at >= step);
        of_step.for_each(|tool| tool.step_end = end);
    };
    for (at, part) in parts.iter().enumerate() {
        if let Part::StepStart(_) = part {
            end_step(step, at, &mut tools);
            step = at;
            in_step.clear();
        }
        let Some(part) = part.as_tool() else {
            continue;
        };
        let id = &part.tool_call_id;
        let before = match part.dynamic {
            true => dynamic.insert(id, tools.len()),
            false => None,
        };
        tools.push(Tool {
            at,
            part,
            step_end: parts.len(),
            is_second: !in_step.insert(id),
            before: before.filter(|before| tools.get(*before).is_some_and(|tool| tool.at < step)),
        });
    }
    end_step(step, parts.len(), &mut tools);
    tools
}

/// The inputs of dynamic tools that were written on in parts of later steps, and the texts that were written of them.
struct Inputs {
    /// By the number of a tool: that of the one in which its input goes on.
    next: HashMap<usize, usize>,
    /// By the number of a tool whose input goes on from another part: how much was written in this one.
    more: HashMap<usize, String>,
    /// By the number of a tool whose input goes on in another part: how much was written there.
    begun: HashMap<usize, String>,
}

impl Inputs {
    fn of(tools: &[Tool<'_>]) -> Self {
        let mut inputs = Self {
            next: HashMap::new(),
            more: HashMap::new(),
            begun: HashMap::new(),
        };
        for (number, tool) in tools.iter().enumerate() {
            if let Some(before) = tool.before.filter(|_| goes_on(tool.part)) {
                inputs.next.insert(before, number);
            }
        }
        // What was written up to the end of each, from the last: the text of an earlier one is the beginning of that of a later one.
        let mut texts: HashMap<usize, String> = HashMap::new();
        for (number, tool) in tools.iter().enumerate().rev() {
            let next = inputs.next.get(&number);
            let later = next.and_then(|next| Some((*next, texts.remove(next)?)));
            let is_continued = tool.before.is_some() && goes_on(tool.part);
            let own = match is_continued {
                true => Some(text_of(tool.part)),
                false => written_in(tool.part),
            };
            let text = match (own, later) {
                (Some(own), Some((next, later))) => {
                    let text = match is_continued {
                        true => common(&own, &later).to_owned(),
                        false => own,
                    };
                    let rest = later.strip_prefix(&*text);
                    let rest = rest.or_else(|| later.strip_prefix(text.trim_ascii_start()));
                    inputs
                        .more
                        .insert(next, rest.unwrap_or_default().to_owned());
                    text
                }
                (None, Some((next, later))) => {
                    inputs.more.insert(next, String::new());
                    later
                }
                (own, None) => own.unwrap_or_default(),
            };
            if is_continued {
                texts.insert(number, text);
            } else if next.is_some() {
                inputs.begun.insert(number, text);
            }
        }
        inputs
    }

    /// How much was written in the part of a tool, if its input goes on from another.
    fn more(&self, number: usize) -> Option<&str> {
        self.more.get(&number).map(String::as_str)
    }

    /// The part in which the input goes on that begins in this one, and how much of it was written here.
    fn begun<'p>(&self, number: usize, tools: &[Tool<'p>]) -> Option<(&'p ToolPart, &str)> {
        let text = self.begun.get(&number)?;
        let next = tools.get(*self.next.get(&number)?)?;
        Some((next.part, text))
    }
}

/// What two texts begin with.
fn common<'t>(one: &'t str, two: &str) -> &'t str {
    let same = one
        .chars()
        .zip(two.chars())
        .take_while(|(one, two)| one == two);
    let length = same.map(|(char, _)| char.len_utf8()).sum();
    one.get(..length).unwrap_or_default()
}
