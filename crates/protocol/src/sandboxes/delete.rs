use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::ResponseError;
use crate::operation::decode_empty;
use crate::{Endpoint, Operation, Route, SandboxId};

/// Deletes a sandbox, and its threads with it. A second time the relay answers 404.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct DeleteSandbox {
    /// The sandbox.
    pub sandbox_id: SandboxId,
}

impl DeleteSandbox {
    /// This sandbox.
    pub fn new(sandbox_id: impl Into<SandboxId>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
        }
    }
}

impl Endpoint for DeleteSandbox {
    const ROUTE: Route = Route::delete("/v1/sandboxes/{sandboxId}");
}

impl Operation for DeleteSandbox {
    type Output = ();

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<(), ResponseError> {
        decode_empty(self, head, body)
    }
}
