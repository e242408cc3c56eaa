use serde::{Deserialize, Serialize};

use crate::runs::RunRef;

/// A run that an instance is responsible for: it must be recorded to its end, and its end must be reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Obligation {
    /// The id of the run in the log.
    pub run: String,
    /// The owner of the chat.
    pub owner: String,
    /// The chat that the run belongs to.
    pub chat: String,
    /// The place of the run, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<RunRef>,
}

/// Changes to the obligations in a register.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Noted {
    /// The new obligations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened: Vec<Obligation>,
    /// The places of runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placed: Vec<Placed>,
    /// The ids of the runs whose obligations are closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
}

/// The place of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Placed {
    /// The id of the run in the log.
    pub run: String,
    /// The run at the relay.
    pub place: RunRef,
}

/// A register, in the roster of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Listed {
    /// The id of the register.
    pub register: String,
}

impl Obligation {
    /// Creates the obligation for a run of this chat.
    pub fn new(run: impl Into<String>, owner: impl Into<String>, chat: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            owner: owner.into(),
            chat: chat.into(),
            place: None,
        }
    }

    /// Sets the place of the run.
    #[must_use]
    pub fn at(mut self, place: impl Into<Option<RunRef>>) -> Self {
        self.place = place.into();
        self
    }
}

impl Placed {
    /// Creates the place of a run.
    pub fn new(run: impl Into<String>, place: RunRef) -> Self {
        Self {
            run: run.into(),
            place,
        }
    }
}

impl Noted {
    /// Returns whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.placed.is_empty() && self.closed.is_empty()
    }
}

impl Listed {
    /// Creates the entry for this register.
    pub fn new(register: impl Into<String>) -> Self {
        Self {
            register: register.into(),
        }
    }
}
