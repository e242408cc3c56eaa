use std::fmt;

use serde::Deserialize;

use super::BodyError;
use super::json_body::{id_of, members, text, text_of};
use crate::ui::chunk::json::elements;
use crate::ui::{RawJson, Role, UiMessage};

/// The body that a page sends to a chat: a conversation that ends with the user's next turn.
///
/// `useChat` sends the whole conversation with each turn, although the relay already has it. So only the turn is parsed. The rest
/// is validated as JSON in one pass, and parsed when [`history`](Self::history) is read.
///
/// ```
/// use twentyfirst_protocol::browser::{ChatBody, ChatLimits};
///
/// let body = r#"{
///   "id": "chat-1",
///   "messages": [
///     {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]},
///     {"id": "m2", "role": "assistant", "parts": [{"type": "text", "text": "Hello."}]},
///     {"id": "m3", "role": "user", "parts": [{"type": "text", "text": "What is in this folder?"}]}
///   ],
///   "trigger": "submit-message"
/// }"#;
/// let body = ChatBody::read(body, &ChatLimits::new())?;
/// assert_eq!(body.id, "chat-1");
/// assert_eq!(body.turn.text(), "What is in this folder?");
/// assert_eq!(body.history.messages()?.len(), 3);
/// # Ok::<(), twentyfirst_protocol::browser::BodyError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ChatBody {
    /// The id of the chat, chosen by the browser. Any client can send any id.
    pub id: String,
    /// The next turn: the last message, written by the user.
    pub turn: UiMessage,
    /// The id of the message that the page has edited, if it says so. The relay cannot edit messages: it appends the new text as
    /// another turn.
    pub message_id: Option<String>,
    /// Everything that was sent.
    pub history: ChatHistory,
}

/// Everything that a page has sent with a turn: the conversation as it shows it, and members of its own. Parsed on demand.
#[derive(Clone)]
pub struct ChatHistory {
    text: String,
    parts: usize,
}

/// The limits for a [`ChatBody`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatLimits {
    /// The most messages of a conversation. Default: 100 000.
    pub messages: usize,
    /// The most parts to parse: those of the turn, and those of all messages when the history is read. A part takes about 300
    /// bytes, however short it is. Default: 100 000.
    pub parts: usize,
}

impl ChatLimits {
    /// Returns the defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            messages: 100_000,
            parts: 100_000,
        }
    }

    /// Sets the most messages of a conversation.
    #[must_use]
    pub const fn messages(mut self, messages: usize) -> Self {
        self.messages = messages;
        self
    }

    /// Sets the most parts to parse.
    #[must_use]
    pub const fn parts(mut self, parts: usize) -> Self {
        self.parts = parts;
        self
    }
}

impl Default for ChatLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl ChatBody {
    /// Reads a body. It keeps the given bytes and copies only the turn.
    ///
    /// # Errors
    /// The body is not JSON, has no `id` or no `messages`, exceeds a limit, does not end with a message of the user, or asks for
    /// something that the relay does not support.
    pub fn read(body: impl Into<Vec<u8>>, limits: &ChatLimits) -> Result<Self, BodyError> {
        let text = text(body.into());
        let names = ["id", "messages", "trigger", "messageId"];
        let [id, messages, trigger, message_id] = members(&text, names)?;
        let messages = messages.ok_or(BodyError::Missing("messages"))?;
        let mut last = None;
        let mut count = 0;
        for message in elements(messages).ok_or(BodyError::Unfit("messages"))? {
            (last, count) = (Some(message), count + 1);
        }
        at_most("messages", count, limits.messages)?;
        match text_of("trigger", trigger)? {
            None => {}
            Some(trigger) if trigger == "submit-message" => {}
            Some(trigger) if trigger == "regenerate-message" => return Err(BodyError::Regenerate),
            Some(_) => return Err(BodyError::UnknownTrigger),
        }
        let last = last.ok_or(BodyError::NoTurn)?;
        at_most("parts", parts(last), limits.parts)?;
        let turn: UiMessage = read(last)?;
        if turn.role != Role::User {
            return Err(BodyError::NoTurn);
        }
        let id = id_of("id", id)?.filter(|id| !id.is_empty());
        Ok(Self {
            id: id.ok_or(BodyError::Missing("id"))?,
            turn,
            message_id: id_of("messageId", message_id)?,
            history: ChatHistory {
                parts: limits.parts,
                text,
            },
        })
    }
}

impl ChatHistory {
    /// Returns the history of a request without one: no messages, and `{}`.
    #[must_use]
    pub fn none() -> Self {
        Self {
            text: "{}".to_owned(),
            parts: 0,
        }
    }

    /// Parses the whole conversation as the page shows it, ending with the turn.
    ///
    /// # Errors
    /// A message is invalid, or all messages together exceed the [limit](ChatLimits::parts) of parts.
    pub fn messages(&self) -> Result<Vec<UiMessage>, BodyError> {
        let [messages] = members(&self.text, ["messages"])?;
        let messages = || elements(messages.unwrap_or_default()).into_iter().flatten();
        at_most("parts", messages().map(parts).sum(), self.parts)?;
        messages().map(read).collect()
    }

    /// Returns everything that was sent, including members that the page has added: `history.json().deserialize::<MyMembers>()`
    /// reads them.
    #[must_use]
    pub fn json(&self) -> RawJson<'_> {
        RawJson::from_valid(self.text.as_str())
    }
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), BodyError> {
    if count > limit {
        return Err(BodyError::TooMany { what, count, limit });
    }
    Ok(())
}

/// Counts the parts of a message.
fn parts(message: &str) -> usize {
    let parts = members(message, ["parts"]).ok().and_then(|[parts]| parts);
    parts.and_then(elements).map_or(0, Iterator::count)
}

/// Parses a message that is valid JSON.
fn read(message: &str) -> Result<UiMessage, BodyError> {
    let mut deserializer = serde_json::Deserializer::from_str(message);
    UiMessage::deserialize(&mut deserializer).map_err(|error| {
        // Other messages of serde repeat what was sent.
        let error = error.to_string();
        let missing = ["role", "parts"].into_iter();
        let missing = missing
            .into_iter()
            .find(|name| error.starts_with(&format!("missing field `{name}`")));
        missing.map_or(BodyError::Unfit("messages"), BodyError::MissingInMessage)
    })
}

/// Prints the id alone: the messages are the user's.
impl fmt::Debug for ChatBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatBody")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Prints nothing of the history: the messages are the user's.
impl fmt::Debug for ChatHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatHistory").finish_non_exhaustive()
    }
}
