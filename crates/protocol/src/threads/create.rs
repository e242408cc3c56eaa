use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::ThreadSummary;
use crate::error::ResponseError;
use crate::operation::decode_json;
use crate::setters::setters;
use crate::{Endpoint, Operation, Route, SandboxId};

/// Creates a thread in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct CreateThread {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl CreateThread {
    /// Creates the operation for this sandbox.
    pub fn new(sandbox_id: impl Into<SandboxId>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            name: None,
        }
    }
}

setters! {
    CreateThread, create_thread_setters;

    /// Sets the display name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl Endpoint for CreateThread {
    const ROUTE: Route = Route::post("/v1/sandboxes/{sandboxId}/threads");
}

impl Operation for CreateThread {
    type Output = ThreadSummary;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<ThreadSummary, ResponseError> {
        decode_json(self, head, body)
    }
}
