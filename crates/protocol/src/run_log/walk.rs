use bytes::Bytes;

use super::{Entry, EntryError, Logged, Position};

/// A walk through the log of a run, or through a register. It checks that each entry continues the previous one.
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
    /// Creates a walk that continues after this position, up to which the log has so many chunks.
    pub(super) fn behind(at: Position, chunks: u64) -> Self {
        Self {
            at,
            chunks,
            is_register: false,
        }
    }

    /// Creates a walk through a register.
    pub(super) fn of_register() -> Self {
        Self {
            is_register: true,
            ..Self::default()
        }
    }

    /// Returns the last position.
    pub(super) fn at(&self) -> Position {
        self.at
    }

    /// Returns the number of chunks up to there.
    pub(super) fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Checks and decodes the next entry.
    pub(super) fn next(&mut self, at: Position, entry: &Bytes) -> Result<Entry, EntryError> {
        if at <= self.at {
            return Err(EntryError::Corrupt(
                "it is below an entry that was read before",
            ));
        }
        let logged = Logged::decode(entry)?;
        let first = self.at == Position::START;
        match &logged.entry {
            entry if !self.belongs(entry) => {
                return Err(EntryError::Corrupt("it belongs in another log"));
            }
            // A claim is written before its log is read, so its writer does not know the number of chunks.
            Entry::Claim(_) if at.seq == 0 => {}
            Entry::Claim(_) => return Err(EntryError::Corrupt("a claim does not begin its epoch")),
            // Only a claim begins a log: a store that has evicted the oldest entries must not look like a shorter answer.
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
