use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::check_path;
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_empty;
use crate::route::Query;
use crate::{Endpoint, Operation, Route, SandboxId};

/// Removes a file, or a directory with its content. Removing a missing path is not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct RemoveFile {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The path.
    pub path: String,
}

impl RemoveFile {
    /// Creates the operation for this path.
    pub fn new(sandbox_id: impl Into<SandboxId>, path: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            path: path.into(),
        }
    }
}

impl Endpoint for RemoveFile {
    const ROUTE: Route =
        Route::delete("/v1/sandboxes/{sandboxId}/files").with_query(&[Query::Text("path")]);

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("path", &self.path)
    }
}

impl Operation for RemoveFile {
    type Output = ();

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<(), ResponseError> {
        decode_empty(self, head, body)
    }
}
