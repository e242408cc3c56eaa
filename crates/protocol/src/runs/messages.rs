use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{InvalidRequest, Problem};
use crate::ui::{Part, Role, Text, UiMessage};

/// The messages of a conversation, as a UI shows them. The relay takes the last user message as the next turn.
///
/// Create it from a text, from one [`UiMessage`], from several, or message by message:
///
/// ```
/// use twentyfirst_protocol::runs::Messages;
/// use twentyfirst_protocol::ui::{Image, UiMessage};
///
/// let one: Messages = "What is in this folder?".into();
/// let more = Messages::new()
///     .user("What is in this folder?")
///     .assistant("Two files: main.rs and logo.png.")
///     .message(UiMessage::user("Is this the second?").with_image(Image::new(b"\x89PNG", "image/png")));
///
/// // The stored messages of a thread, and the next turn.
/// # let stored: Vec<UiMessage> = vec![];
/// let next = Messages::from(stored).user("And now?");
/// # let _ = (one, more, next);
/// ```
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[must_use]
pub struct Messages(Vec<UiMessage>);

/// Shows the number of messages, without their contents.
impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages").field(&self.0.len()).finish()
    }
}

impl Messages {
    /// Creates an empty conversation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a message of the user.
    pub fn user(self, text: impl Into<Text<'static>>) -> Self {
        self.message(UiMessage::user(text))
    }

    /// Appends a message of the assistant.
    pub fn assistant(self, text: impl Into<Text<'static>>) -> Self {
        self.message(UiMessage::assistant(text))
    }

    /// Appends this message.
    pub fn message(mut self, message: UiMessage) -> Self {
        self.0.push(message);
        self
    }

    /// Returns the messages.
    pub fn as_slice(&self) -> &[UiMessage] {
        &self.0
    }

    /// Returns the next turn, which is the last user message.
    pub(super) fn turn(&self) -> Option<&UiMessage> {
        self.0.iter().rfind(|message| message.role == Role::User)
    }

    /// Inserts the contents of another conversation's next turn before the contents of this one's.
    pub(super) fn carry(&mut self, earlier: &Self) {
        let parts = earlier.turn().map(|turn| turn.parts.iter().cloned());
        let turn = self
            .0
            .iter_mut()
            .rfind(|message| message.role == Role::User);
        if let (Some(parts), Some(turn)) = (parts, turn) {
            turn.parts.splice(0..0, parts);
        }
    }

    /// Appends a text part to the next turn.
    pub(super) fn add_to_turn(&mut self, text: String) {
        let turn = self
            .0
            .iter_mut()
            .rfind(|message| message.role == Role::User);
        if let Some(turn) = turn {
            turn.parts.push(Part::text(text));
        }
    }

    /// Checks that there is a next turn.
    pub(super) fn validate(&self) -> Result<(), InvalidRequest> {
        let problem = match self.turn() {
            _ if self.0.is_empty() => Problem::Empty,
            None => Problem::MustContain("a user message"),
            Some(turn) if turn.text().trim().is_empty() => {
                Problem::MustContain("text in the last user message")
            }
            Some(_) => return Ok(()),
        };
        Err(InvalidRequest::new("messages", problem))
    }

    /// Returns the id of the next turn. A turn without one gets an id that no other message has.
    pub(super) fn identify_turn(&mut self, seed: u64) -> Option<Text<'static>> {
        let turn = self
            .0
            .iter()
            .rposition(|message| message.role == Role::User)?;
        let given = self.0.get(turn)?.id.clone().filter(|id| *id != "");
        // An earlier turn of the history may have got its id from the same seed, so taken ids are skipped.
        let id = given.or_else(|| {
            let candidates = (0..).map(|nth| Text::from(message_id(seed.wrapping_add(nth))));
            let taken =
                |id: &Text<'static>| self.0.iter().any(|other| other.id.as_ref() == Some(id));
            candidates.into_iter().find(|id| !taken(id))
        });
        self.0.get_mut(turn)?.id.clone_from(&id);
        id
    }
}

/// Returns a different id for every seed: each step is invertible, so two seeds never give the same id.
fn message_id(seed: u64) -> String {
    // The finalizer of MurmurHash3, by Appleby: similar seeds give dissimilar ids.
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    format!("msg_{:016x}", mixed ^ (mixed >> 33))
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

impl FromIterator<UiMessage> for Messages {
    fn from_iter<I: IntoIterator<Item = UiMessage>>(messages: I) -> Self {
        Self(messages.into_iter().collect())
    }
}
