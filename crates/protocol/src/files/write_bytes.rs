use std::fmt;

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::{WrittenFile, check_path};
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_json;
use crate::route::Query;
use crate::{Body, Endpoint, Operation, Route, SandboxId, Timeouts};

/// Writes a file from at most 10 MiB of bytes. For more, use [`WriteStream`](super::WriteStream).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct WriteBytes {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The path.
    pub path: String,
    /// The content, sent unchanged as the body of the request.
    #[serde(skip)]
    pub content: Bytes,
}

impl WriteBytes {
    /// Creates the operation for this path.
    pub fn new(
        sandbox_id: impl Into<SandboxId>,
        path: impl Into<String>,
        content: impl Into<Bytes>,
    ) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            path: path.into(),
            content: content.into(),
        }
    }
}

impl Endpoint for WriteBytes {
    const ROUTE: Route = Route::post("/v1/sandboxes/{sandboxId}/files")
        .with_query(&[Query::Text("path"), Query::Fixed("format", "blob")]);

    fn timeouts(&self) -> Timeouts {
        Timeouts::content()
    }

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("path", &self.path)
    }

    fn to_request(&self) -> Result<Request<Body>, InvalidRequest> {
        self.validate()?;
        Self::ROUTE.request_with_bytes(self, Body::from(self.content.clone()))
    }

    fn from_request(request: &Request<Body>) -> Result<Self, InvalidRequest> {
        let operation: Self = Self::ROUTE.operation(request)?;
        Ok(Self {
            content: request.body().clone().into_bytes(),
            ..operation
        })
    }
}

impl Operation for WriteBytes {
    type Output = WrittenFile;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<WrittenFile, ResponseError> {
        decode_json(self, head, body)
    }
}

impl fmt::Debug for WriteBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBytes")
            .field("sandbox_id", &self.sandbox_id)
            .field("path", &self.path)
            .field("content", &format_args!("{} bytes", self.content.len()))
            .finish()
    }
}
