use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::check_path;
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_json;
use crate::route::Query;
use crate::{Endpoint, Operation, Route, SandboxId};

/// Checks whether something exists at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct FileExists {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The path.
    pub path: String,
}

impl FileExists {
    /// Creates the operation for this path.
    pub fn new(sandbox_id: impl Into<SandboxId>, path: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            path: path.into(),
        }
    }
}

impl Endpoint for FileExists {
    const ROUTE: Route =
        Route::get("/v1/sandboxes/{sandboxId}/files/exists").with_query(&[Query::Text("path")]);

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("path", &self.path)
    }
}

impl Operation for FileExists {
    type Output = bool;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<bool, ResponseError> {
        decode_json(self, head, body)
    }
}
