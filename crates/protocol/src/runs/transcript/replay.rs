use std::collections::HashMap;

use super::recorded::Recorded;
use super::repeated::{Match, New, Repeated, is_empty, with};
use super::tracks::{CallStep, Place};
use crate::ui::held::owned;
use crate::ui::{Chunk, Text, TextKind};

/// The number of repeated bytes of text from which a stream counts as a replay and not a coincidence.
const ENOUGH: usize = 16;

/// The most new chunks, written in parallel, that may come before everything delivered was repeated.
const MOST_NEW: usize = 256;

/// The most memory for chunks that are held until the stream is recognized, in bytes. A stream that repeated so much is no
/// coincidence.
const MOST_HELD: usize = 1024 * 1024;

/// A comparison of another stream with what was delivered. It determines if the stream is a replay, and continues after it.
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
    state: State,
}

#[derive(Debug)]
enum State {
    Unclear(Repeated, Held),
    Clear(Behind),
}

/// The state that is needed once everything delivered was repeated. It only shrinks.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// The parts that have not ended in this stream, by their ids in it. The value is the id under which the part was delivered
    /// and continues, or `None` if its end was delivered too.
    pub(super) parts: HashMap<(TextKind, Text<'static>), Option<Text<'static>>>,
    /// The number of replaced outputs of a call that are still to be skipped.
    pub(super) preliminary: HashMap<Text<'static>, usize>,
}

/// The chunks so far, until the stream is recognized.
#[derive(Debug, Default)]
struct Held {
    /// All chunks, unless they take too much memory.
    chunks: Vec<Chunk<'static>>,
    /// Whether the chunks were dropped for that reason. Then a later contradiction makes the stream useless.
    is_too_long: bool,
    /// The new chunks, if the stream is a replay.
    new: Vec<New>,
    /// The memory that all of them take.
    bytes: usize,
}

/// The result of comparing a chunk.
#[derive(Debug, PartialEq)]
pub(in crate::runs) enum Sight {
    /// Undecided; the chunk is held.
    Unclear,
    /// The stream is a replay, and these chunks are new.
    New(Vec<Chunk<'static>>),
    /// So little was delivered that the match may be a coincidence, and no later chunk can be compared. These chunks are new,
    /// with the ids of their own stream. Chunks woven into the match are left out, since they may not directly follow what was
    /// delivered.
    NewPerhaps(Vec<Chunk<'static>>),
    /// The stream has joined in the middle; these are all its chunks so far.
    Joined(Vec<Chunk<'static>>),
    /// The stream repeated a lot and then differed, or recognizing it takes too much memory.
    Useless,
}

impl Replay {
    /// Begins the comparison of a stream with what was delivered.
    pub(in crate::runs) fn new(delivered: &Recorded) -> Self {
        Self {
            state: State::Unclear(Repeated::new(delivered), Held::default()),
        }
    }

    /// Returns whether the stream is known to be a replay.
    pub(in crate::runs) fn is_one(&self) -> bool {
        matches!(self.state, State::Clear(_))
    }

    /// Compares the next chunk of the stream, without its `start`, with `delivered`: what was there when the stream began, and
    /// what has come of the stream since. It may take up to `room` bytes of memory.
    pub(in crate::runs) fn push(
        &mut self,
        chunk: Chunk<'static>,
        delivered: &Recorded,
        room: usize,
    ) -> Sight {
        let (repeated, held) = match &mut self.state {
            State::Clear(behind) => return Sight::New(behind.pass(chunk).into_iter().collect()),
            State::Unclear(repeated, held) => (repeated, held),
        };
        // Before the comparison, which takes that memory.
        if repeated.size(&chunk) > room {
            return Sight::Useless;
        }
        let found = repeated.compare(&chunk, delivered);
        let is_new = matches!(found, Match::New(_));
        match found {
            // Empty deltas say nothing; everything else that matches was compared before.
            Match::Known if is_empty(&chunk) => {}
            Match::Known => held.keep(chunk, None),
            Match::New(new) => held.keep(chunk, Some(new)),
            // The stream is another part of the answer, so nothing of it was delivered before.
            Match::Contradiction => {
                held.keep(chunk, None);
                return held.joined();
            }
        }
        if repeated.is_all() {
            let new = std::mem::take(&mut held.new).into_iter();
            let (length, has_calls) = delivered.evidence();
            if !held.is_too_long && length < ENOUGH && !has_calls {
                // If any text was delivered, only the last new chunk may directly follow it.
                let woven = match (length, is_new) {
                    (0, _) => 0,
                    (_, true) => new.len() - 1,
                    (_, false) => new.len(),
                };
                return Sight::NewPerhaps(new.skip(woven).map(|new| new.chunk).collect());
            }
            self.state = State::Clear(repeated.behind(delivered));
            return Sight::New(new.map(New::continued).collect());
        }
        // New content came before any known content, so the stream did not begin at the beginning.
        if is_new && (!repeated.is_known || held.new.len() > MOST_NEW) {
            return held.joined();
        }
        match held.bytes > MOST_HELD && !held.drop_known() {
            true => Sight::Useless,
            false => Sight::Unclear,
        }
    }
}

impl Behind {
    /// Returns the new part of a chunk, in the part that it belongs to.
    fn pass(&mut self, chunk: Chunk<'static>) -> Option<Chunk<'static>> {
        match Place::of(&chunk) {
            // The id is used again for a new part.
            Place::Start(kind, id) => drop(self.parts.remove(&(kind, id.clone()))),
            Place::Delta(kind, id, _) => match self.parts.get(&(kind, id.clone())) {
                // The part has ended where it was delivered, and an empty delta says nothing.
                Some(None) if is_empty(&chunk) => return None,
                Some(part) => return Some(with(chunk, part.as_ref(), None)),
                None => {}
            },
            Place::End(kind, id) => {
                if let Some(part) = self.parts.remove(&(kind, id.clone())) {
                    return Some(with(chunk, Some(&part?), None));
                }
            }
            Place::Step(id, CallStep::Preliminary) => {
                if let Some(left @ 1..) = self.preliminary.get_mut(id) {
                    *left -= 1;
                    return None;
                }
            }
            _ => {}
        }
        Some(chunk)
    }
}

impl Held {
    fn keep(&mut self, chunk: Chunk<'static>, new: Option<New>) {
        if let Some(new) = new {
            self.bytes += new.size();
            self.new.push(new);
        }
        if !self.is_too_long {
            self.bytes += size_of_chunk(&chunk);
            self.chunks.push(chunk);
        }
    }

    /// Releases all chunks: none of them was delivered before.
    fn joined(&mut self) -> Sight {
        match self.is_too_long {
            true => Sight::Useless,
            false => Sight::Joined(std::mem::take(&mut self.chunks)),
        }
    }

    /// Drops the repeated chunks to free memory. Returns `false` if they were dropped before.
    fn drop_known(&mut self) -> bool {
        self.chunks = Vec::new();
        self.bytes = self.new.iter().map(New::size).sum();
        !std::mem::replace(&mut self.is_too_long, true)
    }
}

impl New {
    fn size(&self) -> usize {
        size_of::<Option<Text<'static>>>()
            + self.part.as_ref().map_or(0, owned)
            + size_of_chunk(&self.chunk)
    }
}

/// Returns the approximate memory that a chunk takes, in bytes.
fn size_of_chunk(chunk: &Chunk<'static>) -> usize {
    size_of::<Chunk<'static>>()
        + match Place::of(chunk) {
            Place::Delta(_, id, delta) | Place::Input(id, delta) => owned(id) + owned(delta),
            _ => chunk.encode().len(),
        }
}
