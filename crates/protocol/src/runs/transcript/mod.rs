//! The delivered part of a run, and how later data continues it.
//!
//! ```text
//!  first stream ─────────────────────────────► Transcript ──► events, message
//!  later stream ──► Replay: repeats, or joins ──►  ▲
//!  stored answer ─► continuation: what is missing ─┤   without a gap, exactly
//!               └─► realign: what follows ─────────┘   after a gap, as far as it can be known
//! ```
//!
//! Nothing is delivered twice. Where something may be missing, a [`RunEvent::Gap`] marks it.

mod allocation;
mod continuation;
mod realign;
mod recorded;
mod repeated;
mod replay;
mod reported;
mod tracks;

use std::collections::{HashSet, VecDeque};

use recorded::Recorded;
pub(super) use replay::{Replay, Sight};
pub(super) use reported::Reported;
use tracks::{CallStep, Place};

use super::RunEvent;
use crate::ui::chunk::{ReasoningStart, TextStart};
use crate::ui::{AssembleError, Assembler, Chunk, Text, TextKind, UiMessage};

/// The delivered part of a run: the events to yield, and the state derived from them.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    events: VecDeque<RunEvent>,
    assembler: Assembler,
    too_large: Option<AssembleError>,
    /// The memory limit for all of it, in bytes.
    limit: usize,
    /// The record that later streams are compared with: everything before the first gap.
    tracks: Recorded,
    /// Whether `tracks` is kept.
    is_tracked: bool,
    /// The number of parts before the first gap, including the one that was incomplete then.
    first_gap: Option<usize>,
    /// The parts that were incomplete at a gap, in order.
    cut: Vec<usize>,
    /// Whether anything was delivered since the last gap.
    since_gap: bool,
    /// The id of the answer on the stream that joined in the middle and is being read, and its first part. `None` once something
    /// may be missing after that.
    joined: Option<(Text<'static>, usize)>,
    /// Whether anything was delivered since this was last taken.
    has_progress: bool,
    /// The tool calls whose input was incomplete at a gap.
    torn: Torn,
    pub(super) reported: Reported,
    /// The stored answer, if it replaces what was delivered.
    settled: Option<Box<UiMessage>>,
}

/// The tool calls whose input was incomplete at a gap. If there are too many, or an id is too long, every call counts as
/// incomplete.
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
            // The stream decides how many calls there are and how long their ids are, so both are limited.
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
    /// Creates an empty transcript. The record for comparison is kept only if another stream may be opened. All of it takes at
    /// most `limit` bytes.
    pub(super) fn new(is_tracked: bool, limit: usize) -> Self {
        Self {
            assembler: Assembler::new().lenient(true).with_limit(limit),
            limit,
            is_tracked,
            // Chunks are handed out one by one, so room for more would stay empty.
            events: VecDeque::with_capacity(1),
            ..Self::default()
        }
    }

    /// Adds chunks that were delivered elsewhere. They are not yielded again.
    pub(super) fn delivered_before(&mut self, chunks: impl IntoIterator<Item = Chunk<'static>>) {
        for chunk in chunks {
            self.deliver(chunk);
            // Cleared each time, so that a long answer is never held twice.
            self.events.clear();
        }
    }

    // ---- What is known

    pub(super) fn next(&mut self) -> Option<RunEvent> {
        self.events.pop_front()
    }

    pub(super) fn has_news(&self) -> bool {
        !self.events.is_empty()
    }

    /// Returns whether anything was delivered since the last call.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.has_progress)
    }

    /// Returns the delivered message, or the stored one that contains all of it.
    pub(super) fn message(&mut self) -> &UiMessage {
        match &self.settled {
            Some(settled) => settled,
            None => self.assembler.message(),
        }
    }

    /// Returns the error if the message does not contain everything that was delivered.
    pub(super) fn too_large(&self) -> Option<&AssembleError> {
        self.too_large.as_ref()
    }

    pub(super) fn has_gap(&self) -> bool {
        self.first_gap.is_some()
    }

    /// Returns whether the message is a complete answer: nothing is missing, nothing failed, and it fitted in the limit.
    pub(super) fn is_whole(&self) -> bool {
        let reported = &self.reported;
        let has_failed = reported.is_aborted || reported.failure.is_some();
        reported.has_finished && !has_failed && !self.has_gap() && self.too_large.is_none()
    }

    /// Returns whether a later stream can be compared with what was delivered.
    pub(super) fn is_comparable(&self) -> bool {
        // With nothing delivered, nothing can be repeated.
        self.is_tracked || !self.reported.has_started
    }

    /// Returns the memory that is left, in bytes.
    pub(super) fn room(&self) -> usize {
        let held = self.assembler.size() + self.tracks.size();
        self.limit.saturating_sub(held)
    }

    /// Returns the record that a later stream is compared with.
    pub(super) fn tracks(&self) -> &Recorded {
        &self.tracks
    }

    // ---- Delivering

    pub(super) fn emit(&mut self, event: RunEvent) {
        self.events.push_back(event);
    }

    pub(super) fn deliver_all(&mut self, chunks: impl IntoIterator<Item = Chunk<'static>>) {
        for chunk in chunks {
            self.deliver(chunk);
        }
    }

    /// Delivers a new chunk.
    pub(super) fn deliver(&mut self, chunk: Chunk<'static>) {
        match Place::of(&chunk) {
            // The part was closed at a gap, so it needs a new start in the message.
            Place::Delta(kind, id, _) if self.is_lost(kind, id) => self.deliver(match kind {
                TextKind::Text => TextStart::new(id.clone()).into(),
                TextKind::Reasoning => ReasoningStart::new(id.clone()).into(),
            }),
            // Its end was made up at the gap.
            Place::End(kind, id) if self.is_lost(kind, id) => return,
            // The input before it is incomplete, so a further piece is useless. The whole input comes with a later chunk.
            Place::Input(id, _) if self.torn.contains(id) => return,
            // A call that begins again gets its whole input.
            Place::Step(id, CallStep::Start) => drop(self.torn.calls.remove(id)),
            _ => {}
        }
        self.reported.observe(&chunk);
        self.hand_out(chunk);
    }

    /// Adds a chunk to the message and the record, and queues it to be yielded.
    fn hand_out(&mut self, chunk: Chunk<'static>) {
        // A chunk that exceeds the limit is yielded all the same; the message stays as it was.
        if let Err(error @ AssembleError::TooLarge { .. }) = self.assembler.apply(&chunk) {
            self.too_large.get_or_insert(error);
        }
        let is_recorded =
            !self.is_tracked || self.has_gap() || self.tracks.record(&chunk, self.room());
        if self.is_tracked && (self.too_large.is_some() || !is_recorded || self.room() == 0) {
            // A record with holes would make a later stream look new, so it is dropped as a whole.
            self.is_tracked = false;
            self.tracks = Recorded::default();
        }
        self.since_gap = true;
        self.has_progress = true;
        self.events.push_back(RunEvent::Chunk(chunk));
    }

    /// Marks a gap. Parts that were being written are closed, since it is unknown how they continued.
    pub(super) fn gap(&mut self) {
        // Nothing can be missing after the end of the answer.
        let is_over = self.reported.has_finished || self.reported.failure.is_some();
        // Gaps in a row count as one.
        if is_over || (self.has_gap() && !self.since_gap) {
            return;
        }
        // What follows need not continue where the joined stream was.
        self.joined = None;
        self.events.push_back(RunEvent::Gap);
        self.torn.extend(self.assembler.calls_being_written());
        let open = self.assembler.end_open_texts();
        let first = open.first().map_or(usize::MAX, |(at, ..)| at + 1);
        // The record for later streams stops here: the ends that are made up below were never sent by the relay.
        self.first_gap
            .get_or_insert_with(|| first.min(self.assembler.part_count()));
        self.cut.extend(open.iter().map(|(at, ..)| *at));
        let ends = open.into_iter().map(|(_, kind, id)| kind.end(id));
        self.events.extend(ends.map(RunEvent::Chunk));
        self.since_gap = false;
    }

    /// Notes that a stream has joined in the middle under this id. From here on it delivers everything.
    pub(super) fn joins(&mut self, id: Option<&Text<'static>>) {
        self.gap();
        let from = self.assembler.part_count();
        self.joined = id.map(|id| (id.clone(), from));
    }

    /// Returns whether the chunk continues a part whose beginning was lost in a gap.
    fn is_lost(&self, kind: TextKind, id: &Text<'static>) -> bool {
        self.has_gap() && !self.assembler.is_open(kind, id)
    }
}
