use std::fmt;

use http::request::Parts;
use serde::de::DeserializeOwned;
use twentyfirst_protocol::browser::{ChatBody, ChatHistory};
use twentyfirst_protocol::runs::Messages;
use twentyfirst_protocol::ui::UiMessage;

use super::recorded::Named;
use crate::backend::Refusal;
use crate::backend::unread::Unread;

/// A browser asks something of a chat: to send a message, and to resume or to end the run that is under way.
///
/// Which of them it is, `head.method` tells: `POST`, `GET` or `DELETE`. Nothing of the body has been read: decide who asks first, and then
/// [read](Self::read) what is asked.
///
/// `Debug` shows neither headers nor extensions, as a session may be in them.
#[non_exhaustive]
pub struct ChatRequest {
    /// The request's method, headers and extensions: where your session is.
    pub head: Parts,
    asked: Asked,
}

/// Where it stands what is asked.
enum Asked {
    /// In the body; what is kept is the id of the chat.
    Turn(Unread<String>),
    /// In the path.
    Run(Named),
}

impl ChatRequest {
    /// Reads what the browser asks for.
    ///
    /// # Errors
    /// 408, 413 or 400, where it comes too slowly, is over the [limits](crate::backend::RequestLimits), or is not what belongs there; and
    /// 400 where the relay could not do it: `trigger: "regenerate-message"`, and a history that does not end with a message of the
    /// user's, since the relay can only append a turn to a conversation.
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

    /// The next turn.
    pub(in crate::backend) fn of_turn(head: Parts, body: Unread<String>) -> Self {
        let asked = Asked::Turn(body);
        Self { head, asked }
    }

    /// The run that is under way.
    pub(super) fn of_run(head: Parts, named: Named) -> Self {
        let asked = Asked::Run(named);
        Self { head, asked }
    }
}

/// What a browser asks of a chat: its next turn, and none where the run that is under way is resumed or ended.
#[derive(Clone)]
#[non_exhaustive]
pub struct ChatTurn {
    /// The id of the chat, which the browser has chosen. Anybody can name any.
    pub id: String,
    /// The next turn: the last message of the page's conversation, which is all that the relay takes of it. None where a run is resumed or
    /// ended.
    pub messages: Messages,
    /// The message that the page has changed, where it says so. The relay cannot change one: it appends the new text as another turn.
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

    /// Reads the whole conversation, as the page shows it, with the turn at its end. Empty where a run is resumed or ended.
    ///
    /// `useChat` sends it with each turn. It may be large, and is read only here.
    ///
    /// # Errors
    /// 400 where a message is none, and 413 where all have more parts than the [limit](crate::backend::RequestLimits::parts).
    pub fn history(&self) -> Result<Vec<UiMessage>, Refusal> {
        Ok(self.history.messages()?)
    }

    /// Reads all that was sent, with the members that the page has added: `turn.members::<MyMembers>()?`. `{}` where a run is resumed or
    /// ended.
    ///
    /// # Errors
    /// 400 where it is not of this type.
    pub fn members<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let members = self.history.json().deserialize();
        members.map_err(|_| {
            Refusal::bad_request("the body has a member that is not what belongs there")
        })
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
