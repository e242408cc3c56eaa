use std::fmt;

use serde::Deserialize;

use super::BodyError;
use super::json_body::{id_of, members, text, text_of};
use crate::ui::chunk::json::elements;
use crate::ui::{RawJson, Role, UiMessage};

/// The body that a page sends to a chat: a conversation that ends with the user's new message.
///
/// `useChat` sends the whole conversation with each new message, although the relay already has the rest. So only the new message
/// is parsed. The rest is only checked to be JSON, and parsed when [`history`](Self::history) is read.
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
    /// The user's new message: the last one of the conversation.
    pub turn: UiMessage,
    /// The id of the message that the user has edited, if the page sends one. The relay cannot edit messages: it appends the new
    /// text as another turn.
    pub message_id: Option<String>,
    /// The whole body, parsed on demand.
    pub history: ChatHistory,
}

/// The whole body of a [`ChatBody`], parsed on demand: the conversation as the page shows it, and members of the page's own.
#[derive(Clone)]
pub struct ChatHistory {
    text: String,
    /// The limit of parts.
    parts: usize,
}

/// The limits for a [`ChatBody`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatLimits {
    /// The maximum number of messages in a conversation. Default: 100 000.
    pub messages: usize,
    /// The maximum number of parts: in the new message and, when the history is read, in all messages together. A part takes about
    /// 300 bytes of memory, however short it is. Default: 100 000.
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

    /// Sets the maximum number of messages in a conversation.
    #[must_use]
    pub const fn messages(mut self, messages: usize) -> Self {
        self.messages = messages;
        self
    }

    /// Sets the maximum number of parts.
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
    /// Reads a body. Keeps the given bytes and copies only the new message.
    ///
    /// # Errors
    /// The body is not JSON, has no `id` or no `messages`, exceeds a limit, or does not end with a message of the user. Also: an id
    /// contains half a surrogate pair, or the `trigger` asks for something that the relay does not support.
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
    /// Returns the history of a request without a conversation: no messages, and `{}` as its JSON.
    #[must_use]
    pub fn none() -> Self {
        Self {
            text: "{}".to_owned(),
            parts: 0,
        }
    }

    /// Parses the whole conversation as the page shows it. The user's new message is the last one.
    ///
    /// # Errors
    /// A message is invalid, or all messages together exceed the [limit](ChatLimits::parts) of parts.
    pub fn messages(&self) -> Result<Vec<UiMessage>, BodyError> {
        let [messages] = members(&self.text, ["messages"])?;
        let messages = || elements(messages.unwrap_or_default()).into_iter().flatten();
        at_most("parts", messages().map(parts).sum(), self.parts)?;
        messages().map(read).collect()
    }

    /// Returns the whole body. `history.json().deserialize::<MyMembers>()` reads members that the page has added.
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
        // Serde's other messages may repeat what was sent, so they are not passed on.
        let error = error.to_string();
        let missing = ["role", "parts"]
            .into_iter()
            .find(|name| error.starts_with(&format!("missing field `{name}`")));
        missing.map_or(BodyError::Unfit("messages"), BodyError::MissingInMessage)
    })
}

/// Prints only the id, because the messages are private.
impl fmt::Debug for ChatBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatBody")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Prints nothing of the history, because the messages are private.
impl fmt::Debug for ChatHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatHistory").finish_non_exhaustive()
    }
}
