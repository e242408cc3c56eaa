//! The comparison of a stream with what was delivered, chunk by chunk.

use super::recorded::{Content, Recorded, json_of};
use super::replay::Behind;
use super::tracks::{CallStep, Place, Track, Tracks};
use crate::ui::held::owned;
use crate::ui::{Chunk, Text};

/// The part of the delivered answer that a stream has repeated.
#[derive(Debug)]
pub(super) struct Repeated {
    tracks: Tracks<usize>,
    /// The number of tracks that were not repeated completely.
    left: usize,
    /// Whether any repeated content was found.
    pub(super) is_known: bool,
    /// The memory that [`behind`](Self::behind) takes in addition to the stream's own ids, in bytes.
    behind: usize,
}

/// The relation of one chunk to what was delivered.
pub(super) enum Match {
    Known,
    New(New),
    Contradiction,
}

/// The new part of a chunk.
#[derive(Debug)]
pub(super) struct New {
    /// The chunk, with the id of its own stream.
    pub(super) chunk: Chunk<'static>,
    /// The id under which the part that it continues was delivered.
    pub(super) part: Option<Text<'static>>,
}

impl New {
    /// Returns the chunk with the id under which its part was delivered.
    pub(super) fn continued(self) -> Chunk<'static> {
        with(self.chunk, self.part.as_ref(), None)
    }
}

impl Repeated {
    /// Creates the state of a stream that has repeated nothing yet.
    pub(super) fn new(delivered: &Recorded) -> Self {
        let (mut left, mut behind) = (0, 0);
        for (track, _) in delivered.iter() {
            match track {
                Track::Step(id, CallStep::Preliminary) => {
                    behind += owned(id) + 3 * size_of::<(Text<'static>, usize)>();
                }
                // Everything else has to be repeated; preliminary outputs may be omitted.
                _ => left += 1,
            }
        }
        Self {
            tracks: Tracks::default(),
            left,
            is_known: false,
            behind,
        }
    }

    /// Returns the most memory it takes while a chunk is compared, including [`behind`](Self::behind).
    pub(super) fn size(&self, chunk: &Chunk<'static>) -> usize {
        self.tracks.size() + self.tracks.growth(&Place::of(chunk)) + self.behind
    }

    /// Returns the state that is needed once everything delivered was repeated.
    pub(super) fn behind(&self, delivered: &Recorded) -> Behind {
        let parts = self.tracks.open.iter().filter_map(|((kind, id), at)| {
            let part = delivered.get(&Track::Written(*kind, *at))?;
            let part = part.id.clone().filter(|_| !part.ended);
            Some(((*kind, id.clone()), part))
        });
        let preliminary = delivered.iter().filter_map(|(track, _)| match track {
            Track::Step(id, CallStep::Preliminary) => {
                let left = delivered.times(id, CallStep::Preliminary);
                Some((id.clone(), left.saturating_sub(self.repeated(track))))
            }
            _ => None,
        });
        Behind {
            parts: parts.collect(),
            preliminary: preliminary.collect(),
        }
    }

    /// Returns whether everything delivered was repeated.
    pub(super) fn is_all(&self) -> bool {
        self.left == 0
    }

    /// Returns how much of a track was repeated.
    fn repeated(&self, track: &Track) -> usize {
        self.tracks.get(track).copied().unwrap_or_default()
    }

    /// Notes how much of a track was repeated.
    fn note_repeated(&mut self, track: &Track, repeated: usize, delivered: &Recorded) {
        let length = delivered.get(track).map(Content::length);
        let may_be_missing = matches!(track, Track::Step(_, CallStep::Preliminary));
        let length = length.filter(|_| !may_be_missing);
        let is_all = |repeated: usize| length.is_some_and(|length| repeated >= length);
        let was_all = self
            .tracks
            .get(track)
            .is_some_and(|repeated| is_all(*repeated));
        *self.tracks.at(track) = repeated;
        let is_new = is_all(repeated) && !was_all;
        self.left = self.left.saturating_sub(usize::from(is_new));
    }

    pub(super) fn compare(&mut self, chunk: &Chunk<'static>, delivered: &Recorded) -> Match {
        let new = |part| {
            let chunk = chunk.clone();
            Match::New(New { chunk, part })
        };
        let place = Place::of(chunk);
        let [track, step] = self.tracks.of(&place);
        let Some(track) = track else {
            return match place {
                // A chunk about the run, such as its end. Before everything was repeated, it would come too early for a replay.
                Place::Run if self.is_all() => new(None),
                _ => Match::Contradiction,
            };
        };
        let repeated = self.repeated(&track);
        match place {
            Place::Start(kind, id) => {
                self.tracks.begin(kind, id);
                self.note_repeated(&track, 0, delivered);
                match delivered.get(&track) {
                    Some(part) => {
                        self.behind += part.id.as_ref().map_or(0, owned);
                        Match::Known
                    }
                    None => new(None),
                }
            }
            Place::End(kind, id) => {
                self.tracks.end(kind, id);
                match delivered.get(&track) {
                    // It ends before all of the text that was delivered, so it is another text.
                    Some(part) if repeated < part.text.len() => Match::Contradiction,
                    Some(part) if part.ended => Match::Known,
                    part => new(part.and_then(|part| part.id.clone())),
                }
            }
            Place::Delta(_, _, delta) | Place::Input(_, delta) => {
                let delta = delta.to_string_lossy();
                self.note_repeated(&track, repeated + delta.len(), delivered);
                let Some(part) = delivered.get(&track) else {
                    return new(None);
                };
                self.is_known |= !delta.is_empty();
                let known = part.text.get(repeated..).unwrap_or_default();
                match delta.strip_prefix(known) {
                    // Readers get differently split deltas, so one may lie within the known text or reach beyond it.
                    _ if known.starts_with(&*delta) => Match::Known,
                    // A text that has ended cannot continue.
                    Some(rest) if !part.ended => Match::New(New {
                        chunk: with(chunk.clone(), None, Some(rest)),
                        part: part.id.clone(),
                    }),
                    _ => Match::Contradiction,
                }
            }
            Place::Step(id, what) => {
                self.note_repeated(&track, repeated, delivered);
                self.is_known |= delivered.get(&track).is_some();
                let Some(step) = step else {
                    return Match::Contradiction;
                };
                // The contents of these chunks are not kept, so they are only counted.
                let repeated = self.repeated(&step) + 1;
                self.note_repeated(&step, repeated, delivered);
                match repeated <= delivered.times(id, what) {
                    true => Match::Known,
                    false => new(None),
                }
            }
            Place::Value(_) => {
                let json = json_of(chunk);
                let values = delivered.get(&track);
                let values = values.map_or(&[][..], |content| &content.values);
                let left = values.get(repeated..).unwrap_or_default();
                let found = match track {
                    // Values of one data part replace each other, so a replay may omit the earlier ones.
                    Track::Data(..) => left.iter().position(|value| *value == json),
                    _ => (left.first() == Some(&json)).then_some(0),
                };
                let (now, found) = match (found, &track) {
                    (Some(left_out), _) => (repeated + left_out + 1, Match::Known),
                    // All other content is compared in its order.
                    (None, Track::Other) if !left.is_empty() => return Match::Contradiction,
                    // A later value, which replaces all others and is about to be delivered itself.
                    (None, Track::Data(..)) => (values.len().max(repeated) + 1, new(None)),
                    (None, _) => (repeated + 1, new(None)),
                };
                // Metadata is no sign of a replay: a stream that joins in the middle gets it too.
                self.is_known |= !values.is_empty() && track != Track::Metadata;
                self.note_repeated(&track, now, delivered);
                found
            }
            Place::Run => Match::Contradiction,
        }
    }
}

/// Returns whether it is a delta without text.
pub(super) fn is_empty(chunk: &Chunk<'static>) -> bool {
    Place::of(chunk).delta().is_some_and(|delta| *delta == "")
}

/// Returns the same chunk with another part's id or another text.
pub(super) fn with(
    mut chunk: Chunk<'static>,
    id: Option<&Text<'static>>,
    delta: Option<&str>,
) -> Chunk<'static> {
    let (old_id, old_delta) = match &mut chunk {
        Chunk::TextDelta(chunk) => (&mut chunk.id, Some(&mut chunk.delta)),
        Chunk::ReasoningDelta(chunk) => (&mut chunk.id, Some(&mut chunk.delta)),
        Chunk::ToolInputDelta(chunk) => {
            (&mut chunk.tool_call_id, Some(&mut chunk.input_text_delta))
        }
        Chunk::TextEnd(chunk) => (&mut chunk.id, None),
        Chunk::ReasoningEnd(chunk) => (&mut chunk.id, None),
        _ => return chunk,
    };
    if let Some(id) = id {
        old_id.clone_from(id);
    }
    if let (Some(old), Some(delta)) = (old_delta, delta) {
        *old = delta.to_owned().into();
    }
    chunk
}
