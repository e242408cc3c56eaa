use std::io;
use std::mem;

use bytes::Bytes;

use super::{FileText, WriteFiles, WriteStream};
use crate::Endpoint;
use crate::error::{InvalidRequest, Problem};
use crate::route::LONGEST_BODY;

/// The length of the body without any file.
const EMPTY: usize = r#"{"files":{}}"#.len();

/// One of the requests that write many files: see [`WriteFiles::parts`].
#[derive(Debug, Clone, PartialEq, Eq)]
// Deliberately exhaustive: the sender must send every kind of part.
pub enum WritePart {
    /// As many files as fit in one request.
    Files(WriteFiles),
    /// A file that exceeds one request by itself, with its text as UTF-8.
    Long(WriteStream, Bytes),
}

impl WriteFiles {
    /// Splits the files into requests that the relay accepts: a request's body is at most 10 MiB, as JSON.
    ///
    /// The order is kept, and each request holds as many files as fit. A file that exceeds the limit by itself becomes a
    /// [`WriteStream`].
    ///
    /// # Errors
    /// Returns the errors of [`validate`](Endpoint::validate). All files are checked together, so a path that occurs in two
    /// requests is refused too.
    pub fn parts(self) -> Result<Vec<WritePart>, InvalidRequest> {
        self.validate()?;
        let Self { sandbox_id, files } = self;
        let part = |files: &mut Vec<FileText>| {
            WritePart::Files(Self {
                sandbox_id: sandbox_id.clone(),
                files: mem::take(files),
            })
        };
        let (mut parts, mut open, mut length) = (Vec::new(), Vec::new(), EMPTY);
        for file in files {
            // The path, a colon, and the text.
            let own = json_length(&file.path)? + json_length(&file.content)? + 1;
            let comma = usize::from(!open.is_empty());
            if length + comma + own > LONGEST_BODY && !open.is_empty() {
                parts.push(part(&mut open));
                length = EMPTY;
            }
            if EMPTY + own > LONGEST_BODY {
                let text = Bytes::from(file.content);
                let write = WriteStream::new(&sandbox_id, file.path).length(text.len() as u64);
                parts.push(WritePart::Long(write, text));
                continue;
            }
            length += usize::from(!open.is_empty()) + own;
            open.push(file);
        }
        if !open.is_empty() {
            parts.push(part(&mut open));
        }
        Ok(parts)
    }
}

/// Returns the length of a text as JSON.
fn json_length(text: &str) -> Result<usize, InvalidRequest> {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0 += data.len();
            Ok(data.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    serde_json::to_writer(&mut count, text)
        .map_err(|error| InvalidRequest::new("files", Problem::Unreadable(error.to_string())))?;
    Ok(count.0)
}
