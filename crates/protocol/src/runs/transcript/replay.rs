use std::collections::HashMap;

use super::come::{Come, Match, New, is_empty, with};
use super::tracks::{Track, Tracks};
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
    /// More has come again than is held: should it contradict now, nothing of it can be told apart.
    Long {
        come: Come,
        new: Vec<Chunk<'static>>,
        /// What these take in memory.
        bytes: usize,
    },
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
    chunks: Vec<Chunk<'static>>,
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
    pub(in crate::runs) fn new() -> Self {
        Self {
            state: State::Unclear(Come::default(), Held::default()),
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
        delivered: &Tracks,
        room: usize,
    ) -> Sight {
        let come = match &mut self.state {
            State::Clear(behind) => return Sight::New(behind.pass(chunk)),
            State::Unclear(come, _) | State::Long { come, .. } => come,
        };
        if come.size() + come.growth(&chunk) > room {
            return Sight::Useless;
        }
        let found = come.compare(&chunk, delivered);
        let behind = come.is_all(delivered).then(|| come.behind(delivered));
        match &mut self.state {
            State::Clear(_) => Sight::Useless,
            State::Long { new, bytes, .. } => {
                match found {
                    Match::Contradiction => return Sight::Useless,
                    Match::New(more) => {
                        *bytes += size_of_chunk(&more.continued);
                        new.push(more.continued);
                    }
                    Match::Known => {}
                }
                if let Some(behind) = behind {
                    let new = std::mem::take(new);
                    self.state = State::Clear(behind);
                    return Sight::New(new);
                }
                match new.len() > MOST_NEW || *bytes > MOST_HELD {
                    true => Sight::Useless,
                    false => Sight::Unclear,
                }
            }
            State::Unclear(come, held) => {
                let is_new = matches!(found, Match::New(_));
                match found {
                    // Of deltas without a letter all else that is known has come before, and they say nothing.
                    Match::Known if is_empty(&chunk) => {}
                    Match::Known => held.keep(chunk),
                    Match::New(new) => held.keep_new(chunk, new),
                    Match::Contradiction => {
                        held.chunks.push(chunk);
                        return Sight::Joined(std::mem::take(&mut held.chunks));
                    }
                }
                if let Some(behind) = behind {
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
                    self.state = State::Clear(behind);
                    return Sight::New(new.map(|new| new.continued).collect());
                }
                // Other content before any that is known: that is no beginning.
                if is_new && (!come.is_known || held.new.len() > MOST_NEW) {
                    return Sight::Joined(std::mem::take(&mut held.chunks));
                }
                if held.bytes > MOST_HELD {
                    let new = std::mem::take(&mut held.new).into_iter();
                    let new: Vec<_> = new.map(|new| new.continued).collect();
                    let bytes = new.iter().map(size_of_chunk).sum();
                    let come = std::mem::take(come);
                    self.state = State::Long { come, new, bytes };
                }
                Sight::Unclear
            }
        }
    }
}

impl Behind {
    /// What is new of a chunk, in the part that it belongs to.
    fn pass(&mut self, chunk: Chunk<'static>) -> Vec<Chunk<'static>> {
        let chunk = match Track::of(&chunk) {
            Track::Start(kind, id) => {
                self.parts.remove(&(kind, id.clone()));
                chunk
            }
            Track::Delta(kind, id, _) => match self.parts.get(&(kind, id.clone())) {
                Some(Some(part)) => with(&chunk, part, None),
                Some(None) if is_empty(&chunk) => return Vec::new(),
                Some(None) | None => chunk,
            },
            Track::End(kind, id) => match self.parts.remove(&(kind, id.clone())) {
                Some(Some(part)) => with(&chunk, &part, None),
                Some(None) => return Vec::new(),
                None => chunk,
            },
            Track::Preliminary(id) => match self.preliminary.get_mut(id) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    return Vec::new();
                }
                _ => chunk,
            },
            _ => chunk,
        };
        vec![chunk]
    }
}

impl Held {
    fn keep(&mut self, chunk: Chunk<'static>) {
        self.bytes += size_of_chunk(&chunk);
        self.chunks.push(chunk);
    }

    fn keep_new(&mut self, chunk: Chunk<'static>, new: New) {
        self.bytes += size_of_chunk(&new.continued) + size_of_chunk(&new.own);
        self.new.push(new);
        self.keep(chunk);
    }
}

/// What a chunk takes in memory, in bytes, about.
fn size_of_chunk(chunk: &Chunk<'static>) -> usize {
    size_of::<Chunk<'static>>()
        + match Track::of(chunk) {
            Track::Delta(_, id, delta) | Track::ToolInput(id, delta) => owned(id) + owned(delta),
            _ => chunk.encode().len(),
        }
}
