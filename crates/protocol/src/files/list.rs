use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::{FileEntry, check_path};
use crate::error::{InvalidRequest, Problem, ResponseError};
use crate::operation::decode_json;
use crate::route::Query;
use crate::setters::setters;
use crate::tolerant::List;
use crate::{Endpoint, Operation, Route, SandboxId};

/// Lists a directory. A missing directory is a 404 with the code `file_not_found`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct ListFiles {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The directory.
    pub path: String,
    /// The number of levels, at least 1; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
}

impl ListFiles {
    /// Creates the operation for this directory.
    pub fn new(sandbox_id: impl Into<SandboxId>, path: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            path: path.into(),
            depth: None,
        }
    }
}

setters! {
    ListFiles, list_files_setters;

    /// Sets the number of levels, at least 1; 1 by default.
    pub fn depth(mut self, depth: u32) -> Self {
        self.depth = Some(depth);
        self
    }
}

impl Endpoint for ListFiles {
    const ROUTE: Route = Route::get("/v1/sandboxes/{sandboxId}/files/list")
        .with_query(&[Query::Text("path"), Query::Json("depth")]);

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("path", &self.path)?;
        if self.depth == Some(0) {
            return Err(InvalidRequest::new("depth", Problem::MustBe("at least 1")));
        }
        Ok(())
    }
}

impl Operation for ListFiles {
    type Output = Vec<FileEntry>;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Vec<FileEntry>, ResponseError> {
        decode_json(self, head, body).map(|List(entries)| entries)
    }
}
