use std::collections::HashMap;

use super::room::Places;
use crate::ui::held::owned;
use crate::ui::{Chunk, Text, TextKind};

/// What has come of a run, one track for each thing that comes in an order of its own: two readers of a run are sent the same
/// contents, but deltas are cut elsewhere, texts have other ids, and what is written in parallel may be woven otherwise.
///
/// Of what was delivered all is kept, and of a stream that is compared with it how much has come again.
#[derive(Debug)]
pub(in crate::runs) struct Tracks<T> {
    tracks: HashMap<Track, T>,
    /// How many texts and reasonings have begun.
    begun: HashMap<TextKind, usize>,
    /// Which of them have not ended.
    pub(super) open: HashMap<(TextKind, Text<'static>), usize>,
    /// What the entries hold, in bytes.
    pub(super) contents: usize,
}

/// One thing that comes in an order of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Track {
    /// A text or reasoning: the n-th that has begun.
    Written(TextKind, usize),
    /// The input of a tool call. It is there as soon as anything has come of the call.
    Call(Text<'static>),
    /// The chunks of one type of a tool call, deltas aside.
    Step(Text<'static>, CallStep),
    /// The values of a data part that is known by its name and id. The last counts; another stream may leave out the others.
    Data(Text<'static>, Text<'static>),
    /// All metadata, without what each reader is told otherwise.
    Metadata,
    /// All other chunks of content.
    Other,
}

/// What of a tool call a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CallStep {
    Start,
    Input,
    WrongInput,
    Approval,
    /// An output that another replaces. Another stream may leave it out.
    Preliminary,
    Output,
    Error,
    Denied,
}

/// Where a chunk belongs.
pub(super) enum Place<'c> {
    Start(TextKind, &'c Text<'static>),
    Delta(TextKind, &'c Text<'static>, &'c Text<'static>),
    End(TextKind, &'c Text<'static>),
    Input(&'c Text<'static>, &'c Text<'static>),
    Step(&'c Text<'static>, CallStep),
    Value(Track),
    /// About the run and not of its content.
    Run,
}

impl<'c> Place<'c> {
    /// Every type of chunk is named, so that the compiler asks where a new one belongs.
    pub(super) fn of(chunk: &'c Chunk<'static>) -> Self {
        match chunk {
            Chunk::TextStart(chunk) => Self::Start(TextKind::Text, &chunk.id),
            Chunk::TextDelta(chunk) => Self::Delta(TextKind::Text, &chunk.id, &chunk.delta),
            Chunk::TextEnd(chunk) => Self::End(TextKind::Text, &chunk.id),
            Chunk::ReasoningStart(chunk) => Self::Start(TextKind::Reasoning, &chunk.id),
            Chunk::ReasoningDelta(chunk) => {
                Self::Delta(TextKind::Reasoning, &chunk.id, &chunk.delta)
            }
            Chunk::ReasoningEnd(chunk) => Self::End(TextKind::Reasoning, &chunk.id),
            Chunk::ToolInputDelta(chunk) => {
                Self::Input(&chunk.tool_call_id, &chunk.input_text_delta)
            }
            Chunk::ToolInputStart(chunk) => Self::Step(&chunk.tool_call_id, CallStep::Start),
            Chunk::ToolInputAvailable(chunk) => Self::Step(&chunk.tool_call_id, CallStep::Input),
            Chunk::ToolInputError(chunk) => Self::Step(&chunk.tool_call_id, CallStep::WrongInput),
            Chunk::ToolApprovalRequest(chunk) => {
                Self::Step(&chunk.tool_call_id, CallStep::Approval)
            }
            Chunk::ToolOutputAvailable(chunk) => match chunk.preliminary {
                Some(true) => Self::Step(&chunk.tool_call_id, CallStep::Preliminary),
                _ => Self::Step(&chunk.tool_call_id, CallStep::Output),
            },
            Chunk::ToolOutputError(chunk) => Self::Step(&chunk.tool_call_id, CallStep::Error),
            Chunk::ToolOutputDenied(chunk) => Self::Step(&chunk.tool_call_id, CallStep::Denied),
            Chunk::Data(chunk) => Self::Value(match &chunk.id {
                Some(id) => Track::Data(chunk.name.clone(), id.clone()),
                None => Track::Other,
            }),
            Chunk::MessageMetadata(_) => Self::Value(Track::Metadata),
            Chunk::Start(_) | Chunk::Finish(_) | Chunk::Error(_) | Chunk::Abort(_) => Self::Run,
            Chunk::StartStep
            | Chunk::FinishStep
            | Chunk::ResetStep
            | Chunk::ToolApprovalResponse(_)
            | Chunk::SourceUrl(_)
            | Chunk::SourceDocument(_)
            | Chunk::File(_)
            | Chunk::ReasoningFile(_)
            | Chunk::Custom(_)
            | Chunk::SteeringMessage(_)
            | Chunk::Unknown(_) => Self::Value(Track::Other),
        }
    }

    /// The text that it brings.
    pub(super) fn delta(&self) -> Option<&'c Text<'static>> {
        match self {
            Self::Delta(_, _, delta) | Self::Input(_, delta) => Some(delta),
            _ => None,
        }
    }
}

impl Track {
    /// What its ids take.
    fn owned(&self) -> usize {
        match self {
            Self::Call(id) | Self::Step(id, _) => owned(id),
            Self::Data(name, id) => owned(name) + owned(id),
            Self::Written(..) | Self::Metadata | Self::Other => 0,
        }
    }
}

impl<T> Default for Tracks<T> {
    fn default() -> Self {
        Self {
            tracks: HashMap::new(),
            begun: HashMap::new(),
            open: HashMap::new(),
            contents: 0,
        }
    }
}

impl<T: Default> Tracks<T> {
    pub(super) fn get(&self, track: &Track) -> Option<&T> {
        self.tracks.get(track)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Track, &T)> {
        self.tracks.iter()
    }

    /// What has come on a track, so that it goes on.
    pub(super) fn at(&mut self, track: &Track) -> &mut T {
        if !self.tracks.contains_key(track) {
            self.contents += track.owned();
        }
        self.tracks.entry(track.clone()).or_default()
    }

    /// A text or reasoning begins: its track.
    pub(super) fn begin(&mut self, kind: TextKind, id: &Text<'static>) -> Track {
        let begun = self.begun.entry(kind).or_default();
        let track = Track::Written(kind, *begun);
        self.open.insert((kind, id.clone()), *begun);
        *begun += 1;
        self.contents += 2 * owned(id);
        track
    }

    /// A text or reasoning ends: its track, if it has begun.
    pub(super) fn end(&mut self, kind: TextKind, id: &Text<'static>) -> Option<Track> {
        let at = self.open.remove(&(kind, id.clone()))?;
        Some(Track::Written(kind, at))
    }

    /// The tracks on which a chunk comes. Behind that of a call comes that of its step.
    pub(super) fn of(&self, place: &Place<'_>) -> [Option<Track>; 2] {
        match place {
            Place::Start(kind, _) => {
                let begun = self.begun.get(kind).copied().unwrap_or_default();
                [Some(Track::Written(*kind, begun)), None]
            }
            Place::Delta(kind, id, _) | Place::End(kind, id) => {
                let at = self.open.get(&(*kind, (*id).clone())).copied();
                [at.map(|at| Track::Written(*kind, at)), None]
            }
            Place::Input(id, _) => [Some(Track::Call((*id).clone())), None],
            Place::Step(id, step) => {
                let step = Track::Step((*id).clone(), *step);
                [Some(Track::Call((*id).clone())), Some(step)]
            }
            Place::Value(track) => [Some(track.clone()), None],
            Place::Run => [None, None],
        }
    }

    /// What it holds in memory, in bytes. What has not ended counts thrice: it is kept [behind](super::replay::Behind) a replay, with
    /// another id.
    pub(super) fn size(&self) -> usize {
        self.contents + self.tracks.places() + 3 * self.open.places()
    }

    /// What it holds more while a chunk comes, at most, without the content.
    pub(super) fn growth(&self, place: &Place<'_>) -> usize {
        let tracks = self.of(place).into_iter().flatten();
        let is_new = |track: &Track| !self.tracks.contains_key(track);
        let new: Vec<usize> = tracks.filter(is_new).map(|track| track.owned()).collect();
        let open = match place {
            Place::Start(_, id) => 3 * self.open.growth(1) + 2 * owned(id),
            _ => 0,
        };
        open + self.tracks.growth(new.len()) + new.into_iter().sum::<usize>()
    }
}
