use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::ResponseError;
use crate::open::open_enum;
use crate::operation::decode_json;
use crate::tolerant::{self, List};
use crate::{Endpoint, Operation, Route, SandboxId, ThreadId, Timestamp};

/// Lists the threads of a sandbox, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct ListThreads {
    /// The sandbox.
    pub sandbox_id: SandboxId,
}

impl ListThreads {
    /// Creates the operation for this sandbox.
    pub fn new(sandbox_id: impl Into<SandboxId>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
        }
    }
}

impl Endpoint for ListThreads {
    const ROUTE: Route = Route::get("/v1/sandboxes/{sandboxId}/threads");
}

impl Operation for ListThreads {
    type Output = Vec<ThreadSummary>;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Vec<ThreadSummary>, ResponseError> {
        decode_json(self, head, body).map(|List(threads)| threads)
    }
}

/// A thread without its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ThreadSummary {
    /// The id.
    pub id: ThreadId,
    /// The name, if it has one.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub name: Option<String>,
    /// The state.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub status: ThreadStatus,
    /// The time of creation.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub created_at: Option<Timestamp>,
    /// The time of the last change; not every response has it.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub updated_at: Option<Timestamp>,
}

impl From<&ThreadSummary> for ThreadId {
    fn from(thread: &ThreadSummary) -> Self {
        thread.id.clone()
    }
}

impl ThreadSummary {
    /// Creates a thread with only its id and status known.
    pub fn new(id: ThreadId, status: ThreadStatus) -> Self {
        Self {
            id,
            name: None,
            status,
            created_at: None,
            updated_at: None,
        }
    }
}

open_enum! {
    /// The state of a thread. The list is open: others are carried as `Other`.
    ThreadStatus {
        /// No run has started in it yet.
        Idle = "idle",
        /// It can be used.
        Active = "active",
        /// A run is active, or its runtime has died and the run was not cancelled.
        Streaming = "streaming",
        /// The last run has ended and is stored.
        Completed = "completed",
        /// The last run has failed and is not stored.
        Error = "error",
        /// As `Error`.
        Failed = "failed",
        /// The last run was cancelled and is not stored.
        Cancelled = "cancelled",
    }
}

impl ThreadStatus {
    /// Returns whether the last run has certainly ended.
    pub(crate) fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Error | Self::Failed | Self::Cancelled
        )
    }
}
