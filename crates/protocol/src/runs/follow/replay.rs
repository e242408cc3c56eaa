use std::collections::{BTreeMap, HashMap};

use crate::ui::chunk::{ReasoningDelta, ReasoningEnd, TextDelta, TextEnd, ToolInputDelta};
use crate::ui::{Chunk, Text};

/// From so many characters on, the beginning of another stream that is the same is a replay and no coincidence.
const ENOUGH: usize = 16;

/// So much may be new, in chunks, before all that was delivered has come again: what was written in parallel.
const MOST_NEW: usize = 256;

/// So many deltas without a letter are held until it is clear what they are part of. More say nothing.
const MOST_EMPTY: usize = 256;

/// What was delivered, one track for each thing that comes in an order of its own: two readers of a run are sent the same
/// contents, but deltas are cut elsewhere, texts have other ids, and what is written in parallel may be woven otherwise.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracks {
    texts: Vec<Written>,
    reasonings: Vec<Written>,
    /// Which of them have not ended.
    open: HashMap<(Kind, Text<'static>), usize>,
    tools: HashMap<Text<'static>, Tool>,
    /// The values of each data part that is known by its name and id, as JSON. The last counts; another stream may leave out the others.
    data: HashMap<DataId, Vec<String>>,
    /// All other chunks of content, as JSON.
    others: Vec<String>,
    metadata: usize,
}

type DataId = (Text<'static>, Text<'static>);

#[derive(Debug, Clone)]
struct Written {
    id: Text<'static>,
    text: String,
    ended: bool,
}

#[derive(Debug, Clone, Default)]
struct Tool {
    input: String,
    /// How many chunks of each type, deltas aside.
    chunks: BTreeMap<String, usize>,
    /// How many outputs that another replaces. Another stream may leave them out.
    preliminary: usize,
}

/// Where a chunk belongs.
enum Track<'c> {
    Start(Kind, &'c Text<'static>),
    Delta(Kind, &'c Text<'static>, &'c Text<'static>),
    End(Kind, &'c Text<'static>),
    ToolInput(&'c Text<'static>, &'c Text<'static>),
    Tool(&'c Text<'static>),
    Preliminary(&'c Text<'static>),
    Data(DataId),
    Metadata,
    Other,
    /// About the run and not of its content.
    Run,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
            Chunk::ToolOutputAvailable(chunk) => match chunk.preliminary {
                Some(true) => Self::Preliminary(&chunk.tool_call_id),
                _ => Self::Tool(&chunk.tool_call_id),
            },
            Chunk::ToolOutputError(chunk) => Self::Tool(&chunk.tool_call_id),
            Chunk::ToolOutputDenied(chunk) => Self::Tool(&chunk.tool_call_id),
            Chunk::ToolApprovalRequest(chunk) => Self::Tool(&chunk.tool_call_id),
            Chunk::Data(chunk) => match &chunk.id {
                Some(id) => Self::Data((chunk.name.clone(), id.clone())),
                None => Self::Other,
            },
            Chunk::MessageMetadata(_) => Self::Metadata,
            Chunk::Start(_) | Chunk::Finish(_) | Chunk::Error(_) | Chunk::Abort(_) => Self::Run,
            _ => Self::Other,
        }
    }
}

impl Tracks {
    pub(super) fn record(&mut self, chunk: &Chunk<'static>) {
        match Track::of(chunk) {
            Track::Start(kind, id) => {
                let parts = self.written(kind);
                let at = parts.len();
                parts.push(Written {
                    id: id.clone(),
                    text: String::new(),
                    ended: false,
                });
                self.open.insert((kind, id.clone()), at);
            }
            Track::Delta(kind, id, delta) => {
                if let Some(at) = self.open.get(&(kind, id.clone())).copied()
                    && let Some(part) = self.written(kind).get_mut(at)
                {
                    part.text.push_str(&delta.to_string_lossy());
                }
            }
            Track::End(kind, id) => {
                if let Some(at) = self.open.remove(&(kind, id.clone()))
                    && let Some(part) = self.written(kind).get_mut(at)
                {
                    part.ended = true;
                }
            }
            Track::ToolInput(id, delta) => self.tool(id).input.push_str(&delta.to_string_lossy()),
            Track::Tool(id) => {
                let kind = chunk.kind().into_string_lossy();
                *self.tool(id).chunks.entry(kind).or_default() += 1;
            }
            Track::Preliminary(id) => self.tool(id).preliminary += 1,
            Track::Data(id) => self.data.entry(id).or_default().push(chunk.encode()),
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
        self.tools.entry(id.clone()).or_default()
    }

    /// Whether there is enough of it to be recognized.
    fn is_telling(&self) -> bool {
        let written = self.texts.iter().chain(&self.reasonings);
        let characters: usize = written.map(|part| part.text.len()).sum();
        characters >= ENOUGH || !self.tools.is_empty()
    }
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
    /// How many of these are deltas without a letter.
    held_empty: usize,
    /// What of it is new if it is a replay.
    new: Vec<Chunk<'static>>,
    is_replay: bool,
}

#[derive(Debug, Default)]
struct Come {
    texts: Vec<Progress>,
    reasonings: Vec<Progress>,
    whole_texts: usize,
    whole_reasonings: usize,
    /// Which of them have not ended, by their ids in this stream.
    open: HashMap<(Kind, Text<'static>), usize>,
    /// The input and the chunks of each tool call.
    tools: HashMap<Text<'static>, (usize, BTreeMap<String, usize>)>,
    preliminary: HashMap<Text<'static>, usize>,
    /// How many values of each data part, those included that were left out.
    data: HashMap<DataId, usize>,
    others: usize,
    metadata: usize,
}

/// How far a part has come again; the n-th that starts is the n-th that was delivered.
#[derive(Debug, Default)]
struct Progress {
    bytes: usize,
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
            held_empty: 0,
            new: Vec::new(),
            is_replay: false,
        }
    }

    /// Whether it is clear that it is one.
    pub(super) fn is_replay(&self) -> bool {
        self.is_replay
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
        // All else that is known has come before, and is no more than that.
        if matches!(found, Match::Known) && is_empty(&chunk) {
            self.held_empty += 1;
            if self.held_empty > MOST_EMPTY {
                return Sight::Unclear;
            }
        }
        self.held.push(chunk);
        let is_new = matches!(found, Match::New(_));
        match found {
            Match::Contradiction => return Sight::Joined(std::mem::take(&mut self.held)),
            Match::New(new) => self.new.extend(new),
            Match::Known => {}
        }
        if !self.is_complete() {
            // Other content before any that is known: that is no beginning.
            let is_joined = is_new && (!self.is_known() || self.new.len() > MOST_NEW);
            return match is_joined {
                true => Sight::Joined(std::mem::take(&mut self.held)),
                false => Sight::Unclear,
            };
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
                let at = come.len();
                come.push(Progress::default());
                let is_new = delivered.len() <= at;
                self.come.open.insert((kind, id.clone()), at);
                match is_new {
                    true => Match::New(Some(chunk.clone())),
                    false => Match::Known,
                }
            }
            Track::Delta(kind, id, delta) => {
                let Some(at) = self.come.open.get(&(kind, id.clone())).copied() else {
                    return Match::Contradiction;
                };
                let (delivered, come) = self.written(kind);
                let (Some(part), Some(progress)) = (delivered.get(at), come.get_mut(at)) else {
                    return Match::New(Some(chunk.clone()));
                };
                let delta = delta.to_string_lossy();
                match known_prefix(&part.text, &mut progress.bytes, &delta) {
                    None => Match::Contradiction,
                    Some(known) if known == delta.len() => Match::Known,
                    Some(_) if part.ended => Match::Contradiction,
                    Some(known) => {
                        let new = delta.get(known..).unwrap_or_default().to_owned();
                        Match::New(Some(with(chunk, &part.id, Some(new))))
                    }
                }
            }
            Track::End(kind, id) => {
                let Some(at) = self.come.open.remove(&(kind, id.clone())) else {
                    return Match::Contradiction;
                };
                let (delivered, come) = self.written(kind);
                match (delivered.get(at), come.get(at)) {
                    (Some(part), Some(come)) if come.bytes < part.text.len() => {
                        Match::Contradiction
                    }
                    (Some(part), _) if part.ended => Match::Known,
                    (Some(part), _) => Match::New(Some(with(chunk, &part.id, None))),
                    (None, _) => Match::New(Some(chunk.clone())),
                }
            }
            Track::ToolInput(id, delta) => {
                let Some(tool) = self.delivered.tools.get(id) else {
                    return Match::New(Some(chunk.clone()));
                };
                let (bytes, _) = self.come.tools.entry(id.clone()).or_default();
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
                let Some(tool) = self.delivered.tools.get(id) else {
                    return Match::New(Some(chunk.clone()));
                };
                let kind = chunk.kind().into_string_lossy();
                let known = tool.chunks.get(&kind).copied();
                let (_, chunks) = self.come.tools.entry(id.clone()).or_default();
                let come = chunks.entry(kind).or_default();
                *come += 1;
                match *come <= known.unwrap_or_default() {
                    true => Match::Known,
                    false => Match::New(Some(chunk.clone())),
                }
            }
            Track::Preliminary(id) => {
                let Some(tool) = self.delivered.tools.get(id) else {
                    return Match::New(Some(chunk.clone()));
                };
                self.come.tools.entry(id.clone()).or_default();
                let come = self.come.preliminary.entry(id.clone()).or_default();
                *come += 1;
                let has_final = tool
                    .chunks
                    .keys()
                    .any(|kind| kind.starts_with("tool-output"));
                match has_final || *come <= tool.preliminary {
                    true => Match::Known,
                    false => Match::New(Some(chunk.clone())),
                }
            }
            Track::Data(id) => {
                let Some(values) = self.delivered.data.get(&id) else {
                    return Match::New(Some(chunk.clone()));
                };
                let value = chunk.encode();
                let come = self.come.data.entry(id).or_default();
                let mut left = values.iter().skip(*come);
                match left.position(|known| *known == value) {
                    Some(left_out) => {
                        *come += left_out + 1;
                        Match::Known
                    }
                    // A later one, which takes the place of all of them.
                    None => {
                        *come = values.len();
                        Match::New(Some(chunk.clone()))
                    }
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

    /// Whether anything has come again that is content.
    fn is_known(&self) -> bool {
        let mut written = self.come.texts.iter().chain(&self.come.reasonings);
        written.any(|part| part.bytes > 0)
            || !self.come.tools.is_empty()
            || !self.come.data.is_empty()
            || self.come.others > 0
    }

    /// Whether all that was delivered has come again.
    fn is_complete(&mut self) -> bool {
        let come = &mut self.come;
        if !all_come(&self.delivered.texts, &come.texts, &mut come.whole_texts)
            || !all_come(
                &self.delivered.reasonings,
                &come.reasonings,
                &mut come.whole_reasonings,
            )
        {
            return false;
        }
        let mut data = self.delivered.data.iter();
        let has_data = data.all(|(id, values)| {
            let come = come.data.get(id);
            come.is_some_and(|come| *come >= values.len())
        });
        let mut tools = self.delivered.tools.iter();
        has_data
            && tools.all(|(id, tool)| {
                come.tools.get(id).is_some_and(|(bytes, chunks)| {
                    let come = |kind: &String| chunks.get(kind).copied().unwrap_or_default();
                    let mut kinds = tool.chunks.iter();
                    *bytes >= tool.input.len() && kinds.all(|(kind, count)| come(kind) >= *count)
                })
            })
            && come.others >= self.delivered.others.len()
            && come.metadata >= self.delivered.metadata
    }
}

/// Whether all parts have come again. How many are known to have is kept, so that none is looked at twice.
fn all_come(delivered: &[Written], come: &[Progress], whole: &mut usize) -> bool {
    while let Some(part) = delivered.get(*whole) {
        match come.get(*whole) {
            Some(come) if come.bytes >= part.text.len() => *whole += 1,
            _ => return false,
        }
    }
    true
}

/// Whether it is a delta without a letter.
fn is_empty(chunk: &Chunk<'static>) -> bool {
    match Track::of(chunk) {
        Track::Delta(_, _, delta) | Track::ToolInput(_, delta) => *delta == "",
        _ => false,
    }
}

/// The same chunk of another part, and perhaps with another text.
fn with(chunk: &Chunk<'static>, id: &Text<'static>, delta: Option<String>) -> Chunk<'static> {
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
        *old = delta.into();
    }
    chunk
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::RawJson;
    use crate::ui::chunk::{Data, TextStart, ToolInputAvailable, ToolOutputAvailable};

    fn replay(delivered: &[Chunk<'static>]) -> Replay {
        let mut tracks = Tracks::default();
        delivered.iter().for_each(|chunk| tracks.record(chunk));
        Replay::of(tracks)
    }

    fn value(value: i32) -> RawJson<'static> {
        RawJson::from_value(&value).unwrap()
    }

    #[test]
    fn deltas_that_say_nothing_are_not_held_without_end() {
        let mut replay = replay(&[
            TextStart::new("1").into(),
            TextDelta::new("1", "This is how it begins.").into(),
        ]);
        assert_eq!(replay.push(TextStart::new("9").into()), Sight::Unclear);
        for _ in 0..10 * MOST_EMPTY {
            let empty = TextDelta::new("9", "");
            assert_eq!(replay.push(empty.into()), Sight::Unclear);
        }
        assert!(replay.held.len() <= MOST_EMPTY + 1);
        let rest = TextDelta::new("9", "This is how it begins. And goes on.");
        let new = TextDelta::new("1", " And goes on.");
        assert_eq!(replay.push(rest.into()), Sight::New(vec![new.into()]));
    }

    #[test]
    fn a_replay_may_leave_out_what_was_replaced() {
        let input: Chunk<'static> = ToolInputAvailable::new("t", "x").input(value(0)).into();
        let output = |output| ToolOutputAvailable::new("t").output(value(output));
        let data = |data| -> Chunk<'static> { Data::new("x").id("p").data(value(data)).into() };
        let mut replay = replay(&[
            input.clone(),
            output(1).preliminary(true).into(),
            output(2).preliminary(true).into(),
            data(1),
            data(2),
        ]);
        assert_eq!(replay.push(input), Sight::Unclear);
        assert_eq!(replay.push(output(3).into()), Sight::Unclear);
        let new = vec![output(3).into(), data(3)];
        assert_eq!(replay.push(data(3)), Sight::New(new));
        assert_eq!(replay.push(data(4)), Sight::New(vec![data(4)]));
    }

    #[test]
    fn a_replay_may_repeat_what_was_replaced() {
        let input: Chunk<'static> = ToolInputAvailable::new("t", "x").input(value(0)).into();
        let output = |output| ToolOutputAvailable::new("t").output(value(output));
        let data = |data| -> Chunk<'static> { Data::new("x").id("p").data(value(data)).into() };
        let delivered = [
            input,
            output(1).preliminary(true).into(),
            data(1),
            output(2).into(),
            data(2),
        ];
        let mut replay = replay(&delivered);
        let (last, before) = delivered.split_last().unwrap();
        for chunk in before {
            assert_eq!(replay.push(chunk.clone()), Sight::Unclear);
        }
        assert_eq!(replay.push(last.clone()), Sight::New(Vec::new()));
        let late = output(2).preliminary(true);
        assert_eq!(replay.push(late.into()), Sight::New(Vec::new()));
    }
}
