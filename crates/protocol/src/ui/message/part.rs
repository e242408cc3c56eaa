use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::members::{FieldWriter, Member, Members, Object, write_object};
use super::tool::ToolPart;
use crate::ui::chunk::elements;
use crate::ui::held::allocation;
use crate::ui::{RawJson, Text};

/// A part of a message.
///
/// A part is read as one of the types below if it has the required members with values that fit. Every other part is
/// [`Unknown`](Self::Unknown) and kept as a whole. Additional members are in `other`, so that writing a part restores the JSON
/// that it was read from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// `text`: text of the user or the assistant.
    Text(TextPart),
    /// `reasoning`: the model's reasoning.
    Reasoning(ReasoningPart),
    /// `tool-NAME` and `dynamic-tool`: a tool call, with its result.
    Tool(Box<ToolPart>),
    /// `source-url`: a web page that the answer draws on.
    SourceUrl(SourceUrlPart),
    /// `source-document`: a document that the answer draws on.
    SourceDocument(SourceDocumentPart),
    /// `file`: a file, by its URL.
    File(FilePart),
    /// `reasoning-file`: a file that belongs to the reasoning.
    ReasoningFile(ReasoningFilePart),
    /// `custom`: content specific to one provider.
    Custom(CustomPart),
    /// `step-start`: the beginning of a step of the answer.
    StepStart(StepStartPart),
    /// `steering-message`: a user's message that was added during the run.
    SteeringMessage(SteeringMessagePart),
    /// `data-NAME`: data of the application.
    Data(DataPart),
    /// A part of an unknown type, or without the members that its type requires: the whole JSON value.
    Unknown(RawJson<'static>),
}

impl Part {
    /// Creates a text part without a state, as in a user's message.
    #[must_use]
    pub fn text(text: impl Into<Text<'static>>) -> Self {
        Self::Text(TextPart::new(text))
    }

    /// Creates a file part. The relay silently drops file parts of user messages: see [`Image`](crate::ui::Image).
    #[must_use]
    pub fn file(url: impl Into<Text<'static>>, media_type: impl Into<Text<'static>>) -> Self {
        Self::File(FilePart::new(url, media_type))
    }

    /// Creates a `data-NAME` part from a name without the prefix.
    #[must_use]
    pub fn data(name: impl Into<Text<'static>>, data: RawJson<'static>) -> Self {
        Self::Data(DataPart::new(name, data))
    }

    /// Returns the tool call, if this is one.
    #[must_use]
    pub fn as_tool(&self) -> Option<&ToolPart> {
        match self {
            Self::Tool(part) => Some(part),
            _ => None,
        }
    }

    pub(super) fn from_raw(raw: RawJson<'static>, nested: bool) -> Self {
        Members::from_json(raw.get())
            .and_then(|members| Self::from_members(members, nested))
            .unwrap_or(Self::Unknown(raw))
    }

    /// Reads a part of a known type. A steering message within another is unknown, as they do not nest.
    fn from_members(mut members: Members, nested: bool) -> Option<Self> {
        let kind: Text<'static> = members.take("type")?;
        Some(match kind.as_str().unwrap_or_default() {
            "text" => Self::Text(TextPart::read(members)?),
            "reasoning" => Self::Reasoning(ReasoningPart::read(members)?),
            "source-url" => Self::SourceUrl(SourceUrlPart::read(members)?),
            "source-document" => Self::SourceDocument(SourceDocumentPart::read(members)?),
            "file" => Self::File(FilePart::read(members)?),
            "reasoning-file" => Self::ReasoningFile(ReasoningFilePart::read(members)?),
            "custom" => Self::Custom(CustomPart::read(members)?),
            "step-start" => Self::StepStart(StepStartPart { other: members }),
            "steering-message" if !nested => {
                Self::SteeringMessage(SteeringMessagePart::read(members)?)
            }
            "dynamic-tool" => {
                let name = members.take("toolName")?;
                Self::Tool(Box::new(ToolPart::read(name, true, members)?))
            }
            _ => {
                if let Some(name) = kind.strip_prefix("tool-") {
                    Self::Tool(Box::new(ToolPart::read(name, false, members)?))
                } else {
                    let name = kind.strip_prefix("data-")?;
                    Self::Data(DataPart::read(name, members))
                }
            }
        })
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(part) => part.serialize(serializer),
            Self::Reasoning(part) => part.serialize(serializer),
            Self::Tool(part) => part.serialize(serializer),
            Self::SourceUrl(part) => part.serialize(serializer),
            Self::SourceDocument(part) => part.serialize(serializer),
            Self::File(part) => part.serialize(serializer),
            Self::ReasoningFile(part) => part.serialize(serializer),
            Self::Custom(part) => part.serialize(serializer),
            Self::StepStart(part) => part.serialize(serializer),
            Self::SteeringMessage(part) => part.serialize(serializer),
            Self::Data(part) => part.serialize(serializer),
            Self::Unknown(raw) => raw.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <RawJson<'static> as Deserialize>::deserialize(deserializer)?;
        Ok(Self::from_raw(raw, false))
    }
}

/// The state of a text or reasoning part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TextState {
    /// `streaming`: more text may follow.
    Streaming,
    /// `done`: the part has ended.
    Done,
}

impl TextState {
    /// Returns the word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Streaming => "streaming",
            Self::Done => "done",
        }
    }
}

impl Member for TextState {
    fn read(raw: &RawJson<'static>) -> Option<Self> {
        match Text::read(raw)?.as_str()? {
            "streaming" => Some(Self::Streaming),
            "done" => Some(Self::Done),
            _ => None,
        }
    }
}

impl Serialize for TextState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A `text` part.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TextPart {
    /// The text.
    pub text: Text<'static>,
    /// The state; absent in messages that were not streamed.
    pub state: Option<TextState>,
    /// `citations`: the sources that support this text.
    pub citations: Option<RawJson<'static>>,
    /// `providerMetadata`: the metadata of the model's providers, by provider.
    pub provider_metadata: Option<RawJson<'static>>,
    /// Every other member.
    pub other: Members,
}

impl TextPart {
    /// Creates a text part without a state, as in a user's message.
    #[must_use]
    pub fn new(text: impl Into<Text<'static>>) -> Self {
        Self {
            text: text.into(),
            state: None,
            citations: None,
            provider_metadata: None,
            other: Members::new(),
        }
    }

    fn read(mut members: Members) -> Option<Self> {
        Some(Self {
            text: members.take("text")?,
            state: members.take("state"),
            citations: members.remove("citations"),
            provider_metadata: members.remove("providerMetadata"),
            other: members,
        })
    }
}

impl Object for TextPart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("type", "text")?;
        fields.field("text", &self.text)?;
        fields.optional("state", self.state.as_ref())?;
        fields.optional("citations", self.citations.as_ref())?;
        fields.optional("providerMetadata", self.provider_metadata.as_ref())?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for TextPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

/// A `reasoning` part.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReasoningPart {
    /// The id from the stream.
    pub id: Option<Text<'static>>,
    /// The text of the reasoning.
    pub text: Text<'static>,
    /// The state.
    pub state: Option<TextState>,
    /// `providerMetadata`: the metadata of the model's providers, by provider.
    pub provider_metadata: Option<RawJson<'static>>,
    /// Every other member.
    pub other: Members,
}

impl ReasoningPart {
    /// Creates a reasoning part without an id or a state.
    #[must_use]
    pub fn new(text: impl Into<Text<'static>>) -> Self {
        Self {
            id: None,
            text: text.into(),
            state: None,
            provider_metadata: None,
            other: Members::new(),
        }
    }

    fn read(mut members: Members) -> Option<Self> {
        Some(Self {
            text: members.take("text")?,
            id: members.take("id"),
            state: members.take("state"),
            provider_metadata: members.remove("providerMetadata"),
            other: members,
        })
    }
}

impl Object for ReasoningPart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("type", "reasoning")?;
        fields.optional("id", self.id.as_ref())?;
        fields.field("text", &self.text)?;
        fields.optional("state", self.state.as_ref())?;
        fields.optional("providerMetadata", self.provider_metadata.as_ref())?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for ReasoningPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

/// A `source-url` part.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SourceUrlPart {
    /// `sourceId`: the source's id.
    pub source_id: Text<'static>,
    /// The URL of the source.
    pub url: Text<'static>,
    /// The source's title.
    pub title: Option<Text<'static>>,
    /// `providerMetadata`: the metadata of the model's providers, by provider.
    pub provider_metadata: Option<RawJson<'static>>,
    /// Every other member.
    pub other: Members,
}

impl SourceUrlPart {
    /// Creates a source without a title.
    #[must_use]
    pub fn new(source_id: impl Into<Text<'static>>, url: impl Into<Text<'static>>) -> Self {
        Self {
            source_id: source_id.into(),
            url: url.into(),
            title: None,
            provider_metadata: None,
            other: Members::new(),
        }
    }

    fn read(mut members: Members) -> Option<Self> {
        let [source_id, url] = members.take_texts(["sourceId", "url"])?;
        Some(Self {
            source_id,
            url,
            title: members.take("title"),
            provider_metadata: members.remove("providerMetadata"),
            other: members,
        })
    }
}

impl Object for SourceUrlPart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("type", "source-url")?;
        fields.field("sourceId", &self.source_id)?;
        fields.field("url", &self.url)?;
        fields.optional("title", self.title.as_ref())?;
        fields.optional("providerMetadata", self.provider_metadata.as_ref())?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for SourceUrlPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

/// A `source-document` part.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SourceDocumentPart {
    /// `sourceId`: the source's id.
    pub source_id: Text<'static>,
    /// `mediaType`: the document's media type.
    pub media_type: Text<'static>,
    /// The document's title.
    pub title: Text<'static>,
    /// The document's file name.
    pub filename: Option<Text<'static>>,
    /// `providerMetadata`: the metadata of the model's providers, by provider.
    pub provider_metadata: Option<RawJson<'static>>,
    /// Every other member.
    pub other: Members,
}

impl SourceDocumentPart {
    /// Creates a source without a file name.
    #[must_use]
    pub fn new(
        source_id: impl Into<Text<'static>>,
        media_type: impl Into<Text<'static>>,
        title: impl Into<Text<'static>>,
    ) -> Self {
        Self {
            source_id: source_id.into(),
            media_type: media_type.into(),
            title: title.into(),
            filename: None,
            provider_metadata: None,
            other: Members::new(),
        }
    }

    fn read(mut members: Members) -> Option<Self> {
        let [source_id, media_type, title] =
            members.take_texts(["sourceId", "mediaType", "title"])?;
        Some(Self {
            source_id,
            media_type,
            title,
            filename: members.take("filename"),
            provider_metadata: members.remove("providerMetadata"),
            other: members,
        })
    }
}

impl Object for SourceDocumentPart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("type", "source-document")?;
        fields.field("sourceId", &self.source_id)?;
        fields.field("mediaType", &self.media_type)?;
        fields.field("title", &self.title)?;
        fields.optional("filename", self.filename.as_ref())?;
        fields.optional("providerMetadata", self.provider_metadata.as_ref())?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for SourceDocumentPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

/// A `file` part.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FilePart {
    /// `mediaType`: the file's media type, or only its top-level type (`image`).
    pub media_type: Text<'static>,
    /// The URL of the file, possibly a `data:` URL.
    pub url: Text<'static>,
    /// The file's name.
    pub filename: Option<Text<'static>>,
    /// `providerReference`: the file's id at each provider that has it.
    pub provider_reference: Option<RawJson<'static>>,
    /// `providerMetadata`: the metadata of the model's providers, by provider.
    pub provider_metadata: Option<RawJson<'static>>,
    /// Every other member.
    pub other: Members,
}

impl FilePart {
    /// Creates a file without a name.
    #[must_use]
    pub fn new(url: impl Into<Text<'static>>, media_type: impl Into<Text<'static>>) -> Self {
        Self {
            media_type: media_type.into(),
            url: url.into(),
            filename: None,
            provider_reference: None,
            provider_metadata: None,
            other: Members::new(),
        }
    }

    fn read(mut members: Members) -> Option<Self> {
        let [media_type, url] = members.take_texts(["mediaType", "url"])?;
        Some(Self {
            media_type,
            url,
            filename: members.take("filename"),
            provider_reference: members.remove("providerReference"),
            provider_metadata: members.remove("providerMetadata"),
            other: members,
        })
    }
}

impl Object for FilePart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("type", "file")?;
        fields.field("mediaType", &self.media_type)?;
        fields.field("url", &self.url)?;
        fields.optional("filename", self.filename.as_ref())?;
        fields.optional("providerReference", self.provider_reference.as_ref())?;
        fields.optional("providerMetadata", self.provider_metadata.as_ref())?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for FilePart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

/// A `reasoning-file` part.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReasoningFilePart {
    /// `mediaType`: the file's media type.
    pub media_type: Text<'static>,
    /// The URL of the file, possibly a `data:` URL.
    pub url: Text<'static>,
    /// `providerMetadata`: the metadata of the model's providers, by provider.
    pub provider_metadata: Option<RawJson<'static>>,
    /// Every other member.
    pub other: Members,
}

impl ReasoningFilePart {
    /// Creates a file that belongs to the reasoning.
    #[must_use]
    pub fn new(url: impl Into<Text<'static>>, media_type: impl Into<Text<'static>>) -> Self {
        Self {
            media_type: media_type.into(),
            url: url.into(),
            provider_metadata: None,
            other: Members::new(),
        }
    }

    fn read(mut members: Members) -> Option<Self> {
        let [media_type, url] = members.take_texts(["mediaType", "url"])?;
        Some(Self {
            media_type,
            url,
            provider_metadata: members.remove("providerMetadata"),
            other: members,
        })
    }
}

impl Object for ReasoningFilePart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("type", "reasoning-file")?;
        fields.field("mediaType", &self.media_type)?;
        fields.field("url", &self.url)?;
        fields.optional("providerMetadata", self.provider_metadata.as_ref())?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for ReasoningFilePart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

/// A `custom` part.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CustomPart {
    /// The kind, as `provider.type`.
    pub kind: Text<'static>,
    /// `providerMetadata`: the metadata of the model's providers, by provider.
    pub provider_metadata: Option<RawJson<'static>>,
    /// Every other member.
    pub other: Members,
}

impl CustomPart {
    /// Creates a custom part without metadata.
    #[must_use]
    pub fn new(kind: impl Into<Text<'static>>) -> Self {
        Self {
            kind: kind.into(),
            provider_metadata: None,
            other: Members::new(),
        }
    }

    fn read(mut members: Members) -> Option<Self> {
        Some(Self {
            kind: members.take("kind")?,
            provider_metadata: members.remove("providerMetadata"),
            other: members,
        })
    }
}

impl Object for CustomPart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("type", "custom")?;
        fields.field("kind", &self.kind)?;
        fields.optional("providerMetadata", self.provider_metadata.as_ref())?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for CustomPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

/// A `step-start` part.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StepStartPart {
    /// Every other member.
    pub other: Members,
}

impl StepStartPart {
    /// Creates the start of a step.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Object for StepStartPart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("type", "step-start")?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for StepStartPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

/// A `steering-message` part.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SteeringMessagePart {
    /// The steering message's id.
    pub id: Text<'static>,
    /// The text and file parts of the user's message.
    pub parts: Vec<Part>,
    /// Every other member.
    pub other: Members,
}

impl SteeringMessagePart {
    /// Creates a steering message.
    #[must_use]
    pub fn new(id: impl Into<Text<'static>>, parts: Vec<Part>) -> Self {
        Self {
            id: id.into(),
            parts,
            other: Members::new(),
        }
    }

    /// Reads the parts of a steering message; `None` if the value is not an array.
    pub(crate) fn read_parts(raw: &RawJson<'_>) -> Option<Vec<Part>> {
        let mut parts = Vec::with_capacity(elements(raw.get())?.count());
        for element in elements(raw.get())? {
            let element = RawJson::from_valid(element.to_owned());
            parts.push(Part::from_raw(element, true));
        }
        Some(parts)
    }

    /// Returns an upper bound for the memory of the parts read from this value, in bytes.
    pub(crate) fn size_of_parts(raw: &RawJson<'_>) -> usize {
        let json = raw.get();
        let count = |byte| memchr::memchr_iter(byte, json.as_bytes()).count();
        let parts = elements(json).map_or(0, Iterator::count);
        // A list of members may have twice the capacity that it needs.
        let member = 3 * size_of::<(Text<'_>, RawJson<'_>)>() + 2 * allocation(1);
        parts * (size_of::<Part>() + 4 * member) + count(b':') * member + 3 * json.len()
    }

    fn read(mut members: Members) -> Option<Self> {
        let parts = Self::read_parts(members.get("parts")?)?;
        let id = members.take("id")?;
        members.remove("parts");
        Some(Self {
            id,
            parts,
            other: members,
        })
    }
}

impl Object for SteeringMessagePart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("type", "steering-message")?;
        fields.field("id", &self.id)?;
        fields.field("parts", &self.parts)?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for SteeringMessagePart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

/// A `data-NAME` part.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DataPart {
    /// The name after `data-`.
    pub name: Text<'static>,
    /// The part's id: later data with the same name and id replaces this data.
    pub id: Option<Text<'static>>,
    /// The data.
    pub data: Option<RawJson<'static>>,
    /// Every other member.
    pub other: Members,
}

impl DataPart {
    /// Creates a data part without an id, from a name without the prefix `data-`.
    #[must_use]
    pub fn new(name: impl Into<Text<'static>>, data: RawJson<'static>) -> Self {
        Self {
            name: name.into(),
            id: None,
            data: Some(data),
            other: Members::new(),
        }
    }

    fn read(name: Text<'static>, mut members: Members) -> Self {
        Self {
            name,
            id: members.take("id"),
            data: members.remove("data"),
            other: members,
        }
    }
}

impl Object for DataPart {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.field("type", &self.name.prefixed("data-"))?;
        fields.optional("id", self.id.as_ref())?;
        fields.optional("data", self.data.as_ref())?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for DataPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}
