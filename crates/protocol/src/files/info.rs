use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::check_path;
use crate::error::{InvalidRequest, ResponseError};
use crate::open::open_enum;
use crate::operation::decode_json;
use crate::route::Query;
use crate::{Endpoint, Operation, Route, SandboxId, Timestamp, tolerant};

/// Describes what is at a path. Nothing there is a 404 with the code `file_not_found`.
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
    /// In this sandbox.
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

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FileEntry {
    /// The last segment of the path.
    pub name: String,
    /// The path.
    pub path: String,
    /// What it is. Some providers tell no type of a symbolic link: [`is_symlink`](Self::is_symlink) knows both.
    #[serde(
        default,
        rename = "type",
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub file_type: Option<FileType>,
    /// Its length in bytes.
    #[serde(
        default,
        deserialize_with = "tolerant::count",
        skip_serializing_if = "Option::is_none"
    )]
    pub size: Option<u64>,
    /// Its permission bits: 420 is `0o644`.
    #[serde(
        default,
        deserialize_with = "tolerant::count",
        skip_serializing_if = "Option::is_none"
    )]
    pub mode: Option<u32>,
    /// Its permissions as `ls -l` shows them.
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
    /// When its content last changed.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub modified_time: Option<Timestamp>,
    /// Where a symbolic link points.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub symlink_target: Option<String>,
}

impl FileEntry {
    /// An entry of which only name and path are known.
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

    /// Whether it is a symbolic link: it is called so, or it has a target.
    pub fn is_symlink(&self) -> bool {
        self.file_type == Some(FileType::Symlink) || self.symlink_target.is_some()
    }
}

open_enum! {
    /// What is at a path. The list is open: others are carried as `Other`.
    FileType {
        /// A regular file.
        File = "file",
        /// A directory.
        Dir = "dir",
        /// A symbolic link, as newer providers tell.
        Symlink = "symlink",
    }
}
