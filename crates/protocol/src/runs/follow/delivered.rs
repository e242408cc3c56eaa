use std::collections::{HashMap, HashSet, VecDeque};

use serde::Deserialize;

use super::machine::Moment;
use super::replay::{Kind, Replay, Tracks};
use super::stored::Gapped;
use crate::threads::Usage;
use crate::tolerant;
use crate::ui::chunk::{ReasoningStart, Start, TextStart};
use crate::ui::{AssembleError, Assembler, Chunk, RawJson, Text, UiMessage};

/// What was delivered of a run: what is handed out, and what is known from it.
#[derive(Debug)]
pub(super) struct Delivered {
    moments: VecDeque<Moment>,
    assembler: Assembler,
    too_large: Option<AssembleError>,
    /// The place in the message of each text and reasoning part that has not ended.
    open: HashMap<(Kind, Text<'static>), usize>,
    /// The parts before which something may be missing.
    gaps: Vec<usize>,
    /// Whether anything has come since the last gap.
    since_gap: bool,
    /// Whether anything has come since it was last asked.
    has_progress: bool,
    /// The calls whose input is being written.
    writing: HashSet<Text<'static>>,
    /// The calls whose input was being written at a gap.
    torn: HashSet<Text<'static>>,
    /// Kept where another stream of the run may be opened.
    tracks: Option<Tracks>,
    /// What came before the first gap.
    before_gap: Option<Tracks>,
    /// The ids that `start` gave the answer, on whatever stream.
    pub(super) message_ids: HashSet<Text<'static>>,
    pub(super) started: bool,
    pub(super) finished: bool,
    pub(super) aborted: bool,
    /// The text of the first `error`.
    pub(super) failure: Option<String>,
    pub(super) usage: Usage,
    pub(super) result_subtype: Option<String>,
}

/// What `message-metadata` says of a run.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunMetadata {
    #[serde(default, deserialize_with = "tolerant::or_default")]
    result_subtype: Option<String>,
    #[serde(flatten)]
    usage: Usage,
}

impl Delivered {
    /// Nothing yet. What is delivered is kept for comparing only if another stream may be opened.
    pub(super) fn new(keep: bool) -> Self {
        Self {
            moments: VecDeque::new(),
            assembler: Assembler::new().lenient(true),
            too_large: None,
            open: HashMap::new(),
            gaps: Vec::new(),
            since_gap: false,
            has_progress: false,
            writing: HashSet::new(),
            torn: HashSet::new(),
            tracks: keep.then(Tracks::default),
            before_gap: None,
            message_ids: HashSet::new(),
            started: false,
            finished: false,
            aborted: false,
            failure: None,
            usage: Usage::default(),
            result_subtype: None,
        }
    }

    pub(super) fn next(&mut self) -> Option<Moment> {
        self.moments.pop_front()
    }

    pub(super) fn has_news(&self) -> bool {
        !self.moments.is_empty()
    }

    /// Whether anything was delivered since this was last asked.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.has_progress)
    }

    pub(super) fn say(&mut self, moment: Moment) {
        self.moments.push_back(moment);
    }

    pub(super) fn message(&mut self) -> &UiMessage {
        self.assembler.message()
    }

    /// Why the message does not hold everything that was delivered.
    pub(super) fn too_large(&self) -> Option<&AssembleError> {
        self.too_large.as_ref()
    }

    pub(super) fn has_gap(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// What is compared with the stored answer.
    pub(super) fn gapped(&mut self) -> Gapped<'_> {
        Gapped {
            steps: self.assembler.step_count(),
            parts: &self.assembler.message().parts,
            open: self.open.iter().map(|((_, id), at)| (*at, id)).collect(),
            gaps: &self.gaps,
            torn: &self.torn,
        }
    }

    /// What finds out whether a new stream repeats what was delivered.
    pub(super) fn replay(&self) -> Replay {
        let tracks = self.before_gap.as_ref().or(self.tracks.as_ref());
        Replay::of(tracks.cloned().unwrap_or_default())
    }

    /// Delivers a chunk that is new.
    pub(super) fn deliver(&mut self, chunk: Chunk<'static>) {
        match &chunk {
            Chunk::Start(start) => {
                self.note_metadata(start.message_metadata.as_ref());
                self.note_id(start);
                self.started = true;
            }
            Chunk::TextDelta(delta) if self.is_lost(Kind::Text, &delta.id) => {
                self.gaps.push(self.assembler.part_count());
                self.deliver(TextStart::new(delta.id.clone()).into());
            }
            Chunk::ReasoningDelta(delta) if self.is_lost(Kind::Reasoning, &delta.id) => {
                self.gaps.push(self.assembler.part_count());
                self.deliver(ReasoningStart::new(delta.id.clone()).into());
            }
            Chunk::TextEnd(end) if self.is_lost(Kind::Text, &end.id) => return,
            Chunk::ReasoningEnd(end) if self.is_lost(Kind::Reasoning, &end.id) => return,
            // What it would be appended to is not whole; the whole input comes at its end.
            Chunk::ToolInputDelta(delta) if self.torn.contains(&delta.tool_call_id) => return,
            Chunk::MessageMetadata(metadata) => {
                self.note_metadata(metadata.message_metadata.as_ref());
            }
            Chunk::Finish(finish) => {
                self.note_metadata(finish.message_metadata.as_ref());
                self.finished = true;
            }
            Chunk::Error(error) => {
                let text = || error.error_text.to_string_lossy().into_owned();
                self.failure.get_or_insert_with(text);
            }
            Chunk::Abort(_) => self.aborted = true,
            _ => {}
        }
        self.hand_out(chunk);
    }

    fn hand_out(&mut self, chunk: Chunk<'static>) {
        if let Some(tracks) = &mut self.tracks {
            tracks.record(&chunk);
        }
        // A chunk that does not fit is handed out all the same; the message stays as it was.
        if let Err(error @ AssembleError::TooLarge { .. }) = self.assembler.apply(&chunk) {
            self.too_large.get_or_insert(error);
        }
        match &chunk {
            Chunk::TextStart(start) => {
                let place = self.assembler.part_count().saturating_sub(1);
                self.open.insert((Kind::Text, start.id.clone()), place);
            }
            Chunk::ReasoningStart(start) => {
                let place = self.assembler.part_count().saturating_sub(1);
                self.open.insert((Kind::Reasoning, start.id.clone()), place);
            }
            Chunk::TextEnd(end) => {
                self.open.remove(&(Kind::Text, end.id.clone()));
            }
            Chunk::ReasoningEnd(end) => {
                self.open.remove(&(Kind::Reasoning, end.id.clone()));
            }
            Chunk::ToolInputStart(start) => {
                self.torn.remove(&start.tool_call_id);
                self.writing.insert(start.tool_call_id.clone());
            }
            Chunk::ToolInputAvailable(input) => {
                self.writing.remove(&input.tool_call_id);
            }
            Chunk::ToolInputError(input) => {
                self.writing.remove(&input.tool_call_id);
            }
            Chunk::ResetStep => {
                let left = self.assembler.part_count();
                self.open.retain(|_, at| *at < left);
            }
            _ => {}
        }
        self.since_gap = true;
        self.has_progress = true;
        self.moments.push_back(Moment::Chunk(chunk));
    }

    /// From here on something may be missing: what was being written is closed, since nobody knows how it went on.
    pub(super) fn gap(&mut self) {
        let first = self.gaps.is_empty();
        // Behind the end of the answer there is nothing to be missing.
        if self.finished || self.failure.is_some() || (!first && !self.since_gap) {
            return;
        }
        if first {
            self.before_gap = self.tracks.clone();
        }
        self.moments.push_back(Moment::Gap);
        let mut open: Vec<_> = self.open.drain().map(|(part, at)| (at, part)).collect();
        open.sort_unstable_by_key(|(at, _)| *at);
        for (at, (kind, id)) in open {
            self.gaps.push(at + 1);
            self.hand_out(kind.end(id));
        }
        self.torn.extend(self.writing.drain());
        let place = self.assembler.part_count();
        if self.gaps.last() != Some(&place) {
            self.gaps.push(place);
        }
        self.since_gap = false;
    }

    /// Whether a part goes on whose beginning was lost in a gap.
    fn is_lost(&self, kind: Kind, id: &Text<'static>) -> bool {
        self.has_gap() && !self.open.contains_key(&(kind, id.clone()))
    }

    /// Another name of the answer.
    pub(super) fn note_id(&mut self, start: &Start<'static>) {
        let id = start.message_id.as_ref().filter(|id| **id != "");
        self.message_ids.extend(id.cloned());
    }

    pub(super) fn note_metadata(&mut self, metadata: Option<&RawJson<'static>>) {
        let Some(Ok(metadata)) = metadata.map(RawJson::deserialize::<RunMetadata>) else {
            return;
        };
        if metadata.result_subtype.is_some() {
            self.result_subtype = metadata.result_subtype;
        }
        self.note_usage(metadata.usage);
    }

    /// What was known before stays where this does not say.
    pub(super) fn note_usage(&mut self, usage: Usage) {
        let known = &mut self.usage;
        known.input_tokens = usage.input_tokens.or(known.input_tokens);
        known.output_tokens = usage.output_tokens.or(known.output_tokens);
        known.total_tokens = usage.total_tokens.or(known.total_tokens);
        known.total_cost_usd = usage.total_cost_usd.or(known.total_cost_usd);
        known.duration_ms = usage.duration_ms.or(known.duration_ms);
    }
}
