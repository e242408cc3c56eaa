use std::str;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::runs::{RunEnd, RunRef};
use crate::shown;

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
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// In the log of a chat: a turn has begun.
    Turn(Turn),
    /// Somebody writes from here on, and nobody of an older epoch.
    Claim(Claim),
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
}

/// A turn of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Turn {
    /// The id of the run that answers it.
    pub run: String,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Ended {
    /// The word of [`RunEnd`](crate::runs::RunEnd::as_str): `completed`, `cancelled`, `failed` or `lost`.
    pub end: String,
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
    /// A turn that this run answers.
    pub fn new(run: impl Into<String>) -> Self {
        Self { run: run.into() }
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
        Self { end: end.into() }
    }

    /// The end of a run.
    pub fn of(end: &RunEnd) -> Self {
        Self::new(end.as_str())
    }
}

impl Stop {
    /// A wish of which this instance was told.
    pub fn new(by: impl Into<String>) -> Self {
        Self { by: by.into() }
    }
}

/// Chunks of an answer, each as one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunks(Bytes);

impl Chunks {
    /// Takes lines, each with its end.
    pub(super) fn new(lines: impl Into<Bytes>) -> Self {
        Self(lines.into())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        memchr::memchr_iter(b'\n', &self.0).count()
    }

    /// Returns whether there is none, which does not stand in a log.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the chunks: parts of the same bytes.
    pub fn iter(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut start = 0;
        memchr::memchr_iter(b'\n', &self.0).map(move |end| {
            let line = self.0.slice(start..end);
            start = end + 1;
            line
        })
    }

    /// The lines as they stand in the entry.
    pub(super) fn lines(&self) -> &[u8] {
        &self.0
    }

    fn read(lines: Bytes) -> Result<Self, EntryError> {
        let is_object = |line: &[u8]| line.starts_with(b"{") && line.ends_with(b"}");
        let Some(inner) = lines.strip_suffix(b"\n") else {
            return Err(EntryError::Corrupt("its last chunk has no end"));
        };
        if str::from_utf8(inner).is_err() {
            return Err(EntryError::Corrupt("its chunks are not UTF-8"));
        }
        if !inner.split(|&byte| byte == b'\n').all(is_object) {
            return Err(EntryError::Corrupt("one of its chunks is not an object"));
        }
        Ok(Self(lines))
    }
}

/// An entry, and how many chunks stand before it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logged {
    /// How many chunks stand in the log before this entry. A claim does not say.
    pub chunks: u64,
    /// What it says.
    pub entry: Entry,
}

/// Why an entry of a log cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// It was not written by a run log.
    #[error("the entry is not one of a run log")]
    Foreign,
    /// It was written by a newer version.
    #[error(
        "the entry is of version {0} of the run log, and versions up to 1 can be read here: update this instance"
    )]
    Newer(u64),
    /// It was cut or changed.
    #[error("the entry is corrupt: {0}")]
    Corrupt(&'static str),
    /// It says something that is not known.
    #[error("the entry is of a kind that is not known: {0}")]
    UnknownKind(String),
}

impl Logged {
    /// An entry behind so many chunks.
    #[must_use]
    pub const fn new(chunks: u64, entry: Entry) -> Self {
        Self { chunks, entry }
    }

    /// Returns how many chunks stand in the log up to and with this entry.
    #[must_use]
    pub fn chunks_after(&self) -> u64 {
        match &self.entry {
            Entry::Data(chunks) => self.chunks + chunks.len() as u64,
            _ => self.chunks,
        }
    }

    /// Returns the entry's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (kind, rest) = match &self.entry {
            Entry::Turn(turn) => ("turn", json(turn)),
            Entry::Claim(claim) => ("claim", json(claim)),
            Entry::Started(run) => ("started", json(run)),
            Entry::Data(chunks) => {
                let mut bytes = Vec::with_capacity(chunks.0.len() + 40);
                bytes.extend_from_slice(
                    format!("{MAGIC}{VERSION} data {}\n", self.chunks).as_bytes(),
                );
                bytes.extend_from_slice(&chunks.0);
                return bytes.into();
            }
            Entry::Beat => ("beat", String::new()),
            Entry::Overflow => ("overflow", String::new()),
            Entry::End(end) => ("end", json(end)),
            Entry::Release => ("release", String::new()),
            Entry::Stop(stop) => ("stop", json(stop)),
        };
        format!("{MAGIC}{VERSION} {kind} {}\n{rest}", self.chunks).into()
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// If it is not one of a run log, of a newer version, or corrupt. None is passed over: what follows could not be told apart
    /// from what is missing.
    pub fn decode(bytes: &Bytes) -> Result<Self, EntryError> {
        let foreign = EntryError::Foreign;
        let end = memchr::memchr(b'\n', bytes);
        let head = str::from_utf8(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default());
        let head = head
            .ok()
            .and_then(|head| head.strip_prefix(MAGIC))
            .ok_or(foreign.clone())?;
        let mut words = head.split(' ');
        let version: u64 = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or(foreign)?;
        if version > VERSION {
            return Err(EntryError::Newer(version));
        }
        let Some(end) = end else {
            return Err(EntryError::Corrupt("its first line has no end"));
        };
        let (Some(kind), Some(chunks), None) = (words.next(), words.next(), words.next()) else {
            return Err(EntryError::Corrupt("its first line has not three words"));
        };
        let chunks = chunks
            .parse()
            .map_err(|_| EntryError::Corrupt("it does not say how many chunks stand before it"))?;
        let rest = bytes.slice(end + 1..);
        let entry = match kind {
            "turn" => Entry::Turn(read(&rest)?),
            "claim" => Entry::Claim(read(&rest)?),
            "started" => Entry::Started(read(&rest)?),
            "data" => Entry::Data(Chunks::read(rest)?),
            "beat" => nothing(&rest, Entry::Beat)?,
            "overflow" => nothing(&rest, Entry::Overflow)?,
            "end" => Entry::End(read(&rest)?),
            "release" => nothing(&rest, Entry::Release)?,
            "stop" => Entry::Stop(read(&rest)?),
            other => return Err(EntryError::UnknownKind(shown(other))),
        };
        Ok(Self::new(chunks, entry))
    }
}

const MAGIC: &str = "21st/";

/// The version of what is written here.
const VERSION: u64 = 1;

fn json<T: Serialize>(value: &T) -> String {
    // Texts and ids only, which are always JSON.
    serde_json::to_string(value).unwrap_or_default()
}

fn read<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, EntryError> {
    serde_json::from_slice(json).map_err(|_| EntryError::Corrupt("what it says cannot be read"))
}

fn nothing(rest: &[u8], entry: Entry) -> Result<Entry, EntryError> {
    match rest {
        [] => Ok(entry),
        _ => Err(EntryError::Corrupt("something follows its first line")),
    }
}
