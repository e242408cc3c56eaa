use std::str;

use bytes::Bytes;

use super::EntryError;

/// Chunks of an answer, each as one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunks(Bytes);

impl Chunks {
    /// Takes lines, each with its end.
    pub(in crate::run_log) fn new(lines: impl Into<Bytes>) -> Self {
        Self(lines.into())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        memchr::memchr_iter(b'\n', &self.0).count()
    }

    /// Returns whether there is none, which does not stand in a log.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the chunks: parts of the same bytes.
    pub fn iter(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut start = 0;
        memchr::memchr_iter(b'\n', &self.0).map(move |end| {
            let line = self.0.slice(start..end);
            start = end + 1;
            line
        })
    }

    /// The lines as they stand in the entry.
    pub(in crate::run_log) fn lines(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn read(lines: Bytes) -> Result<Self, EntryError> {
        let is_object = |line: &[u8]| line.starts_with(b"{") && line.ends_with(b"}");
        let Some(inner) = lines.strip_suffix(b"\n") else {
            return Err(EntryError::Corrupt("its last chunk has no end"));
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
