use bytes::Bytes;
use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::check_path;
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_with;
use crate::route::Query;
use crate::{Endpoint, Operation, Route, SandboxId, Timeouts};

/// Reads a file as bytes. The relay sets no limit, and the whole file is held in memory: use [`ReadStream`](super::ReadStream)
/// for a long one.
///
/// This single request fails for an empty file, with a 500; [`flow`](Self::flow) reads an empty file too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct ReadBytes {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The path.
    pub path: String,
}

impl ReadBytes {
    /// Creates the operation for this path.
    pub fn new(sandbox_id: impl Into<SandboxId>, path: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            path: path.into(),
        }
    }
}

impl Endpoint for ReadBytes {
    const ROUTE: Route = Route::get("/v1/sandboxes/{sandboxId}/files")
        .with_query(&[Query::Text("path"), Query::Fixed("format", "blob")]);

    fn timeouts(&self) -> Timeouts {
        Timeouts::content()
    }

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("path", &self.path)
    }
}

impl Operation for ReadBytes {
    type Output = Bytes;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Bytes, ResponseError> {
        decode_with(self, head, body, |body| Ok(Bytes::copy_from_slice(body)))
    }
}
