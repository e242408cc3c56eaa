use std::collections::HashMap;

use super::allocation::Allocation;
use crate::ui::held::owned;
use crate::ui::{Chunk, Text, TextKind};

/// The contents of a run, one track for each thing with an order of its own. Two readers of a run get the same contents, but
/// deltas are split differently, texts have other ids, and parts written in parallel may be interleaved differently.
///
/// For what was delivered, the tracks keep all contents; for a stream that is compared with it, they keep how much was repeated.
#[derive(Debug)]
pub(in crate::runs) struct Tracks<T> {
    tracks: HashMap<Track, T>,
    /// The number of texts and of reasonings that have begun. Ids differ between streams, so a text is known by its number.
    begun: HashMap<TextKind, usize>,
    /// The numbers of those that have not ended, by their ids in this stream.
    pub(super) open: HashMap<(TextKind, Text<'static>), usize>,
    /// The memory that the entries own, in bytes.
    pub(super) contents: usize,
}

/// A thing with an order of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Track {
    /// The n-th text or reasoning that has begun.
    Written(TextKind, usize),
    /// The input of a tool call. The track exists as soon as any chunk of the call has come.
    Call(Text<'static>),
    /// The chunks of one type of a tool call, without deltas.
    Step(Text<'static>, CallStep),
    /// The values of a data part with a name and an id. The last value counts; another stream may omit the others.
    Data(Text<'static>, Text<'static>),
    /// All metadata, except what differs between readers.
    Metadata,
    /// All other content.
    Other,
}

/// The role of a chunk in a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CallStep {
    Start,
    Input,
    WrongInput,
    Approval,
    /// An output that another output replaces. Another stream may omit it.
    Preliminary,
    Output,
    Error,
    Denied,
}

/// The track that a chunk belongs to.
pub(super) enum Place<'c> {
    Start(TextKind, &'c Text<'static>),
    Delta(TextKind, &'c Text<'static>, &'c Text<'static>),
    End(TextKind, &'c Text<'static>),
    Input(&'c Text<'static>, &'c Text<'static>),
    Step(&'c Text<'static>, CallStep),
    Value(Track),
    /// A chunk about the run, not part of its content.
    Run,
}

impl<'c> Place<'c> {
    /// Names every type of chunk, so that the compiler asks where a new one belongs.
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

    /// Returns the text that the chunk adds.
    pub(super) fn delta(&self) -> Option<&'c Text<'static>> {
        match self {
            Self::Delta(_, _, delta) | Self::Input(_, delta) => Some(delta),
            _ => None,
        }
    }
}

impl Track {
    /// Returns the memory that the ids own.
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

    /// Returns the contents of a track, to extend them.
    pub(super) fn at(&mut self, track: &Track) -> &mut T {
        // The key of a new track owns its ids.
        if !self.tracks.contains_key(track) {
            self.contents += track.owned();
        }
        self.tracks.entry(track.clone()).or_default()
    }

    /// Begins a text or reasoning, and returns its track.
    pub(super) fn begin(&mut self, kind: TextKind, id: &Text<'static>) -> Track {
        let begun = self.begun.entry(kind).or_default();
        let track = Track::Written(kind, *begun);
        self.open.insert((kind, id.clone()), *begun);
        *begun += 1;
        // The id is kept here and, by the caller, with the contents.
        self.contents += 2 * owned(id);
        track
    }

    /// Ends a text or reasoning, and returns its track if it had begun.
    pub(super) fn end(&mut self, kind: TextKind, id: &Text<'static>) -> Option<Track> {
        let at = self.open.remove(&(kind, id.clone()))?;
        Some(Track::Written(kind, at))
    }

    /// Returns the tracks of a chunk: for a chunk of a call, that of the call and then that of its step.
    pub(super) fn of(&self, place: &Place<'_>) -> [Option<Track>; 2] {
        match place {
            // The number that the text gets when it begins.
            Place::Start(kind, _) => {
                let begun = self.begun.get(kind).copied().unwrap_or_default();
                [Some(Track::Written(*kind, begun)), None]
            }
            Place::Delta(kind, id, _) | Place::End(kind, id) => {
                // An id that is not open has no track: the text has ended, or its start was missed.
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

    /// Returns the memory it takes, in bytes. Texts that have not ended count three times: a replay keeps them in
    /// [`Behind`](super::replay::Behind) with another id.
    pub(super) fn size(&self) -> usize {
        self.contents + self.tracks.allocated() + 3 * self.open.allocated()
    }

    /// Returns the most memory that a chunk adds, without its content.
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
