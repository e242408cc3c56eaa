use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::{StoredMessage, ThreadStatus, Usage};
use crate::error::ResponseError;
use crate::operation::decode_json;
use crate::ui::UiMessage;
use crate::{Endpoint, Operation, Route, SandboxId, ThreadId, Timestamp, tolerant};

/// Reads a thread with its stored messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct GetThread {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The thread.
    pub thread_id: ThreadId,
}

impl GetThread {
    /// Creates the operation for this thread.
    pub fn new(sandbox_id: impl Into<SandboxId>, thread_id: impl Into<ThreadId>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            thread_id: thread_id.into(),
        }
    }
}

impl Endpoint for GetThread {
    const ROUTE: Route = Route::get("/v1/sandboxes/{sandboxId}/threads/{threadId}");
}

impl Operation for GetThread {
    type Output = Thread;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Thread, ResponseError> {
        decode_json(self, head, body)
    }
}

/// A thread with its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Thread {
    /// The id.
    pub id: ThreadId,
    /// The name, if it has one.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub name: Option<String>,
    /// The state.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub status: ThreadStatus,
    /// The stored messages; `None` before the first run has ended. Failed and cancelled runs are not stored.
    #[serde(default)]
    pub messages: Option<Vec<StoredMessage>>,
    /// The usage of the last run, as far as it is known.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub usage: Usage,
    /// The error of the last run: a code, a colon and a text, which can be very long.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub error: Option<String>,
    /// The time of creation.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub created_at: Option<Timestamp>,
    /// The time of the last change.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub updated_at: Option<Timestamp>,
    /// The time when the last run ended.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub completed_at: Option<Timestamp>,
}

impl From<&Thread> for ThreadId {
    fn from(thread: &Thread) -> Self {
        thread.id.clone()
    }
}

impl Thread {
    /// Creates a thread with only its id and status known.
    pub fn new(id: ThreadId, status: ThreadStatus) -> Self {
        Self {
            id,
            name: None,
            status,
            messages: None,
            usage: Usage::default(),
            error: None,
            created_at: None,
            updated_at: None,
            completed_at: None,
        }
    }

    /// Returns whether a run is active. Its messages so far are not among the stored ones. A run whose runtime has died counts as
    /// active until it is cancelled.
    pub fn is_streaming(&self) -> bool {
        self.status == ThreadStatus::Streaming
    }

    /// Returns the stored messages in their order, including those of the older form. Messages of unknown form are left out.
    pub fn into_ui_messages(self) -> Vec<UiMessage> {
        let messages = self.messages.into_iter().flatten();
        messages
            .filter_map(StoredMessage::into_ui_message)
            .collect()
    }

    /// Returns the stored messages in their order, including those of the older form. Messages of unknown form are left out.
    pub fn ui_messages(&self) -> impl Iterator<Item = &UiMessage> {
        self.messages
            .iter()
            .flatten()
            .filter_map(StoredMessage::as_ui_message)
    }
}
