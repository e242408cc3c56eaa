//! What was delivered of a run, and how whatever comes later goes on behind it.
//!
//! ```text
//!  first stream ─────────────────────────────► Transcript ──► moments, message
//!  later stream ──► Replay: repeats, or joins ──►  ▲
//!  stored answer ─► continuation: what is missing ─┤   without a gap, exactly
//!               └─► realign: what comes behind ────┘   behind a gap, as far as it can be told
//! ```
//!
//! Nothing is delivered twice. Where something may be missing, a [`RunEvent::Gap`] says so.

mod come;
mod continuation;
mod realign;
mod recorded;
mod replay;
mod room;
mod said;
mod tracks;

use std::collections::{HashSet, VecDeque};

use recorded::Recorded;
pub(super) use replay::{Replay, Sight};
pub(super) use said::Said;
use tracks::{CallStep, Place};

use super::RunEvent;
use crate::ui::chunk::{ReasoningStart, TextStart};
use crate::ui::{AssembleError, Assembler, Chunk, Text, TextKind, UiMessage};

/// What was delivered of a run: what is handed out, and what is known from it.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    moments: VecDeque<RunEvent>,
    assembler: Assembler,
    too_large: Option<AssembleError>,
    /// How much all of it may hold, in bytes.
    limit: usize,
    /// What later streams are compared with: all that came before the first gap.
    tracks: Recorded,
    /// Whether `tracks` is kept.
    is_tracked: bool,
    /// How many parts came before the first gap, the one that was being written then included.
    first_gap: Option<usize>,
    /// The parts that were being written at a gap, in their order.
    cut: Vec<usize>,
    /// Whether anything has come since the last gap.
    since_gap: bool,
    /// The stream that has joined in the middle and is read: the id that it gave the answer, and its first part. `None` once something
    /// may be missing behind that.
    joined: Option<(Text<'static>, usize)>,
    /// Whether anything has come since it was last asked.
    has_progress: bool,
    /// The calls whose input was being written at a gap.
    torn: Torn,
    pub(super) said: Said,
    /// The stored answer, if it takes the place of what was delivered.
    settled: Option<Box<UiMessage>>,
}

/// The calls whose input was being written at a gap. Of too many, or with ids that are too long, it is kept that any may be.
#[derive(Debug, Default)]
struct Torn {
    calls: HashSet<Text<'static>>,
    has_more: bool,
}

impl Torn {
    const MOST: usize = 1024;
    const LONGEST_ID: usize = 1024;

    fn extend(&mut self, calls: impl Iterator<Item = Text<'static>>) {
        for id in calls {
            if self.calls.len() == Self::MOST || id.to_string_lossy().len() > Self::LONGEST_ID {
                self.has_more = true;
                break;
            }
            self.calls.insert(id);
        }
    }

    fn contains(&self, id: &Text<'static>) -> bool {
        self.has_more || self.calls.contains(id)
    }
}

impl Transcript {
    /// Begins with nothing. What is delivered is kept for comparing only if another stream may be opened. All of it holds no more than
    /// `limit`, in bytes.
    pub(super) fn new(is_tracked: bool, limit: usize) -> Self {
        Self {
            assembler: Assembler::new().lenient(true).with_limit(limit),
            limit,
            is_tracked,
            // Chunks are handed out one by one, so room for more would stay empty.
            moments: VecDeque::with_capacity(1),
            ..Self::default()
        }
    }

    /// Takes what was delivered elsewhere: it is not handed out again.
    pub(super) fn delivered_before(&mut self, chunks: impl IntoIterator<Item = Chunk<'static>>) {
        for chunk in chunks {
            self.deliver(chunk);
            self.moments.clear();
        }
    }

    // ---- What is known

    pub(super) fn next(&mut self) -> Option<RunEvent> {
        self.moments.pop_front()
    }

    pub(super) fn has_news(&self) -> bool {
        !self.moments.is_empty()
    }

    /// Whether anything was delivered since this was last asked.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.has_progress)
    }

    /// The message that was delivered, or the stored one that holds all of it.
    pub(super) fn message(&mut self) -> &UiMessage {
        match &self.settled {
            Some(settled) => settled,
            None => self.assembler.message(),
        }
    }

    /// Why the message does not hold everything that was delivered.
    pub(super) fn too_large(&self) -> Option<&AssembleError> {
        self.too_large.as_ref()
    }

    pub(super) fn has_gap(&self) -> bool {
        self.first_gap.is_some()
    }

    /// Whether the message is all of an answer that has come to its end: nothing is missing, nothing failed, and it was held whole.
    pub(super) fn is_whole(&self) -> bool {
        let said = &self.said;
        let has_failed = said.is_aborted || said.failure.is_some();
        said.has_finished && !has_failed && !self.has_gap() && self.too_large.is_none()
    }

    /// Whether a later stream can be compared with what was delivered.
    pub(super) fn is_comparable(&self) -> bool {
        self.is_tracked || !self.said.has_started
    }

    /// How many bytes more it may hold.
    pub(super) fn room(&self) -> usize {
        let held = self.assembler.size() + self.tracks.size();
        self.limit.saturating_sub(held)
    }

    /// What a later stream is compared with.
    pub(super) fn tracks(&self) -> &Recorded {
        &self.tracks
    }

    // ---- Delivering

    pub(super) fn say(&mut self, moment: RunEvent) {
        self.moments.push_back(moment);
    }

    pub(super) fn deliver_all(&mut self, chunks: impl IntoIterator<Item = Chunk<'static>>) {
        for chunk in chunks {
            self.deliver(chunk);
        }
    }

    /// Delivers a chunk that is new.
    pub(super) fn deliver(&mut self, chunk: Chunk<'static>) {
        match Place::of(&chunk) {
            Place::Delta(kind, id, _) if self.is_lost(kind, id) => self.deliver(match kind {
                TextKind::Text => TextStart::new(id.clone()).into(),
                TextKind::Reasoning => ReasoningStart::new(id.clone()).into(),
            }),
            Place::End(kind, id) if self.is_lost(kind, id) => return,
            // What it would be appended to is not whole; the whole input comes at its end.
            Place::Input(id, _) if self.torn.contains(id) => return,
            Place::Step(id, CallStep::Start) => drop(self.torn.calls.remove(id)),
            _ => {}
        }
        self.said.hear(&chunk);
        self.hand_out(chunk);
    }

    fn hand_out(&mut self, chunk: Chunk<'static>) {
        // A chunk that does not fit is handed out all the same; the message stays as it was.
        if let Err(error @ AssembleError::TooLarge { .. }) = self.assembler.apply(&chunk) {
            self.too_large.get_or_insert(error);
        }
        let is_recorded =
            !self.is_tracked || self.has_gap() || self.tracks.record(&chunk, self.room());
        if self.is_tracked && (self.too_large.is_some() || !is_recorded || self.room() == 0) {
            self.is_tracked = false;
            self.tracks = Recorded::default();
        }
        self.since_gap = true;
        self.has_progress = true;
        self.moments.push_back(RunEvent::Chunk(chunk));
    }

    /// From here on something may be missing: what was being written is closed, since nobody knows how it went on.
    pub(super) fn gap(&mut self) {
        // Behind the end of the answer there is nothing to be missing.
        let is_over = self.said.has_finished || self.said.failure.is_some();
        if is_over || (self.has_gap() && !self.since_gap) {
            return;
        }
        self.joined = None;
        self.moments.push_back(RunEvent::Gap);
        self.torn.extend(self.assembler.calls_being_written());
        let open = self.assembler.end_open_texts();
        let first = open.first().map_or(usize::MAX, |(at, ..)| at + 1);
        // Noted first: what is compared with later streams ends before the ends that are made up here.
        self.first_gap
            .get_or_insert_with(|| first.min(self.assembler.part_count()));
        self.cut.extend(open.iter().map(|(at, ..)| *at));
        let ends = open.into_iter().map(|(_, kind, id)| kind.end(id));
        self.moments.extend(ends.map(RunEvent::Chunk));
        self.since_gap = false;
    }

    /// A stream has joined in the middle, under this id: what comes now is all of it.
    pub(super) fn joins(&mut self, id: Option<&Text<'static>>) {
        self.gap();
        let from = self.assembler.part_count();
        self.joined = id.map(|id| (id.clone(), from));
    }

    /// Whether a part goes on whose beginning was lost in a gap.
    fn is_lost(&self, kind: TextKind, id: &Text<'static>) -> bool {
        self.has_gap() && !self.assembler.is_open(kind, id)
    }
}
