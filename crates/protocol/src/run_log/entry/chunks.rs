use std::str;

use bytes::Bytes;

use super::EntryError;

/// Chunks of an answer, each one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunks(Bytes);

impl Chunks {
    /// Creates the value from lines, each with its line end.
    pub(in crate::run_log) fn new(lines: impl Into<Bytes>) -> Self {
        Self(lines.into())
    }

    /// Returns the number of chunks.
    #[must_use]
    pub fn len(&self) -> usize {
        memchr::memchr_iter(b'\n', &self.0).count()
    }

    /// Returns whether there are no chunks. A log never contains such an entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the chunks, as slices of the same bytes.
    pub fn iter(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut start = 0;
        memchr::memchr_iter(b'\n', &self.0).map(move |end| {
            let line = self.0.slice(start..end);
            start = end + 1;
            line
        })
    }

    /// Returns the lines as they are in the entry.
    pub(in crate::run_log) fn lines(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn read(lines: Bytes) -> Result<Self, EntryError> {
        let is_object = |line: &[u8]| line.starts_with(b"{") && line.ends_with(b"}");
        let Some(inner) = lines.strip_suffix(b"\n") else {
            return Err(EntryError::Corrupt("its last chunk has no line end"));
        };
        if str::from_utf8(inner).is_err() {
            return Err(EntryError::Corrupt("its chunks are not UTF-8"));
        }
        if !inner.split(|&byte| byte == b'\n').all(is_object) {
            return Err(EntryError::Corrupt("one of its chunks is not an object"));
        }
        Ok(Self(lines))
    }
}
