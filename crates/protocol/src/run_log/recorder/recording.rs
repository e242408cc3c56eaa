use bytes::Bytes;

use super::super::{Claim, Entry, Logged};

/// Which run is recorded, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Recording {
    /// The id of the run in the log. It is made for each run, and no other has it.
    pub run: String,
    /// The instance that records.
    pub by: String,
    /// The owner of the chat.
    pub owner: String,
    /// The chat.
    pub chat: String,
}

impl Recording {
    /// A run of this id, recorded by this instance.
    pub fn new(run: impl Into<String>, by: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            by: by.into(),
            owner: String::new(),
            chat: String::new(),
        }
    }

    /// Sets the chat, and who it belongs to.
    #[must_use]
    pub fn of_chat(mut self, owner: impl Into<String>, chat: impl Into<String>) -> Self {
        self.owner = owner.into();
        self.chat = chat.into();
        self
    }

    /// The entry that claims the log of the run.
    pub(super) fn claim(&self) -> Bytes {
        let claim = Claim::new(&self.by, &self.owner, &self.chat);
        Logged::new(0, Entry::Claim(claim)).encode()
    }
}
