use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::check_path;
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::unreadable_coding;
use crate::operation::{Head, StreamingOperation, decode_no_stream};
use crate::route::Query;
use crate::{Endpoint, Route, SandboxId, Timeouts};

/// Reads a file of any length: the body of the response is the file.
///
/// This single request fails for an empty file, with a 500; [`flow`](Self::flow) reads an empty file too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct ReadStream {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The path.
    pub path: String,
}

impl ReadStream {
    /// Creates the operation for this path.
    pub fn new(sandbox_id: impl Into<SandboxId>, path: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            path: path.into(),
        }
    }
}

impl Endpoint for ReadStream {
    const ROUTE: Route = Route::get("/v1/sandboxes/{sandboxId}/files")
        .with_query(&[Query::Text("path"), Query::Fixed("format", "stream")]);

    fn timeouts(&self) -> Timeouts {
        Timeouts::content()
    }

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("path", &self.path)
    }
}

impl StreamingOperation for ReadStream {
    type Output = ();

    fn decode_head(&self, head: &Parts) -> Head<()> {
        if head.status.is_success() && unreadable_coding(&head.headers).is_none() {
            Head::Open(())
        } else {
            Head::Read
        }
    }

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<(), ResponseError> {
        if self.decode_head(head) == Head::Open(()) {
            return Ok(());
        }
        Err(decode_no_stream(
            self,
            head,
            body,
            "the content is not a file",
        ))
    }
}
