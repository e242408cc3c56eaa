//! What comes behind a gap, as far as it can be told.
//!
//! Behind a gap nobody knows where what is delivered stands in the answer: a reader who joins in the middle is told other beginnings of
//! the parts that were open, no outputs of the tools that were announced before, and what is written in parallel in an order of its own.
//! So texts are found again by what they have in common with the stored ones. All of this is a heuristic, and it stands alone in
//! this file. Where it cannot tell, nothing is delivered: better is missing what comes than coming twice.

use std::cmp::{Ordering, Reverse};
use std::ops::Range;

use memchr::{memmem, memrchr3};

use super::continuation::{
    Delivered, begun, is_content, is_same, named, rest_of_begun, signature, words,
};
use crate::ui::{Chunk, Part, TextKind, UiMessage, chunks_of, text_from};

impl Delivered<'_> {
    /// Whether the stored answer holds everything that was delivered.
    pub(super) fn is_within(&self, stored: &UiMessage) -> bool {
        let whole = flat(&stored.parts);
        let segments = self.segments();
        let has_all = are_in_order(&whole, &segments) || are_anywhere(&whole, &segments);
        let stored = named(&stored.parts);
        let mut calls = self.parts.iter().filter(|part| part.as_tool().is_some());
        has_all
            && calls.all(|call| {
                let stored = begun(&stored, call);
                let rest = stored.and_then(|part| rest_of_begun(call, part, 0, self.is_torn(call)));
                rest.is_some()
            })
    }

    /// The contents up to the first gap, and then of each part, and whether it is the beginning. Behind a gap nobody knows which
    /// parts go on that had begun before, and in which order.
    fn segments(&self) -> Vec<Segment> {
        let ends = self.open.keys().map(|at| at + 1);
        let first = ends.chain(self.first_gap).min();
        let first = first.unwrap_or_default().min(self.parts.len());
        let (beginning, rest) = self.parts.split_at(first);
        let rest = rest.iter().enumerate();
        let rest = rest.map(|(at, part)| (std::slice::from_ref(part), first + at + 1));
        let mut segments = Vec::new();
        for (parts, end) in [(beginning, first)].into_iter().chain(rest) {
            let flat = flat(parts);
            let mut bytes = &flat[..];
            let is_beginning = segments.is_empty();
            // Who has joined in the middle of a part does not know that it is the middle, nor the first half of a character.
            let kind = bytes.first().copied();
            let kind = kind.filter(|byte| !is_beginning && is_text_marker(*byte));
            if kind.is_some() {
                bytes = bytes.get(1..).unwrap_or_default();
                bytes = bytes.strip_prefix(REPLACEMENT).unwrap_or(bytes);
            }
            let ends_in_text = parts
                .last()
                .is_some_and(|part| words(part).is_some() && is_content(part));
            let is_cut =
                |at: usize| self.cut.binary_search(&at).is_ok() || self.open.contains_key(&at);
            if ends_in_text && end.checked_sub(1).is_some_and(is_cut) {
                bytes = bytes.strip_suffix(&[END]).unwrap_or(bytes);
                bytes = bytes.strip_suffix(REPLACEMENT).unwrap_or(bytes);
            }
            segments.push(Segment {
                bytes: bytes.to_vec(),
                kind,
                is_beginning,
            });
        }
        segments
    }

    /// What a stored answer has behind what was delivered, as far as that can be told from what they have in common. Where it cannot,
    /// nothing: better is missing what comes than coming twice. `is_within`: whether it holds all that was delivered, pieces with gaps
    /// between them.
    pub(super) fn tail(&self, stored: &UiMessage, is_within: bool) -> Vec<Chunk<'static>> {
        let reached = self.reached(stored, is_within);
        let named = named(self.parts);
        let mut chunks = Vec::new();
        for (number, part) in stored.parts.iter().enumerate() {
            if let Some(begun) = begun(&named, part) {
                let rest = rest_of_begun(begun, part, number, false);
                chunks.extend(rest.unwrap_or_default());
                continue;
            }
            let Some(reached) = reached.filter(|reached| reached.part <= number) else {
                continue;
            };
            match words(part) {
                _ if !is_content(part) => {}
                Some((_, text)) => {
                    let rest = match reached.part == number {
                        true => self.behind(&text, reached.bytes),
                        false => &text,
                    };
                    if rest.contains(is_telling) {
                        chunks.extend(text_from(part, number, rest));
                    }
                }
                None => {
                    let mut delivered = named.get(&signature(part)).into_iter().flatten();
                    if !delivered.any(|begun| is_same(begun, part)) {
                        chunks.extend(chunks_of(part, number));
                    }
                }
            }
        }
        chunks
    }

    /// How far a stored answer was delivered. `None` if that is doubtful.
    fn reached(&self, stored: &UiMessage, is_within: bool) -> Option<Reached> {
        let kinds = [TextKind::Text, TextKind::Reasoning].map(|kind| {
            let (delivered, stored) = (Words::of(self.parts, kind), Words::of(&stored.parts, kind));
            let common = Common::of(&delivered.bytes, &stored.bytes);
            (delivered, stored, common)
        });
        let texts = kinds
            .iter()
            .map(|(_, stored, common)| stored.reached(common.end));
        let named = named(self.parts);
        let calls = stored.parts.iter().enumerate();
        let begun =
            calls.filter(|(_, part)| part.as_tool().is_some() && begun(&named, part).is_some());
        let begun = begun.map(|(part, _)| Reached { part, bytes: 0 });
        let reached = texts.chain(begun).max().unwrap_or_default();
        let is_new = |(delivered, stored, common): &(Words, Words, Common)| {
            // The pieces of an answer that holds them all are known only in one. What it has nothing of cannot come twice.
            let is_placed = !is_within && (common.end > 0 || stored.bytes.is_empty());
            common.is_all || (is_placed && !stored.is_known_behind(reached, delivered))
        };
        kinds.iter().all(is_new).then_some(reached)
    }

    /// What a text has behind so many of its telling bytes, without the spaces with which what was delivered ends.
    fn behind<'t>(&self, text: &'t str, mut telling: usize) -> &'t str {
        let mut rest = text;
        while telling > 0
            && let Some(next) = rest.chars().next()
        {
            if is_telling(next) {
                telling = telling.saturating_sub(next.len_utf8());
            }
            rest = rest.strip_prefix(next).unwrap_or_default();
        }
        let delivered = self.parts.iter().rev().find_map(words);
        let delivered = delivered.map(|(_, words)| words).unwrap_or_default();
        let words = delivered.trim_end_matches(|char| !is_telling(char));
        let spaces = delivered.strip_prefix(words).unwrap_or_default();
        spaces
            .chars()
            .fold(rest, |rest, space| rest.strip_prefix(space).unwrap_or(rest))
    }
}

/// Contents without a gap in them.
struct Segment {
    bytes: Vec<u8>,
    /// Of a piece of a text: whether that is a text or a reasoning.
    kind: Option<u8>,
    /// Whether they are the beginning of the answer.
    is_beginning: bool,
}

impl Segment {
    /// Where it stands in `ahead`, which is the end of the answer, in a part of its kind. Of what was found before, `ahead` has nothing
    /// left, but `whole` has everything.
    fn find(&self, whole: &[u8], ahead: &[u8]) -> Option<usize> {
        let from = whole.len().checked_sub(ahead.len())?;
        if self.is_beginning {
            return (from == 0 && ahead.starts_with(&self.bytes)).then_some(0);
        }
        let is_of_kind = |at: &usize| {
            let before = whole.get(..from + at).unwrap_or_default();
            let marker = memrchr3(TEXT, REASONING, OTHER, before);
            let marker = marker.and_then(|marker| before.get(marker));
            self.kind.is_none_or(|kind| marker == Some(&kind))
        };
        memmem::find_iter(ahead, &self.bytes).find(is_of_kind)
    }
}

/// Whether all segments stand in the answer one behind the other.
fn are_in_order(whole: &[u8], segments: &[Segment]) -> bool {
    let mut ahead = whole;
    segments.iter().all(|segment| {
        let found = segment.find(whole, ahead);
        let behind = found.and_then(|found| ahead.get(found + segment.bytes.len()..));
        ahead = behind.unwrap_or_default();
        found.is_some()
    })
}

/// Whether all segments stand in the answer, wherever: what was being written in parallel goes on in an order of its own.
fn are_anywhere(whole: &[u8], segments: &[Segment]) -> bool {
    if segments.len() > MOST_SEGMENTS {
        return false;
    }
    let mut left = whole.to_vec();
    // What is long can be mistaken least, and what is short may stand within what is long.
    let mut segments: Vec<&Segment> = segments.iter().collect();
    segments.sort_by_key(|segment| Reverse((segment.is_beginning, segment.bytes.len())));
    segments.into_iter().all(|segment| {
        let Some(from) = segment.find(whole, &left) else {
            return false;
        };
        // No other part is the same.
        let text = left.get_mut(from..from + segment.bytes.len());
        let text = text.unwrap_or_default().iter_mut();
        text.filter(|byte| **byte != END)
            .for_each(|byte| *byte = TAKEN);
        true
    })
}

/// How far a message was delivered: up to a part, and of a text so many telling bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Reached {
    part: usize,
    bytes: usize,
}

/// The telling characters of all texts of one kind, one after the other. What is stored may be trimmed, and cut otherwise into parts.
struct Words {
    bytes: Vec<u8>,
    /// Which part each is, and where it begins and ends.
    texts: Vec<(usize, Range<usize>)>,
}

impl Words {
    fn of(parts: &[Part], kind: TextKind) -> Self {
        let mut bytes = Vec::new();
        let mut texts = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let Some((_, text)) = words(part).filter(|(its, _)| *its == kind) else {
                continue;
            };
            let from = bytes.len();
            for telling in text.split(|char| !is_telling(char)) {
                bytes.extend_from_slice(telling.as_bytes());
            }
            texts.push((number, from..bytes.len()));
        }
        Self { bytes, texts }
    }

    /// Where in the message it is that so many bytes end.
    fn reached(&self, end: usize) -> Reached {
        let mut texts = self.texts.iter();
        let text = texts.find(|(_, text)| text.start < end && end <= text.end);
        text.map_or_else(Reached::default, |(part, text)| Reached {
            part: *part,
            bytes: end - text.start,
        })
    }

    /// Whether anything from a place on looks like what was delivered. What is written in parallel comes in many orders, and may have
    /// come in another.
    fn is_known_behind(&self, reached: Reached, delivered: &Self) -> bool {
        self.texts.iter().any(|(part, text)| {
            let from = match part.cmp(&reached.part) {
                Ordering::Less => return false,
                Ordering::Equal => text.end.min(text.start + reached.bytes),
                Ordering::Greater => text.start,
            };
            let context = match from == text.start {
                true => from,
                false => from.saturating_sub(RECOGNIZABLE),
            };
            let to = text.end.min(from + RECOGNIZABLE);
            let beginning = self.bytes.get(context..to).unwrap_or_default();
            from < text.end && memmem::find(&delivered.bytes, beginning).is_some()
        })
    }
}

/// What the end of what was delivered has in common with what is stored.
struct Common {
    /// Where in the latter it ends.
    end: usize,
    /// Whether it is all that was delivered.
    is_all: bool,
}

impl Common {
    fn of(delivered: &[u8], stored: &[u8]) -> Self {
        let last = |length: usize| {
            let from = delivered.len().saturating_sub(length);
            delivered.get(from..).unwrap_or_default()
        };
        // If so much of it is there, so is less of it.
        let (mut length, mut too_long) = (0, delivered.len() + 1);
        while length + 1 < too_long {
            let middle = length.midpoint(too_long);
            match memmem::find(stored, last(middle)) {
                Some(_) => length = middle,
                None => too_long = middle,
            }
        }
        let is_recognized = length >= RECOGNIZABLE;
        let end = if is_recognized {
            memmem::rfind(stored, last(length)).map(|at| at + length)
        } else {
            // What is so short may be anywhere. It counts if what is stored begins with it, as that of a reader who came later.
            (1..=length)
                .rev()
                .find(|length| stored.starts_with(last(*length)))
        };
        let end = end.unwrap_or_default();
        Self {
            end,
            is_all: length == delivered.len() && (is_recognized || end == length),
        }
    }
}

/// Whether it tells a text from another. Spaces are trimmed, and who has joined in the middle of a character has not seen it.
fn is_telling(char: char) -> bool {
    !char.is_whitespace() && char != char::REPLACEMENT_CHARACTER
}

// Bytes that no UTF-8 has.
const TEXT: u8 = 0xf8;
const REASONING: u8 = 0xf9;
const OTHER: u8 = 0xfa;
const END: u8 = 0xfb;
const TAKEN: u8 = 0xfc;

/// So many bytes of a text that were delivered before are no coincidence.
const RECOGNIZABLE: usize = 16;

/// The most pieces that are looked for one by one.
const MOST_SEGMENTS: usize = 1024;

/// What half a character is shown as.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

fn is_text_marker(byte: u8) -> bool {
    matches!(byte, TEXT | REASONING)
}

/// Contents one after the other, so that they can be searched: texts as they are, of everything else what names it.
fn flat(parts: &[Part]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts.iter().filter(|part| is_content(part)) {
        let (marker, content) = match words(part) {
            Some((TextKind::Text, words)) => (TEXT, words),
            Some((TextKind::Reasoning, words)) => (REASONING, words),
            None => (OTHER, signature(part).into()),
        };
        bytes.push(marker);
        bytes.extend_from_slice(content.as_bytes());
        bytes.push(END);
    }
    bytes
}
