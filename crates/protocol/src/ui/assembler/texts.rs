use std::mem;

use super::by_text::ByText;
use super::change::Change;
use super::error::AssembleError;
use super::machine::{Assembler, not_started, own, own_raw, raw_length};
use super::size::length;
use crate::ui::joiner::Half;
use crate::ui::{Part, RawJson, ReasoningPart, Text, TextPart, TextState};

/// A text or reasoning part that has not ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Active {
    pub(super) part: usize,
    /// If one waits, the text shows U+FFFD in its place.
    half: Half,
}

/// The kinds of parts that are written piece by piece.
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
        // The id is kept twice: in the part and to find it.
        let size = size_of::<Part>() + 2 * length(id) + provider_metadata.map_or(0, raw_length);
        self.fits(size)?;
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
        let at = self.push(part, size);
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
        let more = 2 * length(delta) + provider_metadata.map_or(0, raw_length);
        if self.active(kind).get(id).is_none() {
            if !self.lenient {
                return Err(not_started(kind.delta_type(), id));
            }
            self.fits(more + size_of::<Part>() + 2 * length(id))?;
            let opened = self.start_part(kind, id, None)?;
            self.delta(kind, id, delta, provider_metadata)?;
            return Ok(opened);
        }
        self.fits(more)?;
        let Some(active) = self.active(kind).get_mut(id) else {
            return Ok(Change::Nothing);
        };
        let had_half = active.half.is_waiting();
        let piece = active.half.join(delta);
        let (at, has_half) = (active.part, active.half.is_waiting());
        let Some((text, _, metadata)) = self.message.parts.get_mut(at).and_then(text_of) else {
            return Ok(Change::Nothing);
        };
        let mut grown = mem::take(text).into_string_lossy();
        if had_half {
            grown.pop();
        }
        grown.push_str(&piece);
        if has_half {
            grown.push(char::REPLACEMENT_CHARACTER);
        }
        *text = grown.into();
        let dropped = if provider_metadata.is_some() {
            metadata.as_ref().map_or(0, raw_length)
        } else {
            0
        };
        if let Some(provider_metadata) = provider_metadata {
            *metadata = Some(own_raw(provider_metadata));
        }
        let size = self.sizes.get(at).copied().unwrap_or_default();
        self.resize(
            at,
            size + piece.len() + provider_metadata.map_or(0, raw_length) - dropped,
        );
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
        let more = values.into_iter().flatten().map(raw_length).sum();
        self.fits(more)?;
        let at = active.part;
        let size = self.sizes.get(at).copied().unwrap_or_default();
        self.resize(at, size + more);
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
        Ok(self.changed(at))
    }
}

type TextFields<'p> = (
    &'p mut Text<'static>,
    &'p mut Option<TextState>,
    &'p mut Option<RawJson<'static>>,
);

/// The fields that text and reasoning parts share: text, state and the provider's metadata.
fn text_of(part: &mut Part) -> Option<TextFields<'_>> {
    match part {
        Part::Text(part) => Some((&mut part.text, &mut part.state, &mut part.provider_metadata)),
        Part::Reasoning(part) => {
            Some((&mut part.text, &mut part.state, &mut part.provider_metadata))
        }
        _ => None,
    }
}
