use std::fmt;

use crate::ui::Chunk;

/// A message that chunks cannot say in full: [`disassemble`](crate::ui::disassemble) lists what they cannot.
///
/// [`into_chunks`](Self::into_chunks) gives those that come closest, where a message is wanted that differs in this.
#[derive(Clone, Debug, PartialEq)]
pub struct DisassembleError {
    pub(super) chunks: Vec<Chunk<'static>>,
    pub(super) part: Option<usize>,
}

impl DisassembleError {
    /// The first part that does not come out as it is, counted from 0; `None` if the parts do, but not the message's id, role, metadata
    /// or other members.
    #[must_use]
    pub fn part(&self) -> Option<usize> {
        self.part
    }

    /// The chunks that come closest.
    #[must_use]
    pub fn chunks(&self) -> &[Chunk<'static>] {
        &self.chunks
    }

    /// Takes the chunks that come closest.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Chunk<'static>> {
        self.chunks
    }
}

impl fmt::Display for DisassembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Some(part) => write!(f, "part {part} of the message cannot be said in chunks as it is")?,
            None => f.write_str(
                "the id, the role, the metadata or another member of the message cannot be said in chunks",
            )?,
        }
        f.write_str("; take the chunks that come closest, or keep the message")
    }
}

impl std::error::Error for DisassembleError {}
