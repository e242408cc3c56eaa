use std::collections::BTreeMap;

use super::same::same;
use super::texts::text_from;
use super::tool::{approval_of, input_of, result_of};
use crate::ui::chunk::{
    Custom, Data, File, MessageMetadata, ReasoningFile, SourceDocument, SourceUrl, SteeringMessage,
};
use crate::ui::{Chunk, Part, RawJson, ReasoningPart, TextPart, UiMessage};

/// Returns the chunks that create a part in its final state, with texts ended. `number` is its index in the message. Empty for a
/// step, and for an unknown part.
pub(crate) fn chunks_of(part: &Part, number: usize) -> Vec<Chunk<'static>> {
    match part {
        Part::Text(TextPart { text, .. }) | Part::Reasoning(ReasoningPart { text, .. }) => {
            text_from(part, number, &text.to_string_lossy())
        }
        Part::Tool(call) => {
            let mut chunks = input_of(call, None);
            chunks.extend(approval_of(call, None));
            chunks.extend(result_of(call));
            chunks
        }
        Part::SourceUrl(_)
        | Part::SourceDocument(_)
        | Part::File(_)
        | Part::ReasoningFile(_)
        | Part::Custom(_)
        | Part::StepStart(_)
        | Part::SteeringMessage(_)
        | Part::Data(_)
        | Part::Unknown(_) => Vec::from_iter(chunk_of(part)),
    }
}

/// Returns the chunk that creates a part, if a single one does and the part is not a step.
pub(super) fn chunk_of(part: &Part) -> Option<Chunk<'static>> {
    Some(match part {
        Part::SourceUrl(part) => {
            let mut chunk = SourceUrl::new(part.source_id.clone(), part.url.clone());
            chunk.title = part.title.clone();
            chunk.provider_metadata = part.provider_metadata.clone();
            chunk.into()
        }
        Part::SourceDocument(part) => {
            let mut chunk = SourceDocument::new(
                part.source_id.clone(),
                part.media_type.clone(),
                part.title.clone(),
            );
            chunk.filename = part.filename.clone();
            chunk.provider_metadata = part.provider_metadata.clone();
            chunk.into()
        }
        Part::File(part) => {
            let mut chunk = File::new(part.url.clone(), part.media_type.clone());
            chunk.provider_metadata = part.provider_metadata.clone();
            chunk.into()
        }
        Part::ReasoningFile(part) => {
            let mut chunk = ReasoningFile::new(part.url.clone(), part.media_type.clone());
            chunk.provider_metadata = part.provider_metadata.clone();
            chunk.into()
        }
        Part::Custom(part) => {
            let mut chunk = Custom::new(part.kind.clone());
            chunk.provider_metadata = part.provider_metadata.clone();
            chunk.into()
        }
        Part::SteeringMessage(part) => match RawJson::from_value(&part.parts) {
            Ok(parts) => SteeringMessage::new(part.id.clone(), parts).into(),
            Err(_) => return None,
        },
        Part::Data(part) => {
            let mut chunk = Data::new(part.name.clone());
            chunk.id = part.id.clone();
            chunk.data = part.data.clone();
            for (at, (name, value)) in part.other.iter().enumerate() {
                match name.as_str() {
                    Some("transient") if at == 0 && value.get() == "false" => {
                        chunk.transient = Some(false);
                    }
                    // A chunk would read these as members of its own, so it cannot pass on values that do not fit them.
                    Some("type" | "id" | "data" | "transient") => {}
                    _ => chunk.other.push((name.clone(), value.clone())),
                }
            }
            chunk.into()
        }
        Part::Text(_)
        | Part::Reasoning(_)
        | Part::Tool(_)
        | Part::StepStart(_)
        | Part::Unknown(_) => return None,
    })
}

/// Returns a chunk with the metadata of a message, without the members that were delivered already. `None` if all were.
pub(crate) fn rest_of_metadata(
    whole: &UiMessage,
    delivered: Option<&RawJson<'static>>,
) -> Option<Chunk<'static>> {
    let whole = whole.metadata.as_ref()?;
    let members = |metadata: &'_ RawJson<'static>| -> Option<BTreeMap<String, RawJson<'static>>> {
        metadata.deserialize().ok()
    };
    let new = match (members(whole), delivered.and_then(members)) {
        (Some(mut new), Some(delivered)) => {
            new.retain(|name, value| !same(Some(value), delivered.get(name)));
            if new.is_empty() {
                return None;
            }
            RawJson::from_value(&new).ok()?
        }
        _ => whole.clone(),
    };
    Some(MessageMetadata::new().message_metadata(new).into())
}
