use std::collections::BTreeMap;

use crate::ui::chunk::{ReasoningDelta, ReasoningEnd, TextDelta, TextEnd, ToolInputDelta};
use crate::ui::{Chunk, Text};

/// From so many characters on, the beginning of another stream that is the same is a replay and no coincidence.
const ENOUGH: usize = 16;

/// What was delivered, one track for each thing that comes in an order of its own: two readers of a run are sent the same
/// contents, but deltas are cut elsewhere, texts have other ids, and what is written in parallel may be woven otherwise.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracks {
    texts: Vec<Written>,
    reasonings: Vec<Written>,
    tools: Vec<Tool>,
    /// All other chunks of content, as JSON.
    others: Vec<String>,
    metadata: usize,
}

#[derive(Debug, Clone)]
struct Written {
    id: Text<'static>,
    text: String,
    ended: bool,
}

#[derive(Debug, Clone)]
struct Tool {
    id: Text<'static>,
    input: String,
    /// How many chunks of each type, deltas aside.
    chunks: BTreeMap<String, usize>,
}

/// Where a chunk belongs.
enum Track<'c> {
    Start(Kind, &'c Text<'static>),
    Delta(Kind, &'c Text<'static>, &'c Text<'static>),
    End(Kind, &'c Text<'static>),
    ToolInput(&'c Text<'static>, &'c Text<'static>),
    Tool(&'c Text<'static>),
    Metadata,
    Other,
    /// About the run and not of its content.
    Run,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Reasoning,
}

impl<'c> Track<'c> {
    fn of(chunk: &'c Chunk<'static>) -> Self {
        match chunk {
            Chunk::TextStart(chunk) => Self::Start(Kind::Text, &chunk.id),
            Chunk::ReasoningStart(chunk) => Self::Start(Kind::Reasoning, &chunk.id),
            Chunk::TextDelta(chunk) => Self::Delta(Kind::Text, &chunk.id, &chunk.delta),
            Chunk::ReasoningDelta(chunk) => Self::Delta(Kind::Reasoning, &chunk.id, &chunk.delta),
            Chunk::TextEnd(chunk) => Self::End(Kind::Text, &chunk.id),
            Chunk::ReasoningEnd(chunk) => Self::End(Kind::Reasoning, &chunk.id),
            Chunk::ToolInputDelta(chunk) => {
                Self::ToolInput(&chunk.tool_call_id, &chunk.input_text_delta)
            }
            Chunk::ToolInputStart(chunk) => Self::Tool(&chunk.tool_call_id),
            Chunk::ToolInputAvailable(chunk) => Self::Tool(&chunk.tool_call_id),
            Chunk::ToolInputError(chunk) => Self::Tool(&chunk.tool_call_id),
            Chunk::ToolOutputAvailable(chunk) => Self::Tool(&chunk.tool_call_id),
            Chunk::ToolOutputError(chunk) => Self::Tool(&chunk.tool_call_id),
            Chunk::ToolOutputDenied(chunk) => Self::Tool(&chunk.tool_call_id),
            Chunk::ToolApprovalRequest(chunk) => Self::Tool(&chunk.tool_call_id),
            Chunk::MessageMetadata(_) => Self::Metadata,
            Chunk::Start(_) | Chunk::Finish(_) | Chunk::Error(_) | Chunk::Abort(_) => Self::Run,
            _ => Self::Other,
        }
    }
}

impl Tracks {
    pub(super) fn record(&mut self, chunk: &Chunk<'static>) {
        match Track::of(chunk) {
            Track::Start(kind, id) => self.written(kind).push(Written {
                id: id.clone(),
                text: String::new(),
                ended: false,
            }),
            Track::Delta(kind, id, delta) => {
                if let Some(part) = open(self.written(kind), id) {
                    part.text.push_str(&delta.to_string_lossy());
                }
            }
            Track::End(kind, id) => {
                if let Some(part) = open(self.written(kind), id) {
                    part.ended = true;
                }
            }
            Track::ToolInput(id, delta) => self.tool(id).input.push_str(&delta.to_string_lossy()),
            Track::Tool(id) => {
                let kind = chunk.kind().into_string_lossy();
                *self.tool(id).chunks.entry(kind).or_default() += 1;
            }
            Track::Metadata => self.metadata += 1,
            Track::Other => self.others.push(chunk.encode()),
            Track::Run => {}
        }
    }

    fn written(&mut self, kind: Kind) -> &mut Vec<Written> {
        match kind {
            Kind::Text => &mut self.texts,
            Kind::Reasoning => &mut self.reasonings,
        }
    }

    fn tool(&mut self, id: &Text<'static>) -> &mut Tool {
        let at = match self.tools.iter().position(|tool| tool.id == *id) {
            Some(at) => at,
            None => {
                self.tools.push(Tool {
                    id: id.clone(),
                    input: String::new(),
                    chunks: BTreeMap::new(),
                });
                self.tools.len() - 1
            }
        };
        &mut self.tools[at]
    }

    /// Whether there is enough of it to be recognized.
    fn is_telling(&self) -> bool {
        let written = self.texts.iter().chain(&self.reasonings);
        let characters: usize = written.map(|part| part.text.len()).sum();
        characters >= ENOUGH || !self.tools.is_empty()
    }
}

fn open<'a>(parts: &'a mut [Written], id: &Text<'static>) -> Option<&'a mut Written> {
    let mut parts = parts.iter_mut().rev();
    parts.find(|part| part.id == *id && !part.ended)
}

/// Finds out whether another stream of a run replays what was delivered, by comparing what comes with it, and goes on
/// behind it.
#[derive(Debug)]
pub(super) struct Replay {
    /// What was delivered when the stream began.
    delivered: Tracks,
    /// How much of it has come again.
    come: Come,
    /// What has come, until it is clear what it is.
    held: Vec<Chunk<'static>>,
    /// What of it is new if it is a replay.
    new: Vec<Chunk<'static>>,
    is_replay: bool,
}

#[derive(Debug, Default)]
struct Come {
    texts: Vec<Progress>,
    reasonings: Vec<Progress>,
    /// The input and the chunks of each tool call.
    tools: BTreeMap<usize, (usize, BTreeMap<String, usize>)>,
    others: usize,
    metadata: usize,
}

/// How far a part has come again; the n-th that starts is the n-th that was delivered.
#[derive(Debug)]
struct Progress {
    /// Its id in this stream.
    id: Text<'static>,
    bytes: usize,
    ended: bool,
}

/// What a chunk has shown.
#[derive(Debug, PartialEq)]
pub(super) enum Sight {
    /// Nothing yet; it is held.
    Unclear,
    /// It is a replay; this of it is new.
    New(Vec<Chunk<'static>>),
    /// It is a replay, from here on, and this is new. But so little was delivered that the likeness may be by chance.
    NewPerhaps(Vec<Chunk<'static>>),
    /// It has joined in the middle; this is all that has come.
    Joined(Vec<Chunk<'static>>),
}

/// What one chunk is to a replay.
enum Match {
    Known,
    New(Option<Chunk<'static>>),
    Contradiction,
}

impl Replay {
    pub(super) fn of(delivered: Tracks) -> Self {
        Self {
            delivered,
            come: Come::default(),
            held: Vec::new(),
            new: Vec::new(),
            is_replay: false,
        }
    }

    /// Takes the next chunk of the stream, without its `start`.
    pub(super) fn push(&mut self, chunk: Chunk<'static>) -> Sight {
        let found = self.compare(&chunk);
        if self.is_replay {
            return Sight::New(match found {
                Match::Known => Vec::new(),
                Match::New(new) => new.into_iter().collect(),
                Match::Contradiction => vec![chunk],
            });
        }
        self.held.push(chunk);
        match found {
            Match::Contradiction => return Sight::Joined(std::mem::take(&mut self.held)),
            Match::New(new) => self.new.extend(new),
            Match::Known => {}
        }
        if !self.is_complete() {
            return Sight::Unclear;
        }
        self.is_replay = true;
        self.held = Vec::new();
        let new = std::mem::take(&mut self.new);
        if self.delivered.is_telling() {
            Sight::New(new)
        } else {
            Sight::NewPerhaps(new)
        }
    }

    fn compare(&mut self, chunk: &Chunk<'static>) -> Match {
        match Track::of(chunk) {
            Track::Start(kind, id) => {
                let (delivered, come) = self.written(kind);
                come.push(Progress {
                    id: id.clone(),
                    bytes: 0,
                    ended: false,
                });
                match delivered.len() < come.len() {
                    true => Match::New(Some(chunk.clone())),
                    false => Match::Known,
                }
            }
            Track::Delta(kind, id, delta) => {
                let (delivered, come) = self.written(kind);
                let Some((at, progress)) = progress(come, id) else {
                    return Match::Contradiction;
                };
                let Some(part) = delivered.get(at) else {
                    return Match::New(Some(chunk.clone()));
                };
                let delta = delta.to_string_lossy();
                match known_prefix(&part.text, &mut progress.bytes, &delta) {
                    None => Match::Contradiction,
                    Some(known) if known == delta.len() => Match::Known,
                    Some(_) if part.ended => Match::Contradiction,
                    Some(known) => {
                        let new = delta.get(known..).unwrap_or_default().to_owned();
                        Match::New(Some(kind.delta(part.id.clone(), new)))
                    }
                }
            }
            Track::End(kind, id) => {
                let (delivered, come) = self.written(kind);
                let Some((at, progress)) = progress(come, id) else {
                    return Match::Contradiction;
                };
                progress.ended = true;
                match delivered.get(at) {
                    None => Match::New(Some(chunk.clone())),
                    Some(part) if progress.bytes < part.text.len() => Match::Contradiction,
                    Some(part) if part.ended => Match::Known,
                    Some(part) => Match::New(Some(kind.end(part.id.clone()))),
                }
            }
            Track::ToolInput(id, delta) => {
                let Some(at) = self.tool(id) else {
                    return Match::New(Some(chunk.clone()));
                };
                let (Some(tool), (bytes, _)) = (
                    self.delivered.tools.get(at),
                    self.come.tools.entry(at).or_default(),
                ) else {
                    return Match::Contradiction;
                };
                let delta = delta.to_string_lossy();
                match known_prefix(&tool.input, bytes, &delta) {
                    None => Match::Contradiction,
                    Some(known) if known == delta.len() => Match::Known,
                    Some(known) => {
                        let new = delta.get(known..).unwrap_or_default().to_owned();
                        Match::New(Some(ToolInputDelta::new(id.clone(), new).into()))
                    }
                }
            }
            Track::Tool(id) => {
                let Some(at) = self.tool(id) else {
                    return Match::New(Some(chunk.clone()));
                };
                let kind = chunk.kind().into_string_lossy();
                let known = self.delivered.tools.get(at);
                let known = known.and_then(|tool| tool.chunks.get(&kind)).copied();
                let (_, chunks) = self.come.tools.entry(at).or_default();
                let come = chunks.entry(kind).or_default();
                *come += 1;
                match *come <= known.unwrap_or_default() {
                    true => Match::Known,
                    false => Match::New(Some(chunk.clone())),
                }
            }
            Track::Metadata => {
                self.come.metadata += 1;
                match self.come.metadata <= self.delivered.metadata {
                    true => Match::Known,
                    false => Match::New(Some(chunk.clone())),
                }
            }
            Track::Other => {
                let known = self.delivered.others.get(self.come.others);
                self.come.others += 1;
                match known {
                    None => Match::New(Some(chunk.clone())),
                    Some(known) if *known == chunk.encode() => Match::Known,
                    Some(_) => Match::Contradiction,
                }
            }
            // The end of the run, and not all that was delivered has come again.
            Track::Run if !self.is_complete() => Match::Contradiction,
            Track::Run => Match::New(Some(chunk.clone())),
        }
    }

    fn written(&mut self, kind: Kind) -> (&[Written], &mut Vec<Progress>) {
        match kind {
            Kind::Text => (&self.delivered.texts, &mut self.come.texts),
            Kind::Reasoning => (&self.delivered.reasonings, &mut self.come.reasonings),
        }
    }

    fn tool(&self, id: &Text<'static>) -> Option<usize> {
        self.delivered.tools.iter().position(|tool| tool.id == *id)
    }

    /// Whether all that was delivered has come again.
    fn is_complete(&self) -> bool {
        let all = |delivered: &[Written], come: &[Progress]| {
            let parts = delivered.iter().enumerate();
            let mut parts = parts.map(|(at, part)| (part, come.get(at)));
            parts.all(|(part, come)| come.is_some_and(|come| come.bytes >= part.text.len()))
        };
        let mut tools = self.delivered.tools.iter().enumerate();
        all(&self.delivered.texts, &self.come.texts)
            && all(&self.delivered.reasonings, &self.come.reasonings)
            && tools.all(|(at, tool)| {
                self.come.tools.get(&at).is_some_and(|(bytes, chunks)| {
                    let come = |kind: &String| chunks.get(kind).copied().unwrap_or_default();
                    let mut kinds = tool.chunks.iter();
                    *bytes >= tool.input.len() && kinds.all(|(kind, count)| come(kind) >= *count)
                })
            })
            && self.come.others >= self.delivered.others.len()
            && self.come.metadata >= self.delivered.metadata
    }
}

fn progress<'a>(come: &'a mut [Progress], id: &Text<'static>) -> Option<(usize, &'a mut Progress)> {
    let mut parts = come.iter_mut().enumerate().rev();
    parts.find(|(_, part)| part.id == *id && !part.ended)
}

/// How much of a delta is known already. `None` if it says something else.
fn known_prefix(known: &str, come: &mut usize, delta: &str) -> Option<usize> {
    let rest = known.get(*come..).unwrap_or_default();
    let length = rest.len().min(delta.len());
    *come += delta.len();
    (rest.as_bytes().get(..length) == delta.as_bytes().get(..length)).then_some(length)
}

impl Kind {
    pub(super) fn delta(self, id: Text<'static>, delta: String) -> Chunk<'static> {
        match self {
            Self::Text => TextDelta::new(id, delta).into(),
            Self::Reasoning => ReasoningDelta::new(id, delta).into(),
        }
    }

    pub(super) fn end(self, id: Text<'static>) -> Chunk<'static> {
        match self {
            Self::Text => TextEnd::new(id).into(),
            Self::Reasoning => ReasoningEnd::new(id).into(),
        }
    }
}
