use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::{FileEntry, check_path};
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_json;
use crate::{Endpoint, Operation, Route, SandboxId};

/// Moves a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct RenameFile {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The present path.
    pub old_path: String,
    /// The new path.
    pub new_path: String,
}

impl RenameFile {
    /// Creates the operation for these paths.
    pub fn new(
        sandbox_id: impl Into<SandboxId>,
        old_path: impl Into<String>,
        new_path: impl Into<String>,
    ) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            old_path: old_path.into(),
            new_path: new_path.into(),
        }
    }
}

impl Endpoint for RenameFile {
    const ROUTE: Route = Route::post("/v1/sandboxes/{sandboxId}/files/rename");

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("old_path", &self.old_path)?;
        check_path("new_path", &self.new_path)
    }
}

impl Operation for RenameFile {
    type Output = FileEntry;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<FileEntry, ResponseError> {
        decode_json(self, head, body)
    }
}
