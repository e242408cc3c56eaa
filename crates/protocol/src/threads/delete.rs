use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::ResponseError;
use crate::operation::decode_empty;
use crate::{Endpoint, Operation, Route, SandboxId, ThreadId};

/// Deletes a thread. The relay responds with 404 to a second request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct DeleteThread {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The thread.
    pub thread_id: ThreadId,
}

impl DeleteThread {
    /// Creates the operation for this thread.
    pub fn new(sandbox_id: impl Into<SandboxId>, thread_id: impl Into<ThreadId>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            thread_id: thread_id.into(),
        }
    }
}

impl Endpoint for DeleteThread {
    const ROUTE: Route = Route::delete("/v1/sandboxes/{sandboxId}/threads/{threadId}");
}

impl Operation for DeleteThread {
    type Output = ();

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<(), ResponseError> {
        decode_empty(self, head, body)
    }
}
