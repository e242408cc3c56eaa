use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::ResponseError;
use crate::open::open_enum;
use crate::operation::decode_json;
use crate::tolerant::{self, List};
use crate::{Endpoint, Operation, Route, SandboxId, ThreadId, Timestamp};

/// Lists the threads of a sandbox, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ListThreads {
    /// The sandbox.
    pub sandbox_id: SandboxId,
}

impl ListThreads {
    /// Of this sandbox.
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
    /// The name, where it has one.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub name: Option<String>,
    /// The state.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub status: ThreadStatus,
    /// When it was made.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub created_at: Option<Timestamp>,
    /// When it last changed; not every answer tells.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub updated_at: Option<Timestamp>,
}

impl ThreadSummary {
    /// A thread of which only the id and the status are known.
    pub fn new(id: ThreadId, status: ThreadStatus) -> Self {
        Self {
            id,
            name: None,
            status,
            created_at: None,
            updated_at: None,
        }
    }

    /// The thread that resuming and cancelling a run of this sandbox mean: the newest created that streams.
    pub fn newest_streaming(threads: &[Self]) -> Option<&Self> {
        let created = |thread: &Self| thread.created_at.as_ref()?.to_system_time();
        let streaming = |thread: &&Self| thread.status == ThreadStatus::Streaming;
        threads.iter().filter(streaming).reduce(|newest, thread| {
            // The list has the newest first; the dates say so even if it had not.
            let dates = created(thread).zip(created(newest));
            match dates.is_some_and(|(this, that)| this > that) {
                true => thread,
                false => newest,
            }
        })
    }
}

open_enum! {
    /// The state of a thread. The list is open: others are carried as `Other`.
    ThreadStatus {
        /// Nothing has run in it yet.
        Idle = "idle",
        /// It can be used.
        Active = "active",
        /// A run is under way, or its runtime has died and nobody has cancelled it.
        Streaming = "streaming",
        /// The last run has ended and is stored.
        Completed = "completed",
        /// The last run has failed; nothing of it is stored.
        Error = "error",
        /// As `Error`.
        Failed = "failed",
        /// The last run was cancelled; nothing of it is stored.
        Cancelled = "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_streams_is_meant_also_if_the_list_is_not_in_order() {
        let thread = |id: &str, status: &str, created: &str| -> ThreadSummary {
            let thread = serde_json::json!({ "id": id, "status": status, "createdAt": created });
            serde_json::from_value(thread).unwrap()
        };
        let newest = |threads: &[ThreadSummary]| {
            ThreadSummary::newest_streaming(threads).map(|thread| thread.id.to_string())
        };
        let old = thread("old", "streaming", "2026-01-01T00:00:00Z");
        let new = thread("new", "streaming", "2026-01-02T00:00:00Z");
        let over = thread("over", "completed", "2026-01-03T00:00:00Z");
        let undated = thread("undated", "streaming", "");
        assert_eq!(
            newest(&[over.clone(), new.clone(), old.clone()]).unwrap(),
            "new"
        );
        assert_eq!(newest(&[old, new, over.clone()]).unwrap(), "new");
        // Without dates the order counts.
        let other = thread("other", "streaming", "");
        assert_eq!(newest(&[undated, other]).unwrap(), "undated");
        assert_eq!(newest(&[over]), None);
    }
}
