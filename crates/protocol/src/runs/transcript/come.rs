//! How much of what was delivered has come again.

use std::collections::{BTreeMap, HashMap};

use super::replay::Behind;
use super::room::Places;
use super::tracks::{DataId, Tool, Track, Tracks, Written, metadata_of};
use crate::ui::chunk::ToolInputDelta;
use crate::ui::held::owned;
use crate::ui::{Chunk, Text, TextKind};

/// How much of what was delivered has come again.
#[derive(Debug, Default)]
pub(super) struct Come {
    texts: Vec<Progress>,
    reasonings: Vec<Progress>,
    whole_texts: usize,
    whole_reasonings: usize,
    /// Which of them have not ended, by their ids in this stream.
    open: HashMap<(TextKind, Text<'static>), usize>,
    /// The input and the chunks of each tool call.
    tools: HashMap<Text<'static>, (usize, BTreeMap<&'static str, usize>)>,
    preliminary: HashMap<Text<'static>, usize>,
    /// How many values of each data part, those included that were left out.
    data: HashMap<DataId, usize>,
    others: usize,
    metadata: usize,
    /// Whether any content was there before.
    pub(super) is_known: bool,
    /// What the entries of its tables hold, in bytes.
    contents: usize,
}

/// How many bytes of a part have come again; the n-th that starts is the n-th that was delivered.
type Progress = usize;

/// What one chunk is to a replay.
#[expect(
    clippy::large_enum_variant,
    reason = "it is handed over once and never stored"
)]
pub(super) enum Match {
    Known,
    New(New),
    Contradiction,
}

/// What is new of a chunk.
#[derive(Debug)]
pub(super) struct New {
    /// As it goes on behind what was delivered: in a part with the id that this was delivered under.
    pub(super) continued: Chunk<'static>,
    /// With the id of its own stream.
    pub(super) own: Chunk<'static>,
}

impl New {
    fn of(chunk: &Chunk<'static>) -> Self {
        Self {
            continued: chunk.clone(),
            own: chunk.clone(),
        }
    }
}

impl Come {
    /// What it holds in memory, in bytes, with what is [`behind`](Self::behind) it.
    pub(super) fn size(&self) -> usize {
        self.contents
            + self.texts.places()
            + self.reasonings.places()
            + 2 * self.open.places()
            + self.tools.places()
            + 2 * self.preliminary.places()
            + self.data.places()
    }

    /// What it holds more while a chunk is compared, at most.
    pub(super) fn growth(&self, chunk: &Chunk<'static>) -> usize {
        match Track::of(chunk) {
            Track::Start(kind, id) => {
                let written = match kind {
                    TextKind::Text => &self.texts,
                    TextKind::Reasoning => &self.reasonings,
                };
                written.growth() + 2 * self.open.growth() + 2 * owned(id)
            }
            Track::Tool(id, _) | Track::ToolInput(id, _) => {
                self.tools.growth() + owned(id) + Tool::TABLE
            }
            Track::Preliminary(id) => {
                let tables = self.tools.growth() + 2 * self.preliminary.growth();
                tables + 3 * owned(id) + Tool::TABLE
            }
            Track::Data(id) => self.data.growth() + owned(&id.0) + owned(&id.1),
            _ => 0,
        }
    }

    /// What is to be known behind all that was delivered.
    pub(super) fn behind(&mut self, delivered: &Tracks) -> Behind {
        let come = std::mem::take(self);
        let parts = come.open.into_iter().filter_map(|((kind, id), at)| {
            let part = delivered.written(kind).get(at)?;
            let part = (!part.ended).then(|| part.id.clone());
            Some(((kind, id), part))
        });
        let tools = delivered
            .tools
            .iter()
            .filter(|(_, tool)| tool.preliminary > 0);
        let preliminary = tools.map(|(id, tool)| {
            let come = come.preliminary.get(id).copied().unwrap_or_default();
            let left = match tool.has_result() {
                true => usize::MAX,
                false => tool.preliminary.saturating_sub(come),
            };
            (id.clone(), left)
        });
        Behind {
            parts: parts.collect(),
            preliminary: preliminary.collect(),
        }
    }

    /// What has come of a call.
    fn tool(&mut self, id: &Text<'static>) -> &mut (usize, BTreeMap<&'static str, usize>) {
        if !self.tools.contains_key(id) {
            self.contents += owned(id) + Tool::TABLE;
        }
        self.tools.entry(id.clone()).or_default()
    }

    pub(super) fn compare(&mut self, chunk: &Chunk<'static>, delivered: &Tracks) -> Match {
        match Track::of(chunk) {
            Track::Start(kind, id) => {
                let come = self.written(kind);
                let at = come.len();
                come.push(0);
                if let Some(before) = self.open.insert((kind, id.clone()), at) {
                    let before = held_of_open(id, delivered.written(kind).get(before));
                    self.contents = self.contents.saturating_sub(before);
                }
                self.contents += held_of_open(id, delivered.written(kind).get(at));
                match delivered.written(kind).len() <= at {
                    true => Match::New(New::of(chunk)),
                    false => Match::Known,
                }
            }
            Track::Delta(kind, id, delta) => {
                let Some(at) = self.open.get(&(kind, id.clone())).copied() else {
                    return Match::Contradiction;
                };
                let Some(come) = self.written(kind).get_mut(at) else {
                    return Match::Contradiction;
                };
                let delta = delta.to_string_lossy();
                let Some(part) = delivered.written(kind).get(at) else {
                    *come += delta.len();
                    return Match::New(New::of(chunk));
                };
                let known = known_prefix(&part.text, come, &delta);
                self.is_known |= !delta.is_empty();
                match known {
                    None => Match::Contradiction,
                    Some(known) if known == delta.len() => Match::Known,
                    Some(_) if part.ended => Match::Contradiction,
                    Some(known) => {
                        let new = delta.get(known..).unwrap_or_default();
                        Match::New(New {
                            continued: with(chunk, &part.id, Some(new)),
                            own: with(chunk, id, Some(new)),
                        })
                    }
                }
            }
            Track::End(kind, id) => {
                let Some(at) = self.open.remove(&(kind, id.clone())) else {
                    return Match::Contradiction;
                };
                let ended = held_of_open(id, delivered.written(kind).get(at));
                self.contents = self.contents.saturating_sub(ended);
                match (delivered.written(kind).get(at), self.written(kind).get(at)) {
                    (Some(part), Some(come)) if *come < part.text.len() => Match::Contradiction,
                    (Some(part), _) if part.ended => Match::Known,
                    (Some(part), _) => Match::New(New {
                        continued: with(chunk, &part.id, None),
                        own: chunk.clone(),
                    }),
                    (None, _) => Match::New(New::of(chunk)),
                }
            }
            Track::ToolInput(id, delta) => {
                self.is_known |= delivered.tools.contains_key(id);
                let (come, _) = self.tool(id);
                let delta = delta.to_string_lossy();
                let Some(tool) = delivered.tools.get(id) else {
                    *come += delta.len();
                    return Match::New(New::of(chunk));
                };
                match known_prefix(&tool.input, come, &delta) {
                    None => Match::Contradiction,
                    Some(known) if known == delta.len() => Match::Known,
                    Some(known) => {
                        let new = delta.get(known..).unwrap_or_default().to_owned();
                        Match::New(New::of(&ToolInputDelta::new(id.clone(), new).into()))
                    }
                }
            }
            Track::Tool(id, what) => {
                self.is_known |= delivered.tools.contains_key(id);
                let (_, chunks) = self.tool(id);
                let come = chunks.entry(what).or_default();
                *come += 1;
                let Some(tool) = delivered.tools.get(id) else {
                    return Match::New(New::of(chunk));
                };
                match *come <= tool.chunks.get(what).copied().unwrap_or_default() {
                    true => Match::Known,
                    false => Match::New(New::of(chunk)),
                }
            }
            Track::Preliminary(id) => {
                self.tool(id);
                if !self.preliminary.contains_key(id) {
                    self.contents += 2 * owned(id);
                }
                let come = self.preliminary.entry(id.clone()).or_default();
                *come += 1;
                let Some(tool) = delivered.tools.get(id) else {
                    return Match::New(New::of(chunk));
                };
                self.is_known = true;
                match tool.has_result() || *come <= tool.preliminary {
                    true => Match::Known,
                    false => Match::New(New::of(chunk)),
                }
            }
            Track::Data(id) => {
                let values = delivered.data.get(&id);
                self.is_known |= values.is_some();
                let values = values.map_or(&[][..], Vec::as_slice);
                let value = chunk.encode();
                if !self.data.contains_key(&id) {
                    self.contents += owned(&id.0) + owned(&id.1);
                }
                let come = self.data.entry(id).or_default();
                let mut left = values.iter().skip(*come);
                match left.position(|known| *known == value) {
                    Some(left_out) => {
                        *come += left_out + 1;
                        Match::Known
                    }
                    // A later one, which takes the place of all of them, and is about to be delivered itself.
                    None => {
                        *come = values.len().max(*come) + 1;
                        Match::New(New::of(chunk))
                    }
                }
            }
            Track::Metadata => {
                let known = delivered.metadata.get(self.metadata);
                self.metadata += 1;
                match known.is_some_and(|known| *known == metadata_of(chunk)) {
                    true => Match::Known,
                    false => Match::New(New::of(chunk)),
                }
            }
            Track::Other => {
                let known = delivered.others.get(self.others);
                self.others += 1;
                match known {
                    None => Match::New(New::of(chunk)),
                    Some(known) if *known == chunk.encode() => {
                        self.is_known = true;
                        Match::Known
                    }
                    Some(_) => Match::Contradiction,
                }
            }
            // The end of the run, and not all that was delivered has come again.
            Track::Run if !self.is_all(delivered) => Match::Contradiction,
            Track::Run => Match::New(New::of(chunk)),
        }
    }

    fn written(&mut self, kind: TextKind) -> &mut Vec<Progress> {
        match kind {
            TextKind::Text => &mut self.texts,
            TextKind::Reasoning => &mut self.reasonings,
        }
    }

    /// Whether all that was delivered has come again.
    pub(super) fn is_all(&mut self, delivered: &Tracks) -> bool {
        if !all_come(&delivered.texts, &self.texts, &mut self.whole_texts)
            || !all_come(
                &delivered.reasonings,
                &self.reasonings,
                &mut self.whole_reasonings,
            )
        {
            return false;
        }
        let mut data = delivered.data.iter();
        let has_data = data.all(|(id, values)| {
            let come = self.data.get(id);
            come.is_some_and(|come| *come >= values.len())
        });
        let mut tools = delivered.tools.iter();
        has_data
            && tools.all(|(id, tool)| {
                self.tools.get(id).is_some_and(|(come, chunks)| {
                    let come_of = |what| chunks.get(what).copied().unwrap_or_default();
                    let mut kinds = tool.chunks.iter();
                    *come >= tool.input.len() && kinds.all(|(what, count)| come_of(what) >= *count)
                })
            })
            && self.others >= delivered.others.len()
            && self.metadata >= delivered.metadata.len()
    }
}

/// Whether all parts have come again. How many are known to have is kept, so that none is looked at twice.
fn all_come(delivered: &[Written], come: &[Progress], whole: &mut usize) -> bool {
    while let Some(part) = delivered.get(*whole) {
        match come.get(*whole) {
            Some(come) if *come >= part.text.len() => *whole += 1,
            _ => return false,
        }
    }
    true
}

/// What the ids of a part take that has not ended, here and [behind](Come::behind) what was delivered.
fn held_of_open(id: &Text<'static>, part: Option<&Written>) -> usize {
    2 * owned(id) + part.map_or(0, |part| owned(&part.id))
}

/// Whether it is a delta without a letter.
pub(super) fn is_empty(chunk: &Chunk<'static>) -> bool {
    match Track::of(chunk) {
        Track::Delta(_, _, delta) | Track::ToolInput(_, delta) => *delta == "",
        _ => false,
    }
}

/// The same chunk of another part, and perhaps with another text.
pub(super) fn with(
    chunk: &Chunk<'static>,
    id: &Text<'static>,
    delta: Option<&str>,
) -> Chunk<'static> {
    let mut chunk = chunk.clone();
    let (old_id, old_delta) = match &mut chunk {
        Chunk::TextDelta(chunk) => (&mut chunk.id, Some(&mut chunk.delta)),
        Chunk::ReasoningDelta(chunk) => (&mut chunk.id, Some(&mut chunk.delta)),
        Chunk::TextEnd(chunk) => (&mut chunk.id, None),
        Chunk::ReasoningEnd(chunk) => (&mut chunk.id, None),
        _ => return chunk,
    };
    *old_id = id.clone();
    if let (Some(old), Some(delta)) = (old_delta, delta) {
        *old = delta.to_owned().into();
    }
    chunk
}

/// How much of a delta is known already. `None` if it says something else.
fn known_prefix(known: &str, come: &mut Progress, delta: &str) -> Option<usize> {
    let rest = known.get(*come..).unwrap_or_default();
    let length = rest.len().min(delta.len());
    *come += delta.len();
    (rest.as_bytes().get(..length) == delta.as_bytes().get(..length)).then_some(length)
}
