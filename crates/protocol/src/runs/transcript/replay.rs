use std::collections::HashMap;

use super::come::{Come, Match, New, is_empty, with};
use super::recorded::Recorded;
use super::tracks::{CallStep, Place};
use crate::ui::held::owned;
use crate::ui::{Chunk, Text, TextKind};

/// From so many bytes of text on, the beginning of another stream that is the same is a replay and no coincidence.
const ENOUGH: usize = 16;

/// So much may be new, in chunks, before all that was delivered has come again: what was written in parallel.
const MOST_NEW: usize = 256;

/// So much is held in bytes of memory until it is clear what it is. A stream that has repeated so much is no coincidence.
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
    state: State,
}

#[derive(Debug)]
enum State {
    Unclear(Come, Held),
    Clear(Behind),
}

/// What is still to be known of a replay when all that was delivered has come again. It only shrinks.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// The parts that have not ended in this stream, by their ids in it: the ids under which they were delivered and go on, or `None`
    /// where the end was delivered too.
    pub(super) parts: HashMap<(TextKind, Text<'static>), Option<Text<'static>>>,
    /// How many outputs of a call are still to be passed over, which another has replaced.
    pub(super) preliminary: HashMap<Text<'static>, usize>,
}

/// What has come, until it is clear what it is.
#[derive(Debug, Default)]
struct Held {
    /// All of it, unless that is too long: should it contradict then, nothing of it can be told apart.
    chunks: Vec<Chunk<'static>>,
    is_too_long: bool,
    /// What of it is new if it is a replay.
    new: Vec<New>,
    /// What all of it takes in memory.
    bytes: usize,
}

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
    /// It has repeated a lot, and then said something else, or telling what it is takes too much memory.
    Useless,
}

impl Replay {
    /// Compares a stream with what was delivered when it begins.
    pub(in crate::runs) fn new(delivered: &Recorded) -> Self {
        Self {
            state: State::Unclear(Come::new(delivered), Held::default()),
        }
    }

    /// Whether it is clear that it is one.
    pub(in crate::runs) fn is_one(&self) -> bool {
        matches!(self.state, State::Clear(_))
    }

    /// Takes the next chunk of the stream, without its `start`, and compares it with what was `delivered`: what was there when the
    /// stream began, and what has come of the stream since. It may take so many bytes of memory as there is `room` for.
    pub(in crate::runs) fn push(
        &mut self,
        chunk: Chunk<'static>,
        delivered: &Recorded,
        room: usize,
    ) -> Sight {
        let (come, held) = match &mut self.state {
            State::Clear(behind) => return Sight::New(behind.pass(chunk).into_iter().collect()),
            State::Unclear(come, held) => (come, held),
        };
        if come.size(&chunk) > room {
            return Sight::Useless;
        }
        let found = come.compare(&chunk, delivered);
        let is_new = matches!(found, Match::New(_));
        match found {
            // Of deltas without a letter all else that is known has come before, and they say nothing.
            Match::Known if is_empty(&chunk) => {}
            Match::Known => held.keep(chunk, None),
            Match::New(new) => held.keep(chunk, Some(new)),
            Match::Contradiction => {
                held.keep(chunk, None);
                return held.joined();
            }
        }
        if come.is_all() {
            let new = std::mem::take(&mut held.new).into_iter();
            let (length, has_calls) = delivered.telling();
            if !held.is_too_long && length < ENOUGH && !has_calls {
                // Where a letter was delivered, only the last may stand right behind it.
                let woven = match (length, is_new) {
                    (0, _) => 0,
                    (_, true) => new.len() - 1,
                    (_, false) => new.len(),
                };
                return Sight::NewPerhaps(new.skip(woven).map(|new| new.chunk).collect());
            }
            self.state = State::Clear(come.behind(delivered));
            return Sight::New(new.map(New::continued).collect());
        }
        // Other content before any that is known: that is no beginning.
        if is_new && (!come.is_known || held.new.len() > MOST_NEW) {
            return held.joined();
        }
        match held.bytes > MOST_HELD && !held.go_on() {
            true => Sight::Useless,
            false => Sight::Unclear,
        }
    }
}

impl Behind {
    /// What is new of a chunk, in the part that it belongs to.
    fn pass(&mut self, chunk: Chunk<'static>) -> Option<Chunk<'static>> {
        match Place::of(&chunk) {
            Place::Start(kind, id) => drop(self.parts.remove(&(kind, id.clone()))),
            Place::Delta(kind, id, _) => match self.parts.get(&(kind, id.clone())) {
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

    /// Nothing of it was delivered before.
    fn joined(&mut self) -> Sight {
        match self.is_too_long {
            true => Sight::Useless,
            false => Sight::Joined(std::mem::take(&mut self.chunks)),
        }
    }

    /// Goes on with what is new alone, if that is possible.
    fn go_on(&mut self) -> bool {
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

/// What a chunk takes in memory, in bytes, about.
fn size_of_chunk(chunk: &Chunk<'static>) -> usize {
    size_of::<Chunk<'static>>()
        + match Place::of(chunk) {
            Place::Delta(_, id, delta) | Place::Input(id, delta) => owned(id) + owned(delta),
            _ => chunk.encode().len(),
        }
}
