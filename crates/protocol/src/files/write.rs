use std::fmt;

use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::{FileText, Lengths, WrittenFile, texts};
use crate::error::{InvalidRequest, InvalidResponse, Problem, ResponseError};
use crate::operation::decode_with;
use crate::tolerant::{self, List};
use crate::{Endpoint, Operation, Route, SandboxId};

/// Writes text files in the given order, and creates their directories. Each path may be given once.
///
/// The files travel as one JSON object. A relay in JavaScript reads paths that are whole numbers first.
///
/// `Debug` prints paths and lengths, and never content.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct WriteFiles {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The files: at least one, and each path only once.
    #[serde(with = "texts")]
    pub files: Vec<FileText>,
}

impl WriteFiles {
    /// Creates the operation from pairs of path and text.
    pub fn new<P: Into<String>, T: Into<String>>(
        sandbox_id: impl Into<SandboxId>,
        files: impl IntoIterator<Item = (P, T)>,
    ) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            files: texts::of(files).collect(),
        }
    }
}

impl Endpoint for WriteFiles {
    const ROUTE: Route = Route::post("/v1/sandboxes/{sandboxId}/files");

    fn validate(&self) -> Result<(), InvalidRequest> {
        if self.files.is_empty() {
            return Err(InvalidRequest::new("files", Problem::Empty));
        }
        texts::check(&self.files)
    }
}

impl Operation for WriteFiles {
    type Output = Vec<WrittenFile>;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Vec<WrittenFile>, ResponseError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Response {
            Many { files: List<WrittenFile> },
            One(WrittenFile),
        }

        decode_with(self, head, body, |body| match tolerant::from_slice(body) {
            Ok(Response::Many { files: List(files) }) => Ok(files),
            Ok(Response::One(file)) => Ok(vec![file]),
            Err(error) => Err(InvalidResponse::new(head, error, body)),
        })
    }
}

impl fmt::Debug for WriteFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteFiles")
            .field("sandbox_id", &self.sandbox_id)
            .field("files", &Lengths(&self.files))
            .finish()
    }
}
