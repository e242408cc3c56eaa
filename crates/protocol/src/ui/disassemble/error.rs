use std::fmt;

use crate::ui::Chunk;

/// Chunks cannot express a message in full; [`disassemble`](crate::ui::disassemble) lists the reasons.
///
/// [`into_chunks`](Self::into_chunks) returns the closest chunks, for callers that accept the difference.
#[derive(Clone, Debug, PartialEq)]
pub struct DisassembleError {
    pub(super) chunks: Vec<Chunk<'static>>,
    pub(super) part: Option<usize>,
}

impl DisassembleError {
    /// Returns the index of the first part that the chunks do not reproduce. `None` if only the id, role, metadata or other members
    /// of the message differ.
    #[must_use]
    pub fn part(&self) -> Option<usize> {
        self.part
    }

    /// Returns the closest chunks.
    #[must_use]
    pub fn chunks(&self) -> &[Chunk<'static>] {
        &self.chunks
    }

    /// Returns the closest chunks.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Chunk<'static>> {
        self.chunks
    }
}

impl fmt::Display for DisassembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Some(part) => write!(f, "chunks cannot express part {part} of the message")?,
            None => f.write_str(
                "chunks cannot express the id, the role, the metadata or another member of the message",
            )?,
        }
        f.write_str("; use the closest chunks, or keep the message")
    }
}

impl std::error::Error for DisassembleError {}
