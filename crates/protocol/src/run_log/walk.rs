use bytes::Bytes;

use super::{Entry, EntryError, Logged, Position};

/// A walk through the log of a run, or through a register, from its start: what stands there must follow what stood before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    at: Position,
    chunks: u64,
    is_register: bool,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            at: Position::START,
            chunks: 0,
            is_register: false,
        }
    }
}

impl Walk {
    /// Goes on behind this position, up to which so many chunks stand.
    pub(super) fn behind(at: Position, chunks: u64) -> Self {
        Self {
            at,
            chunks,
            is_register: false,
        }
    }

    /// A walk through a register.
    pub(super) fn of_register() -> Self {
        Self {
            is_register: true,
            ..Self::default()
        }
    }

    /// The last position.
    pub(super) fn at(&self) -> Position {
        self.at
    }

    /// How many chunks stand up to there.
    pub(super) fn chunks(&self) -> u64 {
        self.chunks
    }

    pub(super) fn next(&mut self, at: Position, entry: &Bytes) -> Result<Entry, EntryError> {
        if at <= self.at {
            return Err(EntryError::Corrupt("it stands before one that was read"));
        }
        let logged = Logged::decode(entry)?;
        let first = self.at == Position::START;
        match &logged.entry {
            entry if !self.belongs(entry) => {
                return Err(EntryError::Corrupt("it belongs into another log"));
            }
            // Who claims does not know yet what stands there.
            Entry::Claim(_) if at.seq == 0 => {}
            Entry::Claim(_) => return Err(EntryError::Corrupt("a claim does not begin its epoch")),
            _ if first => return Err(EntryError::Corrupt("the log has lost its beginning")),
            _ if at != self.at.next() => {
                return Err(EntryError::Corrupt("entries are missing before it"));
            }
            _ if logged.chunks != self.chunks => {
                return Err(EntryError::Corrupt("chunks are missing before it"));
            }
            _ => self.chunks = logged.chunks_after(),
        }
        self.at = at;
        Ok(logged.entry)
    }

    fn belongs(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Turn(_)
            | Entry::Stop(_)
            | Entry::Cost(_)
            | Entry::Counted(_)
            | Entry::Listed(_) => false,
            Entry::Noted(_) => self.is_register,
            Entry::Starting(_) | Entry::Started(_) | Entry::Data(_) | Entry::Overflow => {
                !self.is_register
            }
            Entry::Claim(_) | Entry::Beat | Entry::Release | Entry::End(_) => true,
        }
    }
}
