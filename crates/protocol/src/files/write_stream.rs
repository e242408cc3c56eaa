use http::Request;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::{WrittenFile, check_path};
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::{UploadOperation, decode_json};
use crate::route::Query;
use crate::setters::setters;
use crate::{Body, Endpoint, Route, SandboxId, Timeouts};

/// Writes a file of any length from a body that is sent while it is produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct WriteStream {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The path.
    pub path: String,
    /// The length of the content in bytes, if it is known. Without it the request has no `content-length`: over HTTP/1.1 the body
    /// is sent chunked, and the response reports no size.
    #[serde(skip)]
    pub length: Option<u64>,
}

impl WriteStream {
    /// Creates the operation for this path.
    pub fn new(sandbox_id: impl Into<SandboxId>, path: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            path: path.into(),
            length: None,
        }
    }
}

setters! {
    WriteStream, write_stream_setters;

    /// Sets the length of the content in bytes.
    pub fn length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }
}

impl Endpoint for WriteStream {
    const ROUTE: Route = Route::post("/v1/sandboxes/{sandboxId}/files")
        .with_query(&[Query::Text("path"), Query::Fixed("format", "stream")]);

    fn timeouts(&self) -> Timeouts {
        Timeouts::content()
    }

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("path", &self.path)
    }

    fn to_request(&self) -> Result<Request<Body>, InvalidRequest> {
        self.validate()?;
        let mut request = Self::ROUTE.request_with_bytes(self, Body::empty())?;
        // The sender fills in a body of another length than the empty one here.
        match self.length {
            Some(length) => request.headers_mut().insert(CONTENT_LENGTH, length.into()),
            None => request.headers_mut().remove(CONTENT_LENGTH),
        };
        Ok(request)
    }

    fn from_request(request: &Request<Body>) -> Result<Self, InvalidRequest> {
        let operation: Self = Self::ROUTE.operation(request)?;
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse().ok());
        Ok(Self {
            length,
            ..operation
        })
    }
}

impl UploadOperation for WriteStream {
    type Output = WrittenFile;

    fn length(&self) -> Option<u64> {
        self.length
    }

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<WrittenFile, ResponseError> {
        decode_json(self, head, body)
    }
}
