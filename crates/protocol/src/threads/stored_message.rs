use serde::{Deserialize, Deserializer, Serialize};

use crate::ui::{RawJson, UiMessage, message_with_content};

/// A stored message of a thread.
///
/// Older threads hold messages of an older form, `{role, content}`, whose content is a text or a list of blocks. They are read as
/// UI messages: a text or a block `text` becomes a text part, a block `thinking` a reasoning part, and a block `image` with its
/// content a `data-image` part. Every other block becomes the part that it already is, or
/// [`Part::Unknown`](crate::ui::Part::Unknown). Other members of the message are kept. The messages are written in the new form.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum StoredMessage {
    /// A UI message.
    Ui(UiMessage),
    /// A value of another shape, unchanged.
    Other(RawJson<'static>),
}

impl StoredMessage {
    /// Returns the UI message, if it is one.
    pub fn as_ui_message(&self) -> Option<&UiMessage> {
        match self {
            Self::Ui(message) => Some(message),
            Self::Other(_) => None,
        }
    }

    /// Returns the UI message, if it is one.
    pub fn into_ui_message(self) -> Option<UiMessage> {
        match self {
            Self::Ui(message) => Some(message),
            Self::Other(_) => None,
        }
    }
}

/// One message of an unknown shape must not make the rest of the thread unreadable.
impl<'de> Deserialize<'de> for StoredMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <RawJson<'static> as Deserialize>::deserialize(deserializer)?;
        let message = serde_json::from_str(raw.get())
            .ok()
            .or_else(|| message_with_content(raw.get()));
        Ok(message.map_or(Self::Other(raw), Self::Ui))
    }
}
