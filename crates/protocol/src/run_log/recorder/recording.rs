use bytes::Bytes;

use super::super::{Claim, Entry, Logged, TurnOrder};
use crate::runs::StartRun;
use crate::ui::RawJson;

/// The run to record, and its recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recording {
    /// The id of the run in the log. It is generated for each run and unique.
    pub run: String,
    /// The instance that records.
    pub by: String,
    /// The owner of the chat.
    pub owner: String,
    /// The chat.
    pub chat: String,
    /// The policy if the chat is answering. Default: refuse.
    pub order: TurnOrder,
    /// The request, a [`StartRun`], if it is known.
    pub ask: Option<RawJson<'static>>,
}

impl Recording {
    /// Creates the description of a run with this id, recorded by this instance.
    pub fn new(run: impl Into<String>, by: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            by: by.into(),
            owner: String::new(),
            chat: String::new(),
            order: TurnOrder::default(),
            ask: None,
        }
    }

    /// Sets the chat and its owner.
    #[must_use]
    pub fn of_chat(mut self, owner: impl Into<String>, chat: impl Into<String>) -> Self {
        self.owner = owner.into();
        self.chat = chat.into();
        self
    }

    /// Sets the policy if the chat is answering.
    #[must_use]
    pub fn order(mut self, order: TurnOrder) -> Self {
        self.order = order;
        self
    }

    /// Sets the request, so that any instance can start it.
    #[must_use]
    pub fn asking(mut self, run: &StartRun) -> Self {
        self.ask = RawJson::from_value(run).ok();
        self
    }

    /// Returns the entry that claims the log of the run.
    pub(super) fn claim(&self) -> Bytes {
        let claim = Claim::new(&self.by, &self.owner, &self.chat);
        Logged::new(0, Entry::Claim(claim)).encode()
    }
}
