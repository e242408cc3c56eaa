//! Aligns what was delivered with the truth: in order, from the beginning, and without an unmarked hole.
//!
//! The truth is a list of atoms: the beginnings, characters and ends of its parts, and its other chunks. Each delivered atom must
//! be the next one. Only after a gap may it be found further on. Several positions may be possible for a while; all of them are
//! followed until they contradict, as in a non-deterministic automaton.
//!
//! A gap excuses what the relay omits for a reader that joins in the middle: a part that had begun before begins again or never
//! ends; input and outputs of calls that were announced before are missing; half an emoji arrives as U+FFFD.
//!
//! Half an emoji may also be the end of a part if the run was cancelled or lost in its middle.

use twentyfirst_protocol::ui::{Chunk, RawJson, Text};

use crate::truth::Truth;

#[derive(Debug, Clone)]
pub(crate) struct Alignment {
    atoms: Vec<Atom>,
    strands: Vec<Strand>,
    /// The parts whose last character never came whole.
    alone: Vec<usize>,
    /// The ids of delivered parts, in the order in which they began.
    parts: Vec<(Kind, String)>,
    candidates: Vec<Candidate>,
}

/// A part of the truth.
#[derive(Debug, Clone)]
struct Strand {
    kind: Kind,
    id: String,
    /// The index of its first atom.
    first: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Tool,
}

#[derive(Debug, Clone)]
enum Atom {
    Begin(usize),
    Char(usize, char),
    /// The end of a part, with the provider's metadata.
    End(usize, Option<RawJson<'static>>),
    Whole(Option<usize>, Box<Chunk<'static>>),
}

/// One possible position of what was delivered in the truth.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// The next atom.
    next: usize,
    /// The end of the last gap.
    gap: Option<usize>,
    /// The pairs of delivered parts and parts of the truth.
    known: Vec<(usize, usize)>,
}

impl Candidate {
    fn strand_of(&self, part: usize) -> Option<usize> {
        let found = self.known.iter().find(|(known, _)| *known == part);
        found.map(|(_, strand)| *strand)
    }

    /// Adds the pair of a delivered part and a part of the truth, unless it contradicts another.
    fn knowing(&self, part: usize, strand: usize) -> Option<Self> {
        let mut candidate = self.clone();
        match self.strand_of(part) {
            Some(known) if known == strand => {}
            Some(_) => return None,
            None if self.known.iter().any(|(_, known)| *known == strand) => return None,
            None => candidate.known.push((part, strand)),
        }
        Some(candidate)
    }
}

impl Alignment {
    pub(crate) fn new(truth: &Truth) -> Self {
        let mut alignment = Self {
            atoms: Vec::new(),
            strands: Vec::new(),
            alone: Vec::new(),
            parts: Vec::new(),
            candidates: vec![Candidate {
                next: 0,
                gap: None,
                known: Vec::new(),
            }],
        };
        // The halves of a pair come in two deltas; the character is complete with its second half.
        let mut halves: Vec<(usize, u16)> = Vec::new();
        for chunk in truth.chunks() {
            match shape(chunk) {
                Shape::Begin(kind, id) => {
                    let strand = alignment.strand(kind, id);
                    alignment.atoms.push(Atom::Begin(strand));
                }
                Shape::Delta(kind, id, text) => {
                    let strand = alignment.strand(kind, id);
                    let waiting = halves.iter().position(|(part, _)| *part == strand);
                    let half = waiting.map(|waiting| halves.swap_remove(waiting).1);
                    let units: Vec<u16> = half.into_iter().chain(text.to_code_units()).collect();
                    for decoded in char::decode_utf16(units) {
                        match decoded {
                            Ok(char) => alignment.atoms.push(Atom::Char(strand, char)),
                            Err(half) => halves.push((strand, half.unpaired_surrogate())),
                        }
                    }
                }
                Shape::End(kind, id, metadata) => {
                    let strand = alignment.strand(kind, id);
                    if let Some(alone) = halves.iter().position(|(part, _)| *part == strand) {
                        halves.swap_remove(alone);
                        let lone = Atom::Char(strand, char::REPLACEMENT_CHARACTER);
                        alignment.atoms.push(lone);
                    }
                    alignment.atoms.push(Atom::End(strand, metadata.cloned()));
                }
                Shape::Whole(call) => {
                    let strand = call.map(|id| alignment.strand(Kind::Tool, id));
                    let atom = Atom::Whole(strand, Box::new(chunk.clone()));
                    alignment.atoms.push(atom);
                }
            }
        }
        alignment.alone = halves.into_iter().map(|(strand, _)| strand).collect();
        alignment
    }

    fn strand(&mut self, kind: Kind, id: &Text<'_>) -> usize {
        let id = id.to_string_lossy();
        let same = |strand: &Strand| strand.kind == kind && strand.id == id;
        self.strands.iter().position(same).unwrap_or_else(|| {
            self.strands.push(Strand {
                kind,
                id: id.into_owned(),
                first: self.atoms.len(),
            });
            self.strands.len() - 1
        })
    }

    /// Notes that something may be missing before the next chunk.
    pub(crate) fn gap(&mut self) {
        let first = self.candidates.iter().map(|candidate| candidate.next).min();
        self.candidates = (first.unwrap_or(0)..=self.atoms.len())
            .map(|next| Candidate {
                next,
                gap: Some(next),
                known: Vec::new(),
            })
            .collect();
    }

    /// Checks the next delivered chunk.
    pub(crate) fn delivered(&mut self, chunk: &Chunk<'static>) -> Result<(), String> {
        let before = self.candidates.clone();
        let result = match shape(chunk) {
            Shape::Begin(kind, id) => {
                self.parts.push((kind, id.to_string_lossy().into_owned()));
                let part = self.parts.len() - 1;
                self.advance(
                    |_, candidate| candidate.gap.is_some(),
                    |alignment, candidate, atom| match atom {
                        Atom::Begin(strand) if alignment.strands[*strand].kind == kind => {
                            candidate.knowing(part, *strand)
                        }
                        _ => None,
                    },
                )
            }
            Shape::Delta(kind, id, text) => {
                let part = self.part(kind, id);
                text.to_string_lossy()
                    .chars()
                    .all(|char| self.delivered_char(kind, part, id, char))
            }
            Shape::End(kind, id, metadata) => {
                let part = self.part(kind, id);
                let matched = self.advance(
                    // A part that was open at a gap may be closed where the gap is marked.
                    |_, candidate| candidate.gap.is_some() && candidate.strand_of(part).is_none(),
                    |_, candidate, atom| match atom {
                        Atom::End(strand, expected)
                            if candidate.strand_of(part) == Some(*strand)
                                && expected.as_ref() == metadata =>
                        {
                            Some(candidate.clone())
                        }
                        _ => None,
                    },
                );
                // An id can be used again.
                self.parts[part].1.push_str(" (ended)");
                matched
            }
            Shape::Whole(_) => self.advance(
                |_, _| false,
                |_, candidate, atom| match atom {
                    Atom::Whole(_, expected) if same(expected, chunk) => Some(candidate.clone()),
                    _ => None,
                },
            ),
        };
        if result {
            return Ok(());
        }
        let expected: Vec<_> = before
            .iter()
            .take(3)
            .map(|candidate| self.context(candidate.next))
            .collect();
        self.candidates = before;
        Err(format!(
            "{} was delivered, but the truth continues with {}",
            chunk.encode(),
            expected.join(" or ")
        ))
    }

    /// Returns whether everything was delivered.
    pub(crate) fn is_complete(&self) -> bool {
        let end = self.atoms.len();
        self.candidates
            .iter()
            .any(|candidate| candidate.next == end)
    }

    fn delivered_char(&mut self, kind: Kind, part: usize, id: &Text<'_>, char: char) -> bool {
        let lone = char == char::REPLACEMENT_CHARACTER;
        // The next character of the part has two halves, or only its first half ever comes.
        let is_half = |alignment: &Self, candidate: &Candidate| {
            let strand = match kind {
                Kind::Tool => alignment
                    .strands
                    .iter()
                    .position(|strand| strand.kind == kind && *id == *strand.id.as_str()),
                _ => candidate.strand_of(part),
            };
            let rest = &alignment.atoms[candidate.next..];
            let next = rest.iter().find_map(|atom| match atom {
                Atom::Char(of, char) if Some(*of) == strand => Some(*char),
                _ => None,
            });
            match next {
                Some(char) => u32::from(char) > 0xffff || char == char::REPLACEMENT_CHARACTER,
                None => strand.is_some_and(|strand| alignment.alone.contains(&strand)),
            }
        };
        self.advance(
            // Half an emoji that was waiting at a gap or at the end. If any character of the part follows, it does not match.
            |alignment, candidate| {
                let waited = candidate.gap.is_some() && candidate.strand_of(part).is_none();
                lone && (waited || is_half(alignment, candidate))
            },
            |alignment, candidate, atom| {
                let Atom::Char(strand, expected) = atom else {
                    return None;
                };
                let of = &alignment.strands[*strand];
                let new = candidate.gap.is_some() && candidate.strand_of(part).is_none();
                // Only the second half of an emoji may have come after the gap.
                let half = lone && new && u32::from(*expected) > 0xffff;
                if of.kind != kind || (*expected != char && !half) {
                    return None;
                }
                match kind {
                    // All readers get the same ids of calls.
                    Kind::Tool => (*id == *of.id.as_str()).then(|| candidate.clone()),
                    _ if new || candidate.strand_of(part) == Some(*strand) => {
                        candidate.knowing(part, *strand)
                    }
                    _ => None,
                }
            },
        )
    }

    fn part(&mut self, kind: Kind, id: &Text<'_>) -> usize {
        let id = id.to_string_lossy();
        let found = self
            .parts
            .iter()
            .rposition(|part| part.0 == kind && part.1 == id);
        found.unwrap_or_else(|| {
            self.parts.push((kind, id.into_owned()));
            self.parts.len() - 1
        })
    }

    /// Advances each candidate: over atoms that match, past those that may be missing, and in place where it may stay.
    fn advance(
        &mut self,
        stays: impl Fn(&Self, &Candidate) -> bool,
        matches: impl Fn(&Self, &Candidate, &Atom) -> Option<Candidate>,
    ) -> bool {
        let mut next = Vec::with_capacity(self.candidates.len());
        for candidate in &self.candidates {
            if stays(self, candidate) {
                next.push(candidate.clone());
            }
            for at in candidate.next..self.atoms.len() {
                if let Some(mut matched) = matches(self, candidate, &self.atoms[at]) {
                    matched.next = at + 1;
                    next.push(matched);
                }
                if !self.may_be_missing(candidate, at) {
                    break;
                }
            }
        }
        if next.len() > 1 {
            next.sort();
            next.dedup();
        }
        self.candidates = next;
        !self.candidates.is_empty()
    }

    /// Returns whether the relay omits this atom for a reader that joined where the gap ended.
    fn may_be_missing(&self, candidate: &Candidate, at: usize) -> bool {
        let Some(gap) = candidate.gap else {
            return false;
        };
        let before = |strand: &usize| self.strands[*strand].first < gap;
        match &self.atoms[at] {
            Atom::Char(strand, char) => {
                let lone = *char == char::REPLACEMENT_CHARACTER;
                before(strand) && (lone || self.strands[*strand].kind == Kind::Tool)
            }
            Atom::Whole(Some(strand), _) => before(strand),
            Atom::End(strand, _) => {
                before(strand) && !candidate.known.iter().any(|(_, known)| known == strand)
            }
            Atom::Begin(_) | Atom::Whole(None, _) => false,
        }
    }

    fn context(&self, next: usize) -> String {
        let mut text = String::new();
        for atom in self.atoms.iter().skip(next).take(24) {
            match atom {
                Atom::Begin(strand) => {
                    text.push_str(&format!("⟨{} begins⟩", self.strands[*strand].id));
                }
                Atom::Char(_, char) => text.push(*char),
                Atom::End(strand, _) => {
                    text.push_str(&format!("⟨{} ends⟩", self.strands[*strand].id));
                }
                Atom::Whole(_, chunk) => text.push_str(&format!("⟨{}⟩", chunk.encode())),
            }
        }
        if text.is_empty() {
            text.push_str("its end");
        }
        text
    }
}

enum Shape<'c> {
    Begin(Kind, &'c Text<'static>),
    Delta(Kind, &'c Text<'static>, &'c Text<'static>),
    End(Kind, &'c Text<'static>, Option<&'c RawJson<'static>>),
    /// Any other chunk; if it belongs to a call, with the id of the call.
    Whole(Option<&'c Text<'static>>),
}

fn shape<'c>(chunk: &'c Chunk<'static>) -> Shape<'c> {
    match chunk {
        Chunk::TextStart(chunk) => Shape::Begin(Kind::Text, &chunk.id),
        Chunk::ReasoningStart(chunk) => Shape::Begin(Kind::Reasoning, &chunk.id),
        Chunk::TextDelta(chunk) => Shape::Delta(Kind::Text, &chunk.id, &chunk.delta),
        Chunk::ReasoningDelta(chunk) => Shape::Delta(Kind::Reasoning, &chunk.id, &chunk.delta),
        Chunk::ToolInputDelta(chunk) => {
            Shape::Delta(Kind::Tool, &chunk.tool_call_id, &chunk.input_text_delta)
        }
        Chunk::TextEnd(chunk) => {
            Shape::End(Kind::Text, &chunk.id, chunk.provider_metadata.as_ref())
        }
        Chunk::ReasoningEnd(chunk) => {
            Shape::End(Kind::Reasoning, &chunk.id, chunk.provider_metadata.as_ref())
        }
        Chunk::ToolInputStart(chunk) => Shape::Whole(Some(&chunk.tool_call_id)),
        Chunk::ToolInputAvailable(chunk) => Shape::Whole(Some(&chunk.tool_call_id)),
        Chunk::ToolOutputAvailable(chunk) => Shape::Whole(Some(&chunk.tool_call_id)),
        Chunk::ToolOutputError(chunk) => Shape::Whole(Some(&chunk.tool_call_id)),
        _ => Shape::Whole(None),
    }
}

/// Returns whether two chunks are equal, ignoring the id of the last text in metadata, which differs between readers.
fn same(expected: &Chunk<'static>, delivered: &Chunk<'static>) -> bool {
    match (expected, delivered) {
        (Chunk::MessageMetadata(one), Chunk::MessageMetadata(other)) => {
            let value = |metadata: &Option<RawJson<'static>>| {
                let mut value: serde_json::Value = metadata
                    .as_ref()
                    .and_then(|raw| raw.deserialize().ok())
                    .unwrap_or_default();
                if let Some(members) = value.as_object_mut() {
                    members.remove("finalTextId");
                }
                value
            };
            one.message_metadata == other.message_metadata
                || value(&one.message_metadata) == value(&other.message_metadata)
        }
        _ => expected == delivered,
    }
}
