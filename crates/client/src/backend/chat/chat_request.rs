use std::fmt;

use http::request::Parts;
use serde::de::DeserializeOwned;
use twentyfirst_protocol::browser::{ChatBody, ChatHistory};
use twentyfirst_protocol::runs::Messages;
use twentyfirst_protocol::ui::UiMessage;

use super::recorded::Named;
use crate::backend::Refusal;
use crate::backend::unread::Unread;

/// A browser's request about a chat: to send a message, or to resume or cancel the run under way.
///
/// `head.method` says which: `POST`, `GET` or `DELETE`. The body has not been read yet: authorize the request first, and then
/// [read](Self::read) it.
///
/// `Debug` shows neither headers nor extensions, as they may hold a session.
#[non_exhaustive]
pub struct ChatRequest {
    /// The request's method, headers and extensions, such as your session.
    pub head: Parts,
    asked: Asked,
}

/// The place of the chat's id in the request.
enum Asked {
    /// In the body, of which the id of the chat is kept.
    Turn(Unread<String>),
    /// In the path.
    Run(Named),
}

impl ChatRequest {
    /// Reads the content of the request.
    ///
    /// # Errors
    /// 408, 413 or 400, if the body arrives too slowly, exceeds the [limits](crate::backend::RequestLimits), or is invalid. 400
    /// for requests that the relay cannot fulfil: `trigger: "regenerate-message"`, or a history that does not end with a message
    /// of the user, because the relay can only append a turn to a conversation.
    pub async fn read(self) -> Result<ChatTurn, Refusal> {
        match self.asked {
            Asked::Turn(body) => ChatTurn::read(&body).await,
            Asked::Run(named) => Ok(ChatTurn {
                id: named.chat().await.to_owned(),
                messages: Messages::new(),
                message_id: None,
                history: ChatHistory::none(),
            }),
        }
    }

    /// Creates a request that sends the next turn.
    pub(in crate::backend) fn of_turn(head: Parts, body: Unread<String>) -> Self {
        let asked = Asked::Turn(body);
        Self { head, asked }
    }

    /// Creates a request about the run under way.
    pub(super) fn of_run(head: Parts, named: Named) -> Self {
        let asked = Asked::Run(named);
        Self { head, asked }
    }
}

/// The content of a request about a chat: its next turn, or only its id if the run under way is resumed or cancelled.
#[derive(Clone)]
#[non_exhaustive]
pub struct ChatTurn {
    /// The id of the chat, chosen by the browser. A request can name any chat.
    pub id: String,
    /// The next turn: the last message of the page's conversation, which is the only one that the relay uses. Empty if a run is
    /// resumed or cancelled.
    pub messages: Messages,
    /// The id of the message that the user has edited, if the page sends it. The relay cannot edit messages: it appends the new
    /// text as another turn.
    pub message_id: Option<String>,
    history: ChatHistory,
}

impl ChatTurn {
    pub(super) async fn read(body: &Unread<String>) -> Result<Self, Refusal> {
        body.read(|bytes, limits| {
            let ChatBody {
                id,
                turn,
                message_id,
                history,
                ..
            } = ChatBody::read(bytes, &limits.chat)?;
            let kept = id.clone();
            let messages = turn.into();
            Ok((
                Self {
                    id,
                    messages,
                    message_id,
                    history,
                },
                kept,
            ))
        })
        .await
    }

    /// Reads the whole conversation as the page shows it, including the turn at its end. Empty if a run is resumed or cancelled.
    ///
    /// `useChat` sends it with each turn. It may be large, so it is decoded only here.
    ///
    /// # Errors
    /// 400 if a message is invalid, and 413 if they have more parts than the [limit](crate::backend::RequestLimits::parts).
    pub fn history(&self) -> Result<Vec<UiMessage>, Refusal> {
        Ok(self.history.messages()?)
    }

    /// Reads the whole body, with the members that the page has added: `turn.members::<MyMembers>()?`. It is `{}` if a run is
    /// resumed or cancelled.
    ///
    /// # Errors
    /// 400 if the body is not of this type.
    pub fn members<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let members = self.history.json().deserialize();
        members.map_err(|_| Refusal::bad_request("the body has a member of an unexpected type"))
    }
}

impl fmt::Debug for ChatRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatRequest")
            .field("method", &self.head.method)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ChatTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTurn")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
