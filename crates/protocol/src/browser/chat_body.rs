use std::fmt;

use serde::Deserialize;

use super::BodyError;
use super::json_body::{id_of, members, text, text_of};
use crate::ui::chunk::json::elements;
use crate::ui::{RawJson, Role, UiMessage};

/// What a page sends to a chat: a conversation that ends with the next turn of the user's.
///
/// `useChat` sends the whole conversation with each turn, and the relay has it already. So only the turn is read; of all else it is only
/// checked that it is JSON, in one pass, and the [`history`](Self::history) reads it when it is asked for.
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
    /// The id of the chat, which the browser has chosen. Anybody can name any.
    pub id: String,
    /// The next turn: the last message, which is the user's.
    pub turn: UiMessage,
    /// The message that the page has changed, where it says so. The relay cannot change one: it appends the new text as another turn.
    pub message_id: Option<String>,
    /// All that was sent.
    pub history: ChatHistory,
}

/// All that a page has sent with a turn: the conversation as it shows it, and members of its own. Read when you ask.
#[derive(Clone)]
pub struct ChatHistory {
    text: String,
    parts: usize,
}

/// How much of a [`ChatBody`] is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatLimits {
    /// How many messages a conversation may have. Default: 100 000.
    pub messages: usize,
    /// How many parts are read at most: those of the turn, and those of all messages where the history is asked for. A part takes some
    /// 300 bytes, however short it is. Default: 100 000.
    pub parts: usize,
}

impl ChatLimits {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            messages: 100_000,
            parts: 100_000,
        }
    }

    /// Sets how many messages a conversation may have.
    #[must_use]
    pub const fn messages(mut self, messages: usize) -> Self {
        self.messages = messages;
        self
    }

    /// Sets how many parts are read at most.
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
    /// Reads a body. It keeps the bytes that it is given and copies none but the turn's.
    ///
    /// # Errors
    /// If it is not JSON, has no `id` or no `messages`, is over a limit, does not end with a message of the user's, or asks for what the
    /// relay cannot do.
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
    /// That of a request that sends none: no messages, and `{}`.
    #[must_use]
    pub fn none() -> Self {
        Self {
            text: "{}".to_owned(),
            parts: 0,
        }
    }

    /// Reads the whole conversation, as the page shows it, with the turn at its end.
    ///
    /// # Errors
    /// If a message is none, or all have more parts than the [limit](ChatLimits::parts).
    pub fn messages(&self) -> Result<Vec<UiMessage>, BodyError> {
        let [messages] = members(&self.text, ["messages"])?;
        let messages = || elements(messages.unwrap_or_default()).into_iter().flatten();
        at_most("parts", messages().map(parts).sum(), self.parts)?;
        messages().map(read).collect()
    }

    /// All that was sent, with the members that the page has added: `history.json().deserialize::<MyMembers>()` reads them.
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

/// How many parts a message has.
fn parts(message: &str) -> usize {
    let parts = members(message, ["parts"]).ok().and_then(|[parts]| parts);
    parts.and_then(elements).map_or(0, Iterator::count)
}

/// Reads a message that is JSON.
fn read(message: &str) -> Result<UiMessage, BodyError> {
    let mut deserializer = serde_json::Deserializer::from_str(message);
    UiMessage::deserialize(&mut deserializer).map_err(|error| {
        // Other messages of serde's repeat what was sent.
        let error = error.to_string();
        let missing = ["role", "parts"].into_iter();
        let missing = missing
            .into_iter()
            .find(|name| error.starts_with(&format!("missing field `{name}`")));
        missing.map_or(BodyError::Unfit("messages"), BodyError::MissingInMessage)
    })
}

/// The id alone: what is said is the user's.
impl fmt::Debug for ChatBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatBody")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Nothing of it: what is said is the user's.
impl fmt::Debug for ChatHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatHistory").finish_non_exhaustive()
    }
}
