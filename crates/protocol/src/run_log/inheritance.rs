use std::str;
use std::sync::Arc;

use bytes::Bytes;

use super::walk::Walk;
use super::writer::{Limits, Writer};
use super::{Ended, Entry, EntryError, Position};
use crate::runs::RunRef;
use crate::ui::Chunk;

/// The contents of a run's log, as needed to take the run over.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    walk: Walk,
    /// The run, once its messages may have been sent.
    pub(super) run: Option<RunRef>,
    pub(super) chunks: Vec<Chunk<'static>>,
    pub(super) ended: Option<Ended>,
    bytes: usize,
    has_overflowed: bool,
}

impl Inheritance {
    pub(super) fn read(&mut self, at: Position, entry: &Bytes) -> Result<(), EntryError> {
        let entry = self.walk.next(at, entry)?;
        // Only claims and repeated ends follow an end, and they change nothing.
        if self.ended.is_some() {
            return Ok(());
        }
        match entry {
            // From `Starting` on, the messages may have been sent, so a successor must not send them again.
            Entry::Starting(run) | Entry::Started(run) => self.run = Some(run),
            Entry::Data(chunks) => {
                self.bytes += chunks.lines().len();
                for line in chunks.iter() {
                    let chunk = str::from_utf8(&line).ok().map(Chunk::decode);
                    let Some(Ok(chunk)) = chunk else {
                        return Err(EntryError::Corrupt("one of its chunks cannot be read"));
                    };
                    self.chunks.push(chunk.into_owned());
                }
            }
            Entry::Overflow => self.has_overflowed = true,
            Entry::End(ended) => self.ended = Some(ended),
            // Claims, beats and releases say nothing about the answer. The walk rejects entries of other logs.
            _ => {}
        }
        Ok(())
    }

    /// Returns the last position that was read.
    pub(super) fn at(&self) -> Position {
        self.walk.at()
    }

    /// Returns a writer that continues after all of it.
    pub(super) fn writer(&self, limits: Arc<Limits>) -> Writer {
        Writer::behind(self.walk.at(), self.walk.chunks(), self.bytes, limits)
            .overflowed(self.has_overflowed)
    }
}
