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

/// An entry of a log.
///
/// An encoded entry is a line with its kind, followed by its content: JSON, or for [`Data`](Self::Data) one chunk a line. A
/// reader can therefore pass on chunks without parsing their JSON.
///
/// ```text
/// 21st/1 data 17
/// {"type":"text-delta","id":"t1","delta":"Hello"}
/// {"type":"text-end","id":"t1"}
/// ```
///
/// The number is the count of chunks in the log before the entry. It reveals missing entries, and in the last entry it shows the
/// length of the log. In a claim it means nothing: a claim is written before its log is read, so its writer does not know it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Entry {
    /// In the log of a chat: a turn has begun.
    Turn(Turn),
    /// A writer has claimed the log. From here on, writers of older epochs are fenced.
    Claim(Claim),
    /// The run has a place. Its messages are sent after this entry, so from here on it may exist.
    Starting(RunRef),
    /// The run has begun.
    Started(RunRef),
    /// Chunks of the answer.
    Data(Chunks),
    /// A heartbeat: there was nothing to write, and the writer is alive.
    Beat,
    /// The answer exceeds the log's size limit. No more of its chunks follow, only its [`End`](Self::End).
    Overflow,
    /// The run is over. Readers ignore everything that follows.
    End(Ended),
    /// The writer has released the log, though the run goes on: the next may claim it at once.
    Release,
    /// In the log of stops: the run should stop.
    Stop(Stop),
    /// In the log of costs: the cost of the run.
    Cost(Cost),
    /// In the log of an account: a run was counted.
    Counted(Counted),
    /// In a register: changes of the runs that an instance is responsible for.
    Noted(Noted),
    /// In a roster: a register exists.
    Listed(Listed),
}

/// A turn of a chat: its place in the chat's queue.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Turn {
    /// The id of the run that answers it.
    pub run: String,
    /// Whether the previous turn was not over when this one was taken. Then it waits, and its recorder starts it when that turn
    /// is over.
    #[serde(default, skip_serializing_if = "is_false")]
    pub waits: bool,
    /// The earlier runs that it cancels in order to start sooner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interrupts: Vec<String>,
    /// The request, a [`StartRun`](crate::runs::StartRun). Missing if it is longer than [`LONGEST_ASK`](Self::LONGEST_ASK).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<RawJson<'static>>,
}

/// Omits the request, which is confidential.
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

/// A claim of a log by a writer.
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

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Ended {
    /// The end as in [`RunEnd::as_str`](crate::runs::RunEnd::as_str): `completed`, `cancelled`, `failed` or `lost`.
    pub end: String,
    /// The place of the run, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunRef>,
    /// The usage and cost of the run, as far as they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The runtime's word for the result, as in [`Outcome::result_subtype`](crate::runs::Outcome::result_subtype).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_subtype: Option<String>,
}

/// A request to stop a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stop {
    /// The instance that was asked to stop it.
    pub by: String,
}

impl Turn {
    /// The longest [`ask`](Self::ask) that is kept, in bytes: 1 MiB.
    pub const LONGEST_ASK: usize = 1024 * 1024;

    /// Creates a turn that this run answers.
    pub fn new(run: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            waits: false,
            interrupts: Vec::new(),
            ask: None,
        }
    }

    /// Returns the append that takes the turn, at this position of the [log of its chat](LogId::chat).
    #[must_use]
    pub fn append(&self, at: Position) -> Append {
        Append::new(
            at,
            Logged::new(0, Entry::Turn(self.clone())).encode(),
            Keep::existing(CHAT_TTL).or_create().over(),
        )
    }

    /// Sets the request.
    #[must_use]
    pub fn ask(mut self, ask: Option<RawJson<'static>>) -> Self {
        self.ask = ask.filter(|ask| ask.get().len() <= Self::LONGEST_ASK);
        self
    }

    /// Makes the turn wait for the previous one and cancel these runs.
    #[must_use]
    pub fn waiting(mut self, interrupts: impl IntoIterator<Item = String>) -> Self {
        self.waits = true;
        self.interrupts = interrupts.into_iter().collect();
        self
    }
}

impl Claim {
    /// Creates a claim by this instance.
    pub fn new(by: impl Into<String>, owner: impl Into<String>, chat: impl Into<String>) -> Self {
        Self {
            by: by.into(),
            owner: owner.into(),
            chat: chat.into(),
        }
    }
}

impl Ended {
    /// Creates an end from its word.
    pub fn new(end: impl Into<String>) -> Self {
        Self {
            end: end.into(),
            run: None,
            usage: None,
            result_subtype: None,
        }
    }

    /// Creates the end of a run.
    pub fn of(end: &RunEnd) -> Self {
        Self::new(end.as_str())
    }

    /// Sets the place of the run.
    #[must_use]
    pub fn at(mut self, run: Option<RunRef>) -> Self {
        self.run = run;
        self
    }

    /// Sets the usage of the run and the runtime's word for its result.
    #[must_use]
    pub fn result(mut self, usage: Usage, result_subtype: Option<String>) -> Self {
        self.usage = Some(usage).filter(|usage| *usage != Usage::default());
        self.result_subtype = result_subtype;
        self
    }
}

/// The time for which the log of a chat is kept after its last turn: 24 h.
const CHAT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The time for which a stop is kept: 24 h, longer than any run takes to start.
const STOP_TTL: Duration = Duration::from_secs(24 * 60 * 60);

impl Stop {
    /// Returns the append that records the request in the [log of stops](LogId::stop). Append it before you cancel the run, so
    /// that an instance that is just starting the run finds it.
    #[must_use]
    pub fn append(self) -> Append {
        Append::new(
            Position::START.next_claim(),
            Logged::new(0, Entry::Stop(self)).encode(),
            Keep::existing(STOP_TTL).or_create().over(),
        )
    }

    /// Creates a request that was made to this instance.
    pub fn new(by: impl Into<String>) -> Self {
        Self { by: by.into() }
    }
}
