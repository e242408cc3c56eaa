use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::check_path;
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_json;
use crate::{Endpoint, Operation, Route, SandboxId};

/// Creates a directory and its parents. The output is `true` if it is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct MakeDir {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The path.
    pub path: String,
}

impl MakeDir {
    /// Creates the operation for this path.
    pub fn new(sandbox_id: impl Into<SandboxId>, path: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            path: path.into(),
        }
    }
}

impl Endpoint for MakeDir {
    const ROUTE: Route = Route::post("/v1/sandboxes/{sandboxId}/files/mkdir");

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("path", &self.path)
    }
}

impl Operation for MakeDir {
    type Output = bool;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<bool, ResponseError> {
        decode_json(self, head, body)
    }
}
