use crate::ui::chunk::{
    ReasoningDelta, ReasoningEnd, ReasoningStart, TextDelta, TextEnd, TextStart,
};
use crate::ui::{Chunk, Part, RawJson, ReasoningPart, Text, TextPart, TextState};

/// Returns the chunks that complete a text or reasoning part that is open under this id: `rest`, and the end.
pub(crate) fn rest_of_text(part: &Part, id: &Text<'static>, rest: &str) -> Vec<Chunk<'static>> {
    Written::of(part).map_or_else(Vec::new, |part| part.rest(id, rest))
}

/// Returns the chunks of a text or reasoning part that contains only `rest`. `number` is its index in the message.
pub(crate) fn text_from(part: &Part, number: usize, rest: &str) -> Vec<Chunk<'static>> {
    let id = Text::from(format!("stored-{number}"));
    let Some(part) = Written::of(part) else {
        return Vec::new();
    };
    let mut chunks = vec![part.start(id.clone(), None)];
    chunks.extend(part.rest(&id, rest));
    chunks
}

/// A part that is written delta by delta.
#[derive(Clone, Copy)]
pub(super) enum Written<'p> {
    Text(&'p TextPart),
    Reasoning(&'p ReasoningPart),
}

impl<'p> Written<'p> {
    pub(super) fn of(part: &'p Part) -> Option<Self> {
        match part {
            Part::Text(part) => Some(Self::Text(part)),
            Part::Reasoning(part) => Some(Self::Reasoning(part)),
            Part::Tool(_)
            | Part::SourceUrl(_)
            | Part::SourceDocument(_)
            | Part::File(_)
            | Part::ReasoningFile(_)
            | Part::Custom(_)
            | Part::StepStart(_)
            | Part::SteeringMessage(_)
            | Part::Data(_)
            | Part::Unknown(_) => None,
        }
    }

    fn start(
        self,
        id: Text<'static>,
        provider_metadata: Option<RawJson<'static>>,
    ) -> Chunk<'static> {
        match self {
            Self::Text(_) => {
                let mut start = TextStart::new(id);
                start.provider_metadata = provider_metadata;
                start.into()
            }
            Self::Reasoning(_) => {
                let mut start = ReasoningStart::new(id);
                start.provider_metadata = provider_metadata;
                start.into()
            }
        }
    }

    fn delta(self, id: Text<'static>, delta: String) -> Chunk<'static> {
        match self {
            Self::Text(_) => TextDelta::new(id, delta).into(),
            Self::Reasoning(_) => ReasoningDelta::new(id, delta).into(),
        }
    }

    fn end(self, id: Text<'static>) -> Chunk<'static> {
        match self {
            Self::Text(part) => {
                let mut end = TextEnd::new(id);
                end.provider_metadata = part.provider_metadata.clone();
                end.citations = part.citations.clone();
                end.into()
            }
            Self::Reasoning(part) => {
                let mut end = ReasoningEnd::new(id);
                end.provider_metadata = part.provider_metadata.clone();
                end.into()
            }
        }
    }

    /// Returns the chunks that create the part, without an end if it is still streaming. `number` is its index in the message.
    pub(super) fn chunks(self, number: usize) -> Vec<Chunk<'static>> {
        let (id, text, state, metadata) = match self {
            Self::Text(part) => (None, &part.text, part.state, &part.provider_metadata),
            Self::Reasoning(part) => {
                let id = part.id.clone();
                (id, &part.text, part.state, &part.provider_metadata)
            }
        };
        let id = id.unwrap_or_else(|| format!("text-{number}").into());
        let text = text.to_string_lossy();
        if state != Some(TextState::Streaming) {
            return [self.start(id.clone(), None)]
                .into_iter()
                .chain(self.rest(&id, &text))
                .collect();
        }
        let start = self.start(id.clone(), metadata.clone());
        let delta = (!text.is_empty()).then(|| self.delta(id, text.into_owned()));
        [start].into_iter().chain(delta).collect()
    }

    fn rest(self, id: &Text<'static>, rest: &str) -> Vec<Chunk<'static>> {
        let delta = (!rest.is_empty()).then(|| self.delta(id.clone(), rest.to_owned()));
        let end = self.end(id.clone());
        delta.into_iter().chain([end]).collect()
    }
}
