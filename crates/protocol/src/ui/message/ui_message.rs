use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::image::Image;
use super::members::{FieldWriter, Members, Object, write_object};
use super::part::Part;
use super::tool::ToolPart;
use crate::ui::{RawJson, Text};

/// A message as `useChat` of the AI SDK shows it.
///
/// A message serializes to the AI SDK's JSON and deserializes without loss: it keeps unknown members, parts and roles, strings
/// with half a surrogate pair, and numbers of any size. Because it keeps raw JSON, it deserializes only with `serde_json`, and not
/// within an internally tagged or untagged enum.
///
/// ```
/// use twentyfirst_protocol::ui::{Role, UiMessage};
///
/// let question = UiMessage::user("What is in this folder?").with_id("m1");
/// assert_eq!(
///     serde_json::to_string(&question)?,
///     r#"{"id":"m1","role":"user","parts":[{"type":"text","text":"What is in this folder?"}]}"#
/// );
///
/// let answer: UiMessage = serde_json::from_str(
///     r#"{"id":"m2","role":"assistant","parts":[{"type":"text","text":"Two files.","state":"done"}]}"#,
/// )?;
/// assert_eq!(answer.role, Role::Assistant);
/// assert_eq!(answer.text(), "Two files.");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UiMessage {
    /// The message's id. The relay accepts messages without one.
    pub id: Option<Text<'static>>,
    /// The author of the message.
    pub role: Role,
    /// The metadata of the message, such as usage, times, or values of the application.
    pub metadata: Option<RawJson<'static>>,
    /// The parts in order.
    pub parts: Vec<Part>,
    /// Every other member.
    pub other: Members,
}

impl UiMessage {
    /// Creates a message without an id.
    #[must_use]
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self {
            id: None,
            role,
            metadata: None,
            parts,
            other: Members::new(),
        }
    }

    /// Creates a user message with one text part.
    #[must_use]
    pub fn user(text: impl Into<Text<'static>>) -> Self {
        Self::new(Role::User, vec![Part::text(text)])
    }

    /// Creates a system message with one text part.
    #[must_use]
    pub fn system(text: impl Into<Text<'static>>) -> Self {
        Self::new(Role::System, vec![Part::text(text)])
    }

    /// Creates an assistant message with one text part.
    #[must_use]
    pub fn assistant(text: impl Into<Text<'static>>) -> Self {
        Self::new(Role::Assistant, vec![Part::text(text)])
    }

    /// Sets the id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Text<'static>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Appends a part.
    #[must_use]
    pub fn with_part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Appends an image, as a `data-image` part. The message also needs a text: the relay refuses a turn without one.
    #[must_use]
    pub fn with_image(self, image: Image) -> Self {
        self.with_part(image.into())
    }

    /// Sets the metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: RawJson<'static>) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Returns the texts of all text parts, joined without a separator.
    #[must_use]
    pub fn text(&self) -> String {
        self.texts(|part| match part {
            Part::Text(part) => Some(&part.text),
            _ => None,
        })
    }

    /// Returns the texts of all reasoning parts, joined without a separator.
    #[must_use]
    pub fn reasoning(&self) -> String {
        self.texts(|part| match part {
            Part::Reasoning(part) => Some(&part.text),
            _ => None,
        })
    }

    /// Returns the tool calls in order, static and dynamic ones.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolPart> {
        self.parts.iter().filter_map(Part::as_tool)
    }

    /// Returns the last tool call with this id.
    #[must_use]
    pub fn tool_call(&self, tool_call_id: &str) -> Option<&ToolPart> {
        let mut parts = self.parts.iter().rev().filter_map(Part::as_tool);
        parts.find(|part| part.tool_call_id == tool_call_id)
    }

    fn texts<'a>(&'a self, text_of: impl Fn(&'a Part) -> Option<&'a Text<'static>>) -> String {
        let texts = self.parts.iter().filter_map(text_of);
        texts.map(Text::to_string_lossy).collect()
    }
}

impl Object for UiMessage {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error> {
        fields.optional("id", self.id.as_ref())?;
        fields.optional("metadata", self.metadata.as_ref())?;
        fields.field("role", &self.role)?;
        fields.field("parts", &self.parts)?;
        Ok(())
    }

    fn other(&self) -> &Members {
        &self.other
    }
}

impl Serialize for UiMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self, serializer)
    }
}

impl<'de> Deserialize<'de> for UiMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MessageVisitor;

        impl<'de> Visitor<'de> for MessageVisitor {
            type Value = UiMessage;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UI message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UiMessage, A::Error> {
                let mut parts = None;
                let mut members = Members::new();
                while let Some(name) = map.next_key::<Text<'static>>()? {
                    if name == "parts" {
                        parts = Some(map.next_value()?);
                    } else {
                        members.push(name, map.next_value()?);
                    }
                }
                let role: Option<Text<'static>> = members.take("role");
                Ok(UiMessage {
                    id: members.take("id"),
                    role: role.ok_or_else(|| A::Error::missing_field("role"))?.into(),
                    metadata: members.remove("metadata"),
                    parts: parts.ok_or_else(|| A::Error::missing_field("parts"))?,
                    other: members,
                })
            }
        }

        // Read the value as text first. A `serde_json::Value` can be read this way, too: its own map returns no raw JSON.
        let text = <RawJson<'static> as Deserialize>::deserialize(deserializer)?;
        serde_json::Deserializer::from_str(text.get())
            .deserialize_map(MessageVisitor)
            .map_err(D::Error::custom)
    }
}

/// The author of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// `system`: instructions.
    System,
    /// `user`: the user.
    User,
    /// `assistant`: the agent.
    Assistant,
    /// An unknown role.
    Unknown(Text<'static>),
}

impl Role {
    /// Returns the word in JSON; as an error, the text of an unknown role.
    fn word(&self) -> Result<&'static str, &Text<'static>> {
        Ok(match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Unknown(role) => return Err(role),
        })
    }
}

impl From<Text<'static>> for Role {
    fn from(role: Text<'static>) -> Self {
        match role.as_str().unwrap_or_default() {
            "system" => Self::System,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            _ => Self::Unknown(role),
        }
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.word() {
            Ok(word) => serializer.serialize_str(word),
            Err(word) => word.serialize(serializer),
        }
    }
}
