//! Files in a sandbox.
//!
//! Relative paths start in `/root`. [`ReadFile`] and [`WriteFiles`] handle text, [`ReadBytes`] and [`WriteBytes`] (up to 10 MiB)
//! handle bytes held in memory, and [`ReadStream`] and [`WriteStream`] handle content of any length, with only the bytes in
//! flight in memory.
//!
//! [`WriteFiles::parts`] splits texts that exceed one request.
//!
//! The relay cannot read an empty file as bytes or as a stream; [`ReadBytes::flow`] and [`ReadStream::flow`] can.

mod content;
mod exists;
mod info;
mod list;
mod make_dir;
mod parts;
mod read;
mod read_bytes;
mod read_stream;
mod remove;
mod rename;
pub(crate) mod texts;
mod write;
mod write_bytes;
mod write_stream;

pub use content::ReadContent;
pub use exists::FileExists;
pub use info::{FileEntry, FileType, GetFileInfo};
pub use list::ListFiles;
pub use make_dir::MakeDir;
pub use parts::WritePart;
pub use read::{FileText, ReadFile};
pub use read_bytes::ReadBytes;
pub use read_stream::ReadStream;
pub use remove::RemoveFile;
pub use rename::RenameFile;
pub use write::WriteFiles;
pub use write_bytes::WriteBytes;
pub use write_stream::WriteStream;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{InvalidRequest, Problem};
use crate::tolerant;

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WrittenFile {
    /// Its path, as it was sent.
    pub path: String,
    /// The length, if the relay reports it: UTF-16 code units for text, bytes otherwise.
    #[serde(
        default,
        deserialize_with = "tolerant::count",
        skip_serializing_if = "Option::is_none"
    )]
    pub size: Option<u64>,
}

impl WrittenFile {
    /// Creates a file of this size.
    pub fn new(path: impl Into<String>, size: Option<u64>) -> Self {
        Self {
            path: path.into(),
            size,
        }
    }
}

/// Prints paths and lengths instead of texts.
pub(crate) struct Lengths<'a>(pub(crate) &'a [FileText]);

impl fmt::Debug for Lengths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for file in self.0 {
            map.entry(&file.path, &format_args!("{} bytes", file.content.len()));
        }
        map.finish()
    }
}

fn check_path(field: &'static str, path: &str) -> Result<(), InvalidRequest> {
    if path.is_empty() {
        return Err(InvalidRequest::new(field, Problem::Empty));
    }
    Ok(())
}
