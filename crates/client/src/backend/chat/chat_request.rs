use std::fmt;

use bytes::Bytes;
use http::request::Parts;
use twentyfirst_protocol::runs::Messages;
use twentyfirst_protocol::ui::{RawJson, Role};

use crate::backend::Refusal;
use crate::backend::request::Sent;

/// What a browser asks of a chat: to send a message, and to resume or to end the run that is under way.
///
/// Which of them it is, `head.method` tells: `POST`, `GET` or `DELETE`.
#[derive(Clone)]
#[non_exhaustive]
pub struct ChatRequest {
    /// The request's method, headers and extensions: where your session is.
    pub head: Parts,
    /// The id of the chat, which the browser has chosen. Anybody can ask for any.
    pub id: String,
    /// The conversation as the page shows it, with the next turn at its end. Empty where a run is resumed or ended.
    pub messages: Messages,
    /// The message that the browser has changed, where it says so. The relay cannot change one: it appends the new text as
    /// another turn.
    pub message_id: Option<String>,
    /// All that was sent, with the members that the page has added. `{}` where a run is resumed or ended.
    ///
    /// `request.body.deserialize::<MyMembers>()` reads them.
    pub body: RawJson<'static>,
}

impl ChatRequest {
    /// A message to send.
    pub(super) fn send(head: Parts, body: &Bytes) -> Result<Self, Refusal> {
        // What `DefaultChatTransport` of the AI SDK sends.
        let sent = Sent::read(body)?;
        let messages: Messages = sent.required("messages")?;
        match sent.text("trigger")? {
            None => {}
            Some(trigger) if trigger == "submit-message" => {}
            Some(trigger) if trigger == "regenerate-message" => {
                return Err(Refusal::bad_request(
                    "an answer cannot be made again: the relay can only append to a conversation",
                ));
            }
            Some(_) => return Err(Refusal::bad_request("the trigger is not known here")),
        }
        // The relay takes the last user message, wherever it stands: it would answer an earlier turn again.
        let last = messages.as_slice().last();
        if last.is_none_or(|message| message.role != Role::User) {
            return Err(Refusal::bad_request(
                "the last message must be one of the user's",
            ));
        }
        let Some(id) = sent.id("id")?.filter(|id| !id.is_empty()) else {
            return Err(Refusal::bad_request("the chat has no `id`"));
        };
        Ok(Self {
            head,
            id,
            messages,
            message_id: sent.id("messageId")?,
            body: sent.body,
        })
    }

    /// The run that is under way.
    pub(super) fn of_run(head: Parts, id: String) -> Self {
        Self {
            head,
            id,
            messages: Messages::new(),
            message_id: None,
            body: RawJson::from(serde_json::json!({})),
        }
    }
}

impl fmt::Debug for ChatRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatRequest")
            .field("method", &self.head.method)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
