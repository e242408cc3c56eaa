use std::collections::{BTreeMap, HashMap};

use super::tracks::{DataId, Tool, Track, Tracks, Written, metadata_of};
use crate::ui::chunk::ToolInputDelta;
use crate::ui::{Chunk, Text, TextKind};

/// From so many bytes of text on, the beginning of another stream that is the same is a replay and no coincidence.
const ENOUGH: usize = 16;

/// So much may be new, in chunks, before all that was delivered has come again: what was written in parallel.
const MOST_NEW: usize = 256;

/// So much is held in bytes until it is clear what it is. A stream that has repeated so much is no coincidence.
const MOST_HELD: usize = 1024 * 1024;

/// Finds out whether another stream of a run replays what was delivered, by comparing what comes with it, and goes on
/// behind it.
///
/// ```text
///            ┌── known, or woven into what is known ──┐
///            ▼                                        │
///  push ─► unclear ─── all has come again ──► a replay: what is new comes through
///            │
///            └── a contradiction, or news before anything known ──► joined in the middle
/// ```
#[derive(Debug)]
pub(in crate::runs) struct Replay {
    /// How much of what was delivered has come again.
    come: Come,
    /// `None` once it is clear that it is a replay.
    held: Option<Held>,
}

/// What has come, until it is clear what it is.
#[derive(Debug, Default)]
struct Held {
    /// All of it, while it is not too long. Should more than that contradict, nothing of it can be told apart.
    chunks: Vec<Chunk<'static>>,
    bytes: usize,
    /// What of it is new if it is a replay.
    new: Vec<New>,
}

#[derive(Debug, Default)]
struct Come {
    written: HashMap<TextKind, Rewritten>,
    /// Which of them have not ended, by their ids in this stream.
    open: HashMap<(TextKind, Text<'static>), usize>,
    /// The input and the chunks of each tool call.
    tools: HashMap<Text<'static>, (usize, BTreeMap<&'static str, usize>)>,
    /// How many values of each data part, those included that were left out.
    data: HashMap<DataId, usize>,
    others: usize,
    metadata: usize,
    /// Whether any content was there before.
    is_known: bool,
}

/// The texts or the reasonings that have come again.
#[derive(Debug, Default)]
struct Rewritten {
    parts: Vec<Progress>,
    /// How many from the first on are known to be all there, so that none is looked at twice.
    whole: usize,
}

/// How many bytes of a part have come again; the n-th that starts is the n-th that was delivered.
type Progress = usize;

/// What a chunk has shown.
#[derive(Debug, PartialEq)]
pub(in crate::runs) enum Sight {
    /// Nothing yet; it is held.
    Unclear,
    /// It is a replay; this of it is new.
    New(Vec<Chunk<'static>>),
    /// So little was delivered that the likeness may be by chance, and nothing that comes later can be compared with it. This is new, with
    /// the ids of its own stream. What was woven into the likeness is not told: it may not stand right behind what was delivered.
    NewPerhaps(Vec<Chunk<'static>>),
    /// It has joined in the middle; this is all that has come.
    Joined(Vec<Chunk<'static>>),
    /// It has repeated a lot, and then said something else.
    Useless,
}

/// What one chunk is to a replay.
#[expect(
    clippy::large_enum_variant,
    reason = "it is handed over once and never stored"
)]
enum Match {
    Known,
    New(New),
    Contradiction,
}

/// What is new of a chunk.
#[derive(Debug)]
struct New {
    /// As it goes on behind what was delivered: in a part with the id that this was delivered under.
    continued: Chunk<'static>,
    /// With the id of its own stream.
    own: Chunk<'static>,
}

impl Replay {
    pub(in crate::runs) fn new() -> Self {
        Self {
            come: Come::default(),
            held: Some(Held::default()),
        }
    }

    /// Whether it is clear that it is one.
    pub(in crate::runs) fn is_one(&self) -> bool {
        self.held.is_none()
    }

    /// Takes the next chunk of the stream, without its `start`, and compares it with what was `delivered`: what was there when the
    /// stream began, and what has come of the stream since.
    pub(in crate::runs) fn push(&mut self, chunk: Chunk<'static>, delivered: &Tracks) -> Sight {
        let found = self.come.compare(&chunk, delivered);
        let Some(held) = &mut self.held else {
            return Sight::New(match found {
                Match::Known => Vec::new(),
                Match::New(new) => vec![new.continued],
                Match::Contradiction => vec![chunk],
            });
        };
        let is_new = matches!(found, Match::New(_));
        match found {
            // Of deltas without a letter all else that is known has come before, and they say nothing.
            Match::Known if is_empty(&chunk) => {}
            Match::Known => held.keep(chunk),
            Match::New(new) => {
                held.keep(chunk);
                held.new.push(new);
            }
            Match::Contradiction => {
                held.keep(chunk);
                return held.is_no_replay();
            }
        }
        if self.come.is_all(delivered) {
            let new = std::mem::take(&mut held.new).into_iter();
            let (length, has_tools) = delivered.telling();
            if length < ENOUGH && !has_tools {
                // Where a letter was delivered, only the last may stand right behind it.
                let woven = match (length, is_new) {
                    (0, _) => 0,
                    (_, true) => new.len() - 1,
                    (_, false) => new.len(),
                };
                return Sight::NewPerhaps(new.skip(woven).map(|new| new.own).collect());
            }
            self.held = None;
            return Sight::New(new.map(|new| new.continued).collect());
        }
        // Other content before any that is known: that is no beginning.
        if is_new && (!self.come.is_known || held.new.len() > MOST_NEW) {
            return held.is_no_replay();
        }
        Sight::Unclear
    }
}

impl New {
    fn of(chunk: &Chunk<'static>) -> Self {
        Self {
            continued: chunk.clone(),
            own: chunk.clone(),
        }
    }
}

impl Held {
    fn keep(&mut self, chunk: Chunk<'static>) {
        self.bytes += size_of::<Chunk<'static>>()
            + match Track::of(&chunk) {
                Track::Delta(_, _, delta) | Track::ToolInput(_, delta) => {
                    delta.to_string_lossy().len()
                }
                _ => chunk.encode().len(),
            };
        match self.is_too_long() {
            true => self.chunks = Vec::new(),
            false => self.chunks.push(chunk),
        }
    }

    fn is_too_long(&self) -> bool {
        self.bytes > MOST_HELD
    }

    /// It has joined in the middle, or repeated a lot and then said something else.
    fn is_no_replay(&mut self) -> Sight {
        match self.is_too_long() {
            true => Sight::Useless,
            false => Sight::Joined(std::mem::take(&mut self.chunks)),
        }
    }
}

impl Come {
    fn compare(&mut self, chunk: &Chunk<'static>, delivered: &Tracks) -> Match {
        match Track::of(chunk) {
            Track::Start(kind, id) => {
                let come = self.written(kind);
                let at = come.len();
                come.push(0);
                self.open.insert((kind, id.clone()), at);
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
                let (come, _) = self.tools.entry(id.clone()).or_default();
                let delta = delta.to_string_lossy();
                let Some(tool) = delivered.tools.get(id) else {
                    *come += delta.len();
                    return Match::New(New::of(chunk));
                };
                self.is_known = true;
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
                let (_, chunks) = self.tools.entry(id.clone()).or_default();
                let come = chunks.entry(what).or_default();
                *come += 1;
                let Some(tool) = delivered.tools.get(id) else {
                    return Match::New(New::of(chunk));
                };
                self.is_known = true;
                let is_replaced = what == Tool::PRELIMINARY && tool.has_result();
                match is_replaced || *come <= tool.chunks.get(what).copied().unwrap_or_default() {
                    true => Match::Known,
                    false => Match::New(New::of(chunk)),
                }
            }
            Track::Data(id) => {
                let values = delivered.data.get(&id);
                self.is_known |= values.is_some();
                let values = values.map_or(&[][..], Vec::as_slice);
                let value = chunk.encode();
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
        &mut self.written.entry(kind).or_default().parts
    }

    /// Whether all that was delivered has come again.
    fn is_all(&mut self, delivered: &Tracks) -> bool {
        let mut written = delivered.written.iter();
        if !written.all(|(kind, parts)| self.written.entry(*kind).or_default().has_all(parts)) {
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
                    let mut kinds = tool.chunks.iter();
                    let has_all = kinds.all(|(what, count)| {
                        let come = chunks.get(what).copied().unwrap_or_default();
                        *what == Tool::PRELIMINARY || come >= *count
                    });
                    has_all && *come >= tool.input.len()
                })
            })
            && self.others >= delivered.others.len()
            && self.metadata >= delivered.metadata.len()
    }
}

impl Rewritten {
    /// Whether all these parts have come again.
    fn has_all(&mut self, delivered: &[Written]) -> bool {
        while let Some(part) = delivered.get(self.whole) {
            match self.parts.get(self.whole) {
                Some(come) if *come >= part.text.len() => self.whole += 1,
                _ => return false,
            }
        }
        true
    }
}

/// Whether it is a delta without a letter.
fn is_empty(chunk: &Chunk<'static>) -> bool {
    match Track::of(chunk) {
        Track::Delta(_, _, delta) | Track::ToolInput(_, delta) => *delta == "",
        _ => false,
    }
}

/// The same chunk of another part, and perhaps with another text.
fn with(chunk: &Chunk<'static>, id: &Text<'static>, delta: Option<&str>) -> Chunk<'static> {
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
