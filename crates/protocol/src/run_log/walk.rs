use bytes::Bytes;

use super::{Entry, EntryError, Logged, Position};

/// A walk through the log of a run, from its start: what stands there must follow what stood before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    at: Position,
    chunks: u64,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            at: Position::START,
            chunks: 0,
        }
    }
}

impl Walk {
    /// Goes on behind this position, up to which so many chunks stand.
    pub(super) fn behind(at: Position, chunks: u64) -> Self {
        Self { at, chunks }
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
            Entry::Turn(_) | Entry::Stop(_) | Entry::Cost(_) | Entry::Counted(_) => {
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
}
