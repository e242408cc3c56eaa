use serde::{Deserialize, Serialize};

use crate::runs::RunRef;

/// A run that somebody answers for: it has to come to its end, and its end has to be told.
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
    /// Where the run takes place, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<RunRef>,
}

/// What has become of runs, in a register.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Noted {
    /// From now on somebody answers for these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened: Vec<Obligation>,
    /// These take place there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placed: Vec<Placed>,
    /// For these there is nothing more to do: the ids of the runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
}

/// Where a run takes place.
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
    /// A run of this id, of this chat of this owner.
    pub fn new(run: impl Into<String>, owner: impl Into<String>, chat: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            owner: owner.into(),
            chat: chat.into(),
            place: None,
        }
    }

    /// Sets where the run takes place.
    #[must_use]
    pub fn at(mut self, place: impl Into<Option<RunRef>>) -> Self {
        self.place = place.into();
        self
    }
}

impl Placed {
    /// A run of this id, which takes place there.
    pub fn new(run: impl Into<String>, place: RunRef) -> Self {
        Self {
            run: run.into(),
            place,
        }
    }
}

impl Noted {
    /// Whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.placed.is_empty() && self.closed.is_empty()
    }
}

impl Listed {
    /// A register of this id.
    pub fn new(register: impl Into<String>) -> Self {
        Self {
            register: register.into(),
        }
    }
}
