mod chunks;
mod logged;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::LogId;
use super::register::{Listed, Noted};
use super::{Append, Cost, Counted, Keep, Position};
use crate::runs::{RunEnd, RunRef};
use crate::threads::Usage;
use crate::ui::RawJson;

pub use self::chunks::Chunks;
pub use self::logged::{EntryError, Logged};

/// What stands in a log.
///
/// On the wire an entry is a line with what it is, and behind it what it says: JSON, or for [`Data`](Self::Data) one chunk a line. So a
/// reader passes chunks on without reading their JSON.
///
/// ```text
/// 21st/1 data 17
/// {"type":"text-delta","id":"t1","delta":"Hello"}
/// {"type":"text-end","id":"t1"}
/// ```
///
/// The number is how many chunks stand in the log before it: so what is missing is noticed, and the last entry tells how long the log
/// is. Only a claim does not know it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Entry {
    /// In the log of a chat: a turn has begun.
    Turn(Turn),
    /// Somebody writes from here on, and nobody of an older epoch.
    Claim(Claim),
    /// The run has a place, and its messages are sent behind this entry: from here on it may exist.
    Starting(RunRef),
    /// The run has begun.
    Started(RunRef),
    /// Chunks of the answer.
    Data(Chunks),
    /// Nothing has come, but somebody is there.
    Beat,
    /// The answer is longer than a log: no more of its chunks come, only its [`End`](Self::End).
    Overflow,
    /// The run is over. Of all that follows nothing counts.
    End(Ended),
    /// Whoever wrote writes no more, though the run goes on: the next may claim at once.
    Release,
    /// In the log that says so: the run is to stop.
    Stop(Stop),
    /// In the log that says so: what the run has cost.
    Cost(Cost),
    /// In the log of an account: a run was counted.
    Counted(Counted),
    /// In a register: what has become of the runs that an instance answers for.
    Noted(Noted),
    /// In a roster: there is a register.
    Listed(Listed),
}

/// A turn of a chat: a place in its line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Turn {
    /// The id of the run that answers it.
    pub run: String,
    /// Whether the turn before it was not over when it was taken. Then it waits, and is started by whoever records it when that is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub waits: bool,
    /// The runs before it that it ends, to come sooner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interrupts: Vec<String>,
    /// What it asks: a [`StartRun`](crate::runs::StartRun). Not there where that is longer than [`LONGEST_ASK`](Self::LONGEST_ASK).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<RawJson<'static>>,
}

/// Nothing of what it asks.
impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("run", &self.run)
            .field("waits", &self.waits)
            .field("interrupts", &self.interrupts)
            .finish_non_exhaustive()
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Claim {
    /// The instance that writes.
    pub by: String,
    /// The owner of the chat.
    pub owner: String,
    /// The chat that the run belongs to.
    pub chat: String,
}

/// How a run has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Ended {
    /// The word of [`RunEnd`](crate::runs::RunEnd::as_str): `completed`, `cancelled`, `failed` or `lost`.
    pub end: String,
    /// Where it took place, if it had a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunRef>,
    /// What the run used and cost, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The runtime's word for the end, as in [`Outcome::result_subtype`](crate::runs::Outcome::result_subtype).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_subtype: Option<String>,
}

/// A wish that a run stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stop {
    /// The instance that was asked.
    pub by: String,
}

impl Turn {
    /// The longest [`ask`](Self::ask) that is kept, in bytes: 1 MiB.
    pub const LONGEST_ASK: usize = 1024 * 1024;

    /// A turn that this run answers.
    pub fn new(run: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            waits: false,
            interrupts: Vec::new(),
            ask: None,
        }
    }

    /// Returns the append that takes it, at this position of the [log of its chat](LogId::chat).
    #[must_use]
    pub fn append(&self, at: Position) -> Append {
        Append::new(
            at,
            Logged::new(0, Entry::Turn(self.clone())).encode(),
            Keep::existing(CHAT_TTL).or_create().over(),
        )
    }

    /// Sets what it asks.
    #[must_use]
    pub fn ask(mut self, ask: Option<RawJson<'static>>) -> Self {
        self.ask = ask.filter(|ask| ask.get().len() <= Self::LONGEST_ASK);
        self
    }

    /// The same, which waits for the one before it, and ends these runs.
    #[must_use]
    pub fn waiting(mut self, interrupts: impl IntoIterator<Item = String>) -> Self {
        self.waits = true;
        self.interrupts = interrupts.into_iter().collect();
        self
    }
}

impl Claim {
    /// A claim of this instance's.
    pub fn new(by: impl Into<String>, owner: impl Into<String>, chat: impl Into<String>) -> Self {
        Self {
            by: by.into(),
            owner: owner.into(),
            chat: chat.into(),
        }
    }
}

impl Ended {
    /// An end, by its word.
    pub fn new(end: impl Into<String>) -> Self {
        Self {
            end: end.into(),
            run: None,
            usage: None,
            result_subtype: None,
        }
    }

    /// The end of a run.
    pub fn of(end: &RunEnd) -> Self {
        Self::new(end.as_str())
    }

    /// Sets where it took place.
    #[must_use]
    pub fn at(mut self, run: Option<RunRef>) -> Self {
        self.run = run;
        self
    }

    /// Sets what the run came to, beside its end.
    #[must_use]
    pub fn came_to(mut self, usage: Usage, result_subtype: Option<String>) -> Self {
        self.usage = Some(usage).filter(|usage| *usage != Usage::default());
        self.result_subtype = result_subtype;
        self
    }
}

/// How long the log of a chat is kept behind its last turn: 24 h.
const CHAT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a stop is kept: 24 h, longer than any run starts.
const STOP_TTL: Duration = Duration::from_secs(24 * 60 * 60);

impl Stop {
    /// Returns the append that records the wish in the [log of stops](LogId::stop). Whoever asks for a stop appends it before it cancels
    /// the run, so that whoever starts the run finds it.
    #[must_use]
    pub fn append(self) -> Append {
        Append::new(
            Position::START.next_claim(),
            Logged::new(0, Entry::Stop(self)).encode(),
            Keep::existing(STOP_TTL).or_create().over(),
        )
    }

    /// A wish of which this instance was told.
    pub fn new(by: impl Into<String>) -> Self {
        Self { by: by.into() }
    }
}
