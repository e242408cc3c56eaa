use serde::{Deserialize, Deserializer, Serialize};

use crate::ui::{RawJson, UiMessage, message_with_content};

/// A message as it is stored.
///
/// Older threads hold messages of an older form, `{role, content}`, whose content is a text or a list of blocks. They are read
/// as UI messages: a text and a block `text` as a text part, a block `thinking` as a reasoning part, a block `image` with its
/// content in it as a `data-image` part, and every other block as the part that it is, or as
/// [`Part::Unknown`](crate::ui::Part::Unknown). What else the message holds is kept. Written again, they have the new form.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum StoredMessage {
    /// A UI message.
    Ui(UiMessage),
    /// Something of another shape, as it came.
    Other(RawJson<'static>),
}

impl StoredMessage {
    /// The UI message, if it is one.
    pub fn as_ui_message(&self) -> Option<&UiMessage> {
        match self {
            Self::Ui(message) => Some(message),
            Self::Other(_) => None,
        }
    }

    /// The UI message, if it is one.
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
