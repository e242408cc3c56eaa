use serde::{Deserialize, Serialize};

use crate::error::{InvalidRequest, Problem};
use crate::ui::{Role, UiMessage};

/// The messages of a conversation, as a UI shows them. The relay takes the last user message as the next turn.
///
/// Made from a text, from one [`UiMessage`], or from many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Messages(Vec<UiMessage>);

impl Messages {
    /// The messages.
    pub fn as_slice(&self) -> &[UiMessage] {
        &self.0
    }

    /// Checks that there is a next turn.
    pub(super) fn validate(&self) -> Result<(), InvalidRequest> {
        if self.0.is_empty() {
            return Err(InvalidRequest::new("messages", Problem::Empty));
        }
        let Some(turn) = self.0.iter().rfind(|message| message.role == Role::User) else {
            return Err(InvalidRequest::new(
                "messages",
                Problem::MustHold("a user message"),
            ));
        };
        if turn.text().trim().is_empty() {
            return Err(InvalidRequest::new(
                "messages",
                Problem::MustHold("text in the last user message"),
            ));
        }
        Ok(())
    }
}

impl From<&str> for Messages {
    fn from(text: &str) -> Self {
        Self(vec![UiMessage::user(text.to_owned())])
    }
}

impl From<String> for Messages {
    fn from(text: String) -> Self {
        Self(vec![UiMessage::user(text)])
    }
}

impl From<UiMessage> for Messages {
    fn from(message: UiMessage) -> Self {
        Self(vec![message])
    }
}

impl<const N: usize> From<[UiMessage; N]> for Messages {
    fn from(messages: [UiMessage; N]) -> Self {
        Self(messages.into())
    }
}

impl From<&[UiMessage]> for Messages {
    fn from(messages: &[UiMessage]) -> Self {
        Self(messages.into())
    }
}

impl From<Vec<UiMessage>> for Messages {
    fn from(messages: Vec<UiMessage>) -> Self {
        Self(messages)
    }
}
