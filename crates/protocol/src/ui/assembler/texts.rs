use std::mem;

use super::by_text::ByText;
use super::change::Change;
use super::error::AssembleError;
use super::machine::{Assembler, not_started, own, own_raw};
use super::room::grown;
use crate::ui::held::{allocation, owned, owned_raw};
use crate::ui::joiner::Half;
use crate::ui::{Part, RawJson, ReasoningPart, Text, TextPart, TextState};

/// A text or reasoning part that has not ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Active {
    pub(super) part: usize,
    /// The first half of a character that waits for the second. Meanwhile the text ends with U+FFFD in its place.
    half: Half,
}

/// The kinds of parts that are written delta by delta, apart from tool calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Text,
    Reasoning,
}

impl Kind {
    fn delta_type(self) -> &'static str {
        match self {
            Self::Text => "text-delta",
            Self::Reasoning => "reasoning-delta",
        }
    }

    fn end_type(self) -> &'static str {
        match self {
            Self::Text => "text-end",
            Self::Reasoning => "reasoning-end",
        }
    }
}

impl Assembler {
    pub(super) fn active(&mut self, kind: Kind) -> &mut ByText<Active> {
        match kind {
            Kind::Text => &mut self.texts,
            Kind::Reasoning => &mut self.reasonings,
        }
    }

    pub(super) fn start_part<'c>(
        &mut self,
        kind: Kind,
        id: &Text<'_>,
        provider_metadata: Option<&RawJson<'_>>,
    ) -> Result<Change<'c>, AssembleError> {
        // The id exists twice: in the part and in the map that finds it.
        let index = self.active(kind).growth(id);
        let metadata = provider_metadata.map_or(0, owned_raw);
        self.fits_parts(1, index + owned(id) + metadata)?;
        let provider_metadata = provider_metadata.map(own_raw);
        let part = match kind {
            Kind::Text => {
                let mut part = TextPart::new("");
                part.state = Some(TextState::Streaming);
                part.provider_metadata = provider_metadata;
                Part::Text(part)
            }
            Kind::Reasoning => {
                let mut part = ReasoningPart::new("");
                part.id = Some(own(id));
                part.state = Some(TextState::Streaming);
                part.provider_metadata = provider_metadata;
                Part::Reasoning(part)
            }
        };
        let steps = self.show();
        let at = self.push(part);
        let active = Active {
            part: at,
            half: Half::default(),
        };
        self.active(kind).insert(id, active);
        Ok(Change::Added {
            first: steps.unwrap_or(at),
        })
    }

    pub(super) fn delta<'c>(
        &mut self,
        kind: Kind,
        id: &Text<'_>,
        delta: &'c Text<'_>,
        provider_metadata: Option<&RawJson<'_>>,
    ) -> Result<Change<'c>, AssembleError> {
        let metadata_size = provider_metadata.map_or(0, owned_raw);
        let Some(&active) = self.active(kind).get(id) else {
            if !self.lenient {
                return Err(not_started(kind.delta_type(), id));
            }
            // Check the part and the delta together: if only the part fitted, the error would leave an empty one.
            let text = allocation(delta.stored_len() + 2 * REPLACEMENT_LENGTH);
            let more = Half::default().scratch(delta) + text + metadata_size;
            let index = self.active(kind).growth(id);
            self.fits_parts(1, index + owned(id) + more)?;
            let opened = self.start_part(kind, id, None)?;
            self.delta(kind, id, delta, provider_metadata)?;
            return Ok(opened);
        };
        let text = self.message.parts.get_mut(active.part).and_then(text_of);
        let (length, capacity) =
            text.map_or((0, 0), |(text, ..)| (text.stored_len(), text.capacity()));
        // U+FFFD may be needed twice: for a half that stays alone, and for one that waits at the end.
        let needed = length + delta.stored_len() + 2 * REPLACEMENT_LENGTH;
        let grows = needed > capacity;
        let mut new_capacity = capacity;
        let more = active.half.scratch(delta) + metadata_size;
        // Most deltas fit the capacity, which is counted already, and are appended without a copy. They need no check.
        if grows || more > 0 {
            self.fits(more)?;
            if grows {
                let room = self.room() - more;
                new_capacity =
                    grown(capacity, needed, room, allocation).ok_or_else(|| self.too_large())?;
            }
        }
        let Some(active) = self.active(kind).get_mut(id) else {
            return Ok(Change::Nothing);
        };
        let had_half = active.half.is_waiting();
        let piece = active.half.join(delta);
        let (at, has_half) = (active.part, active.half.is_waiting());
        let Some((text, _, metadata)) = self.message.parts.get_mut(at).and_then(text_of) else {
            return Ok(Change::Nothing);
        };
        let mut longer = mem::take(text).into_string_lossy();
        if grows {
            longer.reserve_exact(new_capacity - length);
        }
        if had_half {
            // Remove the U+FFFD that was shown for the half. It is appended again below if a half still waits.
            longer.pop();
        }
        longer.push_str(&piece);
        if has_half {
            longer.push(char::REPLACEMENT_CHARACTER);
        }
        *text = longer.into();
        if let Some(provider_metadata) = provider_metadata {
            *metadata = Some(own_raw(provider_metadata));
        }
        if grows || provider_metadata.is_some() {
            self.weigh(at);
        }
        // A half replaces the U+FFFD at the end of the text, which is not just appended text.
        let appended = !had_half && !has_half && provider_metadata.is_none();
        match self.changed(at) {
            Change::Changed { part } if appended => Ok(Change::Appended { part, text: piece }),
            change => Ok(change),
        }
    }

    pub(super) fn end_part<'c>(
        &mut self,
        kind: Kind,
        id: &Text<'_>,
        citations: Option<&RawJson<'_>>,
        provider_metadata: Option<&RawJson<'_>>,
    ) -> Result<Change<'c>, AssembleError> {
        let Some(&active) = self.active(kind).get(id) else {
            return Err(not_started(kind.end_type(), id));
        };
        let values = [citations, provider_metadata];
        let more = values.into_iter().flatten().map(owned_raw).sum();
        self.fits(more)?;
        let at = active.part;
        if let Some((_, state, metadata)) = self.message.parts.get_mut(at).and_then(text_of) {
            *state = Some(TextState::Done);
            if let Some(provider_metadata) = provider_metadata {
                *metadata = Some(own_raw(provider_metadata));
            }
        }
        if let Some(citations) = citations
            && let Some(Part::Text(part)) = self.message.parts.get_mut(at)
        {
            part.citations = Some(own_raw(citations));
        }
        self.active(kind).remove(id);
        self.weigh(at);
        Ok(self.changed(at))
    }
}

const REPLACEMENT_LENGTH: usize = char::REPLACEMENT_CHARACTER.len_utf8();

type TextFields<'p> = (
    &'p mut Text<'static>,
    &'p mut Option<TextState>,
    &'p mut Option<RawJson<'static>>,
);

/// Returns the fields that text and reasoning parts share: text, state and the provider's metadata.
fn text_of(part: &mut Part) -> Option<TextFields<'_>> {
    match part {
        Part::Text(part) => Some((&mut part.text, &mut part.state, &mut part.provider_metadata)),
        Part::Reasoning(part) => {
            Some((&mut part.text, &mut part.state, &mut part.provider_metadata))
        }
        _ => None,
    }
}
