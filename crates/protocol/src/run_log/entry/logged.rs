use std::str;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Chunks, Entry};
use crate::shown;

/// An entry, and the number of chunks before it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Logged {
    /// The number of chunks in the log before this entry. A claim does not contain it.
    pub chunks: u64,
    /// The entry.
    pub entry: Entry,
}

/// The reason why an entry of a log cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The entry was not written by a run log.
    #[error("the entry does not belong to a run log")]
    Foreign,
    /// The entry was written by a newer version.
    #[error(
        "the entry has version {0} of the run log, and this instance reads versions up to 1: update it"
    )]
    Newer(u64),
    /// The entry was cut off or changed.
    #[error("the entry is corrupt: {0}")]
    Corrupt(&'static str),
    /// The entry has an unknown kind.
    #[error("the entry has an unknown kind: {0}")]
    UnknownKind(String),
}

impl Logged {
    /// Creates an entry that follows so many chunks.
    #[must_use]
    pub const fn new(chunks: u64, entry: Entry) -> Self {
        Self { chunks, entry }
    }

    /// Returns the number of chunks in the log up to and including this entry.
    #[must_use]
    pub fn chunks_after(&self) -> u64 {
        match &self.entry {
            Entry::Data(chunks) => self.chunks + chunks.len() as u64,
            _ => self.chunks,
        }
    }

    /// Encodes the entry as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (kind, rest) = match &self.entry {
            Entry::Turn(turn) => ("turn", json(turn)),
            Entry::Claim(claim) => ("claim", json(claim)),
            Entry::Starting(run) => ("starting", json(run)),
            Entry::Started(run) => ("started", json(run)),
            Entry::Data(chunks) => {
                let mut bytes = Vec::with_capacity(chunks.lines().len() + 40);
                bytes.extend_from_slice(
                    format!("{MAGIC}{VERSION} data {}\n", self.chunks).as_bytes(),
                );
                bytes.extend_from_slice(chunks.lines());
                return bytes.into();
            }
            Entry::Beat => ("beat", String::new()),
            Entry::Overflow => ("overflow", String::new()),
            Entry::End(end) => ("end", json(end)),
            Entry::Release => ("release", String::new()),
            Entry::Stop(stop) => ("stop", json(stop)),
            Entry::Cost(cost) => ("cost", json(cost)),
            Entry::Counted(counted) => ("counted", json(counted)),
            Entry::Noted(noted) => ("noted", json(noted)),
            Entry::Listed(listed) => ("listed", json(listed)),
        };
        format!("{MAGIC}{VERSION} {kind} {}\n{rest}", self.chunks).into()
    }

    /// Decodes an entry.
    ///
    /// # Errors
    /// Returns an error if the entry does not belong to a run log, has a newer version, or is corrupt. Unreadable entries are
    /// never skipped: readers could not tell them from missing ones.
    pub fn decode(bytes: &Bytes) -> Result<Self, EntryError> {
        let end = memchr::memchr(b'\n', bytes);
        let head = str::from_utf8(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default());
        let head = head
            .ok()
            .and_then(|head| head.strip_prefix(MAGIC))
            .ok_or(EntryError::Foreign)?;
        let mut words = head.split(' ');
        let version: u64 = words.next().and_then(number).ok_or(EntryError::Foreign)?;
        // The version comes before everything else, since a newer one may have other words in its first line.
        if version > VERSION {
            return Err(EntryError::Newer(version));
        }
        let Some(end) = end else {
            return Err(EntryError::Corrupt("its first line has no line end"));
        };
        let (Some(kind), Some(chunks), None) = (words.next(), words.next(), words.next()) else {
            return Err(EntryError::Corrupt(
                "its first line does not consist of three words",
            ));
        };
        let chunks = number(chunks).ok_or(EntryError::Corrupt(
            "it does not contain the number of chunks before it",
        ))?;
        let rest = bytes.slice(end + 1..);
        let entry = match kind {
            "turn" => Entry::Turn(read(&rest)?),
            "claim" => Entry::Claim(read(&rest)?),
            "starting" => Entry::Starting(read(&rest)?),
            "started" => Entry::Started(read(&rest)?),
            "data" => Entry::Data(Chunks::read(rest)?),
            "beat" => nothing(&rest, Entry::Beat)?,
            "overflow" => nothing(&rest, Entry::Overflow)?,
            "end" => Entry::End(read(&rest)?),
            "release" => nothing(&rest, Entry::Release)?,
            "stop" => Entry::Stop(read(&rest)?),
            "cost" => Entry::Cost(read(&rest)?),
            "counted" => Entry::Counted(read(&rest)?),
            "noted" => Entry::Noted(read(&rest)?),
            "listed" => Entry::Listed(read(&rest)?),
            other => return Err(EntryError::UnknownKind(shown(other))),
        };
        Ok(Self::new(chunks, entry))
    }
}

const MAGIC: &str = "21st/";

/// The version that this code writes.
const VERSION: u64 = 1;

fn json<T: Serialize>(value: &T) -> String {
    // The entries contain only texts, ids and numbers, which always encode as JSON.
    serde_json::to_string(value).unwrap_or_default()
}

fn read<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, EntryError> {
    serde_json::from_slice(json).map_err(|_| EntryError::Corrupt("its content cannot be read"))
}

/// Parses digits only, so that a decoded entry encodes to the same bytes.
fn number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn nothing(rest: &[u8], entry: Entry) -> Result<Entry, EntryError> {
    match rest {
        [] => Ok(entry),
        _ => Err(EntryError::Corrupt("something follows its first line")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Claim, Cost, Counted, Ended, Stop, Turn};
    use super::*;
    use crate::run_log::Spent;
    use crate::run_log::register::{Listed, Noted, Obligation, Placed};
    use crate::runs::{RunRef, StartRun};
    use crate::threads::Usage;
    use crate::ui::RawJson;
    use crate::{SandboxId, ThreadId};

    fn run() -> RunRef {
        let ids = (SandboxId::new("sb_1"), ThreadId::new("th_1"));
        RunRef::new("my-agent", ids.0.unwrap(), ids.1.unwrap()).user_message_id("turn-1")
    }

    fn usage() -> Usage {
        let mut usage = Usage::default();
        (usage.total_tokens, usage.total_cost_usd) = (Some(12), Some(0.25));
        usage
    }

    fn noted() -> Noted {
        let mut noted = Noted::default();
        noted.opened.push(Obligation::new("run-1", "user", "chat"));
        noted.placed.push(Placed::new("run-2", run()));
        noted.closed.push("run-3".to_owned());
        noted
    }

    fn entries() -> Vec<Entry> {
        let lines = "{\"type\":\"start\"}\n{\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"Gr\u{fc}ezi\"}\n";
        vec![
            Entry::Turn(Turn::new("run-1")),
            Entry::Claim(Claim::new("instance-1", "user", "chat")),
            Entry::Started(run()),
            Entry::Data(Chunks::new(lines)),
            Entry::Beat,
            Entry::Overflow,
            Entry::End(Ended::new("completed")),
            Entry::Release,
            Entry::Stop(Stop::new("instance-1")),
            Entry::Starting(run()),
            Entry::Turn(
                Turn::new("run-2")
                    .waiting(["run-1".to_owned()])
                    .ask(RawJson::from_value(&StartRun::new("my-agent", "And now?")).ok()),
            ),
            Entry::End(Ended::new("completed").at(Some(run()))),
            Entry::Cost(Cost {
                spent: spent(),
                at: 1_772_064_000,
                behind: [("spent/owner/user/2026-02".to_owned(), 3)].into(),
            }),
            Entry::Counted(Counted {
                run: "run-1".to_owned(),
                total: spent(),
            }),
            Entry::End(Ended::new("completed").result(usage(), Some("success".to_owned()))),
            Entry::Noted(noted()),
            Entry::Listed(Listed::new("register-1")),
        ]
    }

    fn spent() -> Spent {
        let usage = Usage {
            total_cost_usd: Some(0.0123),
            total_tokens: Some(154),
            ..Usage::default()
        };
        Spent::by_run(&usage).unwrap()
    }

    #[test]
    fn every_entry_reads_back() {
        for entry in entries() {
            let logged = Logged::new(17, entry);
            assert_eq!(Logged::decode(&logged.encode()), Ok(logged));
        }
    }

    #[test]
    fn an_entry_is_a_line_and_its_content() {
        let shown: Vec<String> = entries()
            .into_iter()
            .map(|entry| String::from_utf8_lossy(&Logged::new(17, entry).encode()).into_owned())
            .collect();
        insta::assert_snapshot!(shown.join("\n--\n"), @r#"
        21st/1 turn 17
        {"run":"run-1"}
        --
        21st/1 claim 17
        {"by":"instance-1","owner":"user","chat":"chat"}
        --
        21st/1 started 17
        {"agent":"my-agent","sandboxId":"sb_1","threadId":"th_1","userMessageId":"turn-1"}
        --
        21st/1 data 17
        {"type":"start"}
        {"type":"text-delta","id":"t","delta":"Grüezi"}

        --
        21st/1 beat 17

        --
        21st/1 overflow 17

        --
        21st/1 end 17
        {"end":"completed"}
        --
        21st/1 release 17

        --
        21st/1 stop 17
        {"by":"instance-1"}
        --
        21st/1 starting 17
        {"agent":"my-agent","sandboxId":"sb_1","threadId":"th_1","userMessageId":"turn-1"}
        --
        21st/1 turn 17
        {"run":"run-2","waits":true,"interrupts":["run-1"],"ask":{"agent":"my-agent","messages":[{"role":"user","parts":[{"type":"text","text":"And now?"}]}],"name":"afterTurn","lookFirst":false,"deleteSandboxOnFailure":false}}
        --
        21st/1 end 17
        {"end":"completed","run":{"agent":"my-agent","sandboxId":"sb_1","threadId":"th_1","userMessageId":"turn-1"}}
        --
        21st/1 cost 17
        {"spent":{"runs":1,"nanoUsd":12300000,"inputTokens":0,"outputTokens":0,"totalTokens":154,"durationMs":0},"at":1772064000,"behind":{"spent/owner/user/2026-02":3}}
        --
        21st/1 counted 17
        {"run":"run-1","total":{"runs":1,"nanoUsd":12300000,"inputTokens":0,"outputTokens":0,"totalTokens":154,"durationMs":0}}
        --
        21st/1 end 17
        {"end":"completed","usage":{"inputTokens":null,"outputTokens":null,"totalTokens":12,"totalCostUsd":0.25,"durationMs":null},"resultSubtype":"success"}
        --
        21st/1 noted 17
        {"opened":[{"run":"run-1","owner":"user","chat":"chat"}],"placed":[{"run":"run-2","place":{"agent":"my-agent","sandboxId":"sb_1","threadId":"th_1","userMessageId":"turn-1"}}],"closed":["run-3"]}
        --
        21st/1 listed 17
        {"register":"register-1"}
        "#);
    }

    #[test]
    fn chunks_are_counted_and_borrowed() {
        let logged = Logged::new(17, entries().swap_remove(3));
        assert_eq!(logged.chunks_after(), 19);
        let Entry::Data(chunks) = logged.entry else {
            panic!("data");
        };
        assert!(!chunks.is_empty());
        let lines: Vec<Bytes> = chunks.iter().collect();
        assert_eq!(lines[0], r#"{"type":"start"}"#);
        assert_eq!(lines.len(), chunks.len());
    }

    fn error(bytes: &[u8]) -> EntryError {
        Logged::decode(&Bytes::copy_from_slice(bytes)).unwrap_err()
    }

    #[test]
    fn invalid_entries_are_rejected_with_a_reason() {
        for foreign in [
            &b""[..],
            b"hello",
            b"{\"a\":1}",
            b"21st/",
            b"21st/x data 0\n",
            b"\xff\xfe",
            b"21st",
        ] {
            assert_eq!(error(foreign), EntryError::Foreign, "{foreign:?}");
        }
        assert_eq!(error(b"21st/2 whatever it says"), EntryError::Newer(2));
        let kind = EntryError::UnknownKind("pause".to_owned());
        assert_eq!(error(b"21st/1 pause 0\n"), kind);
        for corrupt in [
            &b"21st/1 beat 0"[..],
            b"21st/1 beat\n",
            b"21st/1 beat 0 0\n",
            b"21st/1 beat x\n",
            b"21st/1 beat -1\n",
            b"21st/1 beat 0\nmore",
            b"21st/1 data 0\n",
            b"21st/1 data 0\n{}",
            b"21st/1 data 0\n\n",
            b"21st/1 data 0\n{}\n\n",
            b"21st/1 data 0\n{\n}\n",
            b"21st/1 data 0\n{\"a\":\"\xff\"}\n",
            b"21st/1 end 0\n{}",
            b"21st/1 started 0\n{\"agent\":\"a\"}",
            b"21st/1 claim 0\nnull",
        ] {
            let error = error(corrupt);
            assert!(
                matches!(error, EntryError::Corrupt(_)),
                "{:?}: {error}",
                String::from_utf8_lossy(corrupt)
            );
        }
    }

    proptest! {
        #[test]
        fn every_decoded_entry_encodes_to_the_same_bytes(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                "21st/1 (data|beat|end|claim|stop|cost|counted) [0-9]{1,3}\n[\\{\\}a\"\n]{0,20}".prop_map(String::into_bytes),
            ],
        ) {
            let bytes = Bytes::from(bytes);
            if let Ok(logged) = Logged::decode(&bytes) {
                prop_assert_eq!(Logged::decode(&logged.encode()), Ok(logged));
            }
        }

        #[test]
        fn a_cut_entry_is_rejected_or_shorter(index in 0_usize..17, cut in 0_usize..200) {
            let logged = Logged::new(17, entries().swap_remove(index));
            let bytes = logged.encode();
            if cut < bytes.len() {
                let read = Logged::decode(&bytes.slice(..cut));
                // A cut between two chunks is valid; the next entry's number reveals it.
                let is_data = matches!(&read, Ok(logged) if matches!(logged.entry, Entry::Data(_)));
                prop_assert!(read.is_err() || is_data);
            }
        }
    }
}
