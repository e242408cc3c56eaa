use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::check_path;
use crate::error::{InvalidRequest, ResponseError};
use crate::open::open_enum;
use crate::operation::decode_json;
use crate::route::Query;
use crate::{Endpoint, Operation, Route, SandboxId, Timestamp, tolerant};

/// Reads the entry at a path. A missing entry is a 404 with the code `file_not_found`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct GetFileInfo {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The path.
    pub path: String,
}

impl GetFileInfo {
    /// Creates the operation for this path.
    pub fn new(sandbox_id: impl Into<SandboxId>, path: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            path: path.into(),
        }
    }
}

impl Endpoint for GetFileInfo {
    const ROUTE: Route =
        Route::get("/v1/sandboxes/{sandboxId}/files/info").with_query(&[Query::Text("path")]);

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_path("path", &self.path)
    }
}

impl Operation for GetFileInfo {
    type Output = FileEntry;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<FileEntry, ResponseError> {
        decode_json(self, head, body)
    }
}

/// An entry at a path: a file, a directory or a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FileEntry {
    /// The last segment of the path.
    pub name: String,
    /// The path.
    pub path: String,
    /// The type. Some providers report no type for a symbolic link: [`is_symlink`](Self::is_symlink) covers both.
    #[serde(
        default,
        rename = "type",
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub file_type: Option<FileType>,
    /// The length in bytes.
    #[serde(
        default,
        deserialize_with = "tolerant::count",
        skip_serializing_if = "Option::is_none"
    )]
    pub size: Option<u64>,
    /// The permission bits: 420 is `0o644`.
    #[serde(
        default,
        deserialize_with = "tolerant::count",
        skip_serializing_if = "Option::is_none"
    )]
    pub mode: Option<u32>,
    /// The permissions as `ls -l` shows them.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub permissions: Option<String>,
    /// The user who owns it.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub owner: Option<String>,
    /// The group that owns it.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub group: Option<String>,
    /// The time of the last change of the content.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub modified_time: Option<Timestamp>,
    /// The target of a symbolic link.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub symlink_target: Option<String>,
}

impl FileEntry {
    /// Creates an entry with only its name and path known.
    pub fn new(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            file_type: None,
            size: None,
            mode: None,
            permissions: None,
            owner: None,
            group: None,
            modified_time: None,
            symlink_target: None,
        }
    }

    /// Returns whether it is a symbolic link: it has that type, or a target.
    pub fn is_symlink(&self) -> bool {
        self.file_type == Some(FileType::Symlink) || self.symlink_target.is_some()
    }
}

open_enum! {
    /// The type of an entry. The list is open: others are carried as `Other`.
    FileType {
        /// A regular file.
        File = "file",
        /// A directory.
        Dir = "dir",
        /// A symbolic link, as newer providers report it.
        Symlink = "symlink",
    }
}
