//! Heuristic alignment of the stored answer after a gap.
//!
//! After a gap it is unknown where the delivered chunks belong in the answer. A reader that joins in the middle sees other
//! beginnings of the open parts and no outputs of tools that were announced before, and parts that are written in parallel come
//! in another order. So texts are found by what they share with the stored ones. All heuristics are in this file. When they are
//! not certain, nothing is delivered: missing content is better than repeated content.

use std::cmp::{Ordering, Reverse};
use std::ops::Range;

use memchr::{memmem, memrchr3};

use super::continuation::{
    Delivered, begun, is_content, is_same, named, rest_of_begun, signature, words,
};
use crate::ui::{Chunk, Part, TextKind, UiMessage, chunks_of, text_from};

impl Delivered<'_> {
    /// Returns whether the stored answer contains everything that was delivered.
    pub(super) fn is_within(&self, stored: &UiMessage) -> bool {
        let whole = flat(&stored.parts);
        // Parts that were written in parallel may be stored in another order than they were delivered in.
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

    /// Returns the contents up to the first gap, and after it those of each part separately. After a gap it is unknown which
    /// earlier parts continue, and in which order.
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
            // A reader that joins in the middle of a part does not know that, and misses the first half of a split character.
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

    /// Returns what the stored answer has after what was delivered, as far as that can be known from what they share. If it is
    /// not certain, returns nothing: missing content is better than repeated content. `is_within` says whether the stored answer
    /// contains everything that was delivered, as pieces with gaps between them.
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
                        true => self.after(&text, reached.bytes),
                        false => &text,
                    };
                    if rest.contains(is_significant) {
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

    /// Returns how far the stored answer was delivered, or `None` if that is doubtful.
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
            // If the stored answer contains all pieces with gaps between them, a common end says nothing: only a match of
            // everything delivered shows where delivery stopped. If nothing of this kind is stored, nothing of it can be
            // repeated.
            let is_placed = !is_within && (common.end > 0 || stored.bytes.is_empty());
            common.is_all || (is_placed && !stored.is_known_behind(reached, delivered))
        };
        kinds.iter().all(is_new).then_some(reached)
    }

    /// Returns the text after so many significant bytes, without the spaces that end what was delivered.
    fn after<'t>(&self, text: &'t str, mut significant: usize) -> &'t str {
        let mut rest = text;
        while significant > 0
            && let Some(next) = rest.chars().next()
        {
            if is_significant(next) {
                significant = significant.saturating_sub(next.len_utf8());
            }
            rest = rest.strip_prefix(next).unwrap_or_default();
        }
        let delivered = self.parts.iter().rev().find_map(words);
        let delivered = delivered.map(|(_, words)| words).unwrap_or_default();
        let words = delivered.trim_end_matches(|char| !is_significant(char));
        let spaces = delivered.strip_prefix(words).unwrap_or_default();
        spaces
            .chars()
            .fold(rest, |rest, space| rest.strip_prefix(space).unwrap_or(rest))
    }
}

/// Contents without a gap.
struct Segment {
    bytes: Vec<u8>,
    /// Text or reasoning, for a piece of one part.
    kind: Option<u8>,
    /// Whether they are the beginning of the answer.
    is_beginning: bool,
}

impl Segment {
    /// Returns the position in `ahead`, the end of the answer, in a part of the same kind. Earlier matches are removed from
    /// `ahead` but not from `whole`.
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

/// Returns whether all segments occur in the answer one after the other.
fn are_in_order(whole: &[u8], segments: &[Segment]) -> bool {
    let mut ahead = whole;
    segments.iter().all(|segment| {
        let found = segment.find(whole, ahead);
        let behind = found.and_then(|found| ahead.get(found + segment.bytes.len()..));
        ahead = behind.unwrap_or_default();
        found.is_some()
    })
}

/// Returns whether all segments occur in the answer in any order, since parts written in parallel have an order of their own.
fn are_anywhere(whole: &[u8], segments: &[Segment]) -> bool {
    if segments.len() > MOST_SEGMENTS {
        return false;
    }
    let mut left = whole.to_vec();
    // Longest first: long segments are hardest to confuse, and short ones may occur within long ones.
    let mut segments: Vec<&Segment> = segments.iter().collect();
    segments.sort_by_key(|segment| Reverse((segment.is_beginning, segment.bytes.len())));
    segments.into_iter().all(|segment| {
        let Some(from) = segment.find(whole, &left) else {
            return false;
        };
        // No other part may match the same bytes.
        let text = left.get_mut(from..from + segment.bytes.len());
        let text = text.unwrap_or_default().iter_mut();
        text.filter(|byte| **byte != END)
            .for_each(|byte| *byte = TAKEN);
        true
    })
}

/// The position up to which a message was delivered: a part, and the number of significant bytes in its text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Reached {
    part: usize,
    bytes: usize,
}

/// The significant characters of all texts of one kind, concatenated. Stored texts may be trimmed and split differently into
/// parts.
struct Words {
    bytes: Vec<u8>,
    /// The parts, and the range of each.
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
            for significant in text.split(|char| !is_significant(char)) {
                bytes.extend_from_slice(significant.as_bytes());
            }
            texts.push((number, from..bytes.len()));
        }
        Self { bytes, texts }
    }

    /// Returns the position in the message at which so many bytes end.
    fn reached(&self, end: usize) -> Reached {
        let mut texts = self.texts.iter();
        let text = texts.find(|(_, text)| text.start < end && end <= text.end);
        text.map_or_else(Reached::default, |(part, text)| Reached {
            part: *part,
            bytes: end - text.start,
        })
    }

    /// Returns whether the texts after a position look like what was delivered. Parts written in parallel may have been delivered
    /// in another order.
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

/// The overlap of the end of what was delivered with what is stored.
struct Common {
    /// The end of the overlap in what is stored.
    end: usize,
    /// Whether the overlap is everything that was delivered.
    is_all: bool,
}

impl Common {
    fn of(delivered: &[u8], stored: &[u8]) -> Self {
        let last = |length: usize| {
            let from = delivered.len().saturating_sub(length);
            delivered.get(from..).unwrap_or_default()
        };
        // Binary search: if a suffix occurs, every shorter suffix does too.
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
            // A short overlap may occur anywhere. It counts only at the start of the stored text, as stored by a reader that
            // joined later.
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

/// Returns whether a character is significant. Spaces may be trimmed, and a reader that joined within a character saw U+FFFD.
fn is_significant(char: char) -> bool {
    !char.is_whitespace() && char != char::REPLACEMENT_CHARACTER
}

// Bytes that never occur in UTF-8.
const TEXT: u8 = 0xf8;
const REASONING: u8 = 0xf9;
const OTHER: u8 = 0xfa;
const END: u8 = 0xfb;
const TAKEN: u8 = 0xfc;

/// The number of matching bytes that is taken for more than coincidence.
const RECOGNIZABLE: usize = 16;

/// The most segments that are searched one by one.
const MOST_SEGMENTS: usize = 1024;

/// The replacement for half a character.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

fn is_text_marker(byte: u8) -> bool {
    matches!(byte, TEXT | REASONING)
}

/// Returns the contents concatenated for searching: texts as they are, and the signature of everything else.
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
