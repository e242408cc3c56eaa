use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::walk::Walk;
use super::super::{Entry, EntryError, Position};
use super::{Noted, Obligation};

/// The contents of a register: the open obligations, and the writers.
#[derive(Debug, Clone)]
pub struct Book {
    walk: Walk,
    open: BTreeMap<String, Obligation>,
    writers: Vec<String>,
    is_over: bool,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            walk: Walk::of_register(),
            open: BTreeMap::new(),
            writers: Vec::new(),
            is_over: false,
        }
    }
}

impl Book {
    /// Reads the next entry.
    ///
    /// # Errors
    /// Returns an error if the entry cannot be read, or does not follow the previous one.
    pub fn read(&mut self, at: Position, entry: &Bytes) -> Result<(), EntryError> {
        match self.walk.next(at, entry)? {
            // All writers count, since each of them may have claimed logs of runs that are open here.
            Entry::Claim(claim) if !self.writers.contains(&claim.by) => self.writers.push(claim.by),
            Entry::Noted(noted) => self.note(noted),
            Entry::End(_) => self.is_over = true,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn note(&mut self, noted: Noted) {
        for opened in noted.opened {
            self.open.insert(opened.run.clone(), opened);
        }
        for placed in noted.placed {
            if let Some(open) = self.open.get_mut(&placed.run) {
                open.place = Some(placed.place);
            }
        }
        // Closing comes last: an obligation may be opened and closed in one entry.
        for closed in noted.closed {
            self.open.remove(&closed);
        }
    }

    /// Returns the position of the last entry that was read.
    #[must_use]
    pub fn at(&self) -> Position {
        self.walk.at()
    }

    /// Returns the open obligations.
    pub fn open(&self) -> impl Iterator<Item = &Obligation> {
        self.open.values()
    }

    /// Returns the instances that have claimed the register. If another instance than these has claimed the log of a run that is
    /// open here, that instance is responsible for it.
    #[must_use]
    pub fn writers(&self) -> &[String] {
        &self.writers
    }

    /// Returns whether the register is complete: everything was closed, and nothing more is written.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}
