use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::check_path;
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_json;
use crate::route::Query;
use crate::{Endpoint, Operation, Route, SandboxId, tolerant};

/// Reads a text file. Bytes that are not UTF-8 arrive as U+FFFD: see [`ReadBytes`](super::ReadBytes).
///
/// A missing file is a 500 with the code `internal_error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct ReadFile {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The path.
    pub path: String,
}

impl ReadFile {
    /// Creates the operation for this path.
    pub fn new(sandbox_id: impl Into<SandboxId>, path: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            path: path.into(),
        }
    }
}

impl Endpoint for ReadFile {
    const ROUTE: Route =
        Route::get("/v1/sandboxes/{sandboxId}/files").with_query(&[Query::Text("path")]);

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("path", &self.path)
    }
}

impl Operation for ReadFile {
    type Output = FileText;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<FileText, ResponseError> {
        decode_json(self, head, body)
    }
}

/// A text file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileText {
    /// The path, as requested.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub path: String,
    /// The text.
    pub content: String,
}

impl FileText {
    /// Creates a text file.
    pub fn new(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            content: content.into(),
        }
    }
}
