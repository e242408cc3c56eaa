use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::ResponseError;
use crate::operation::decode_empty;
use crate::{Endpoint, Operation, Route, SandboxId};

/// Deletes a sandbox with its threads. The relay responds with 404 to a second request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct DeleteSandbox {
    /// The sandbox.
    pub sandbox_id: SandboxId,
}

impl DeleteSandbox {
    /// Creates the operation for this sandbox.
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
