//! The store that all instances share: its logs, and its failures.

use std::collections::BTreeMap;

use bytes::Bytes;
use twentyfirst_protocol::run_log::{Append, Appended, Found, LogId, Position};

use crate::plant::Plant;

pub(crate) type Entries = Vec<(Position, Bytes)>;

/// The logs, and the instance that appended each entry.
#[derive(Debug, Default)]
pub(crate) struct Store {
    logs: BTreeMap<LogId, Log>,
}

#[derive(Debug, Default)]
struct Log {
    entries: Entries,
    /// The instance that appended each entry.
    by: Vec<usize>,
    is_gone: bool,
}

impl Store {
    pub(crate) fn append(
        &mut self,
        plant: Option<Plant>,
        by: usize,
        log: &LogId,
        append: &Append,
    ) -> Appended {
        if !self.logs.contains_key(log) && !append.keep.create {
            return Appended::Missing;
        }
        let log = self.logs.entry(log.clone()).or_default();
        if log.is_gone {
            return Appended::Missing;
        }
        let mut at = append.at;
        let top = log.entries.last().map_or(Position::START, |last| last.0);
        if at <= top {
            let same = log
                .entries
                .iter()
                .any(|(position, entry)| *position == at && *entry == append.entry);
            if same {
                return Appended::Yes;
            }
            if plant != Some(Plant::NoFence) {
                return Appended::Fenced;
            }
            at = top.next();
        }
        log.entries.push((at, append.entry.clone()));
        log.by.push(by);
        Appended::Yes
    }

    pub(crate) fn read(&self, log: &LogId, after: Position, limit: usize) -> Found<Entries> {
        match self.log(log) {
            None => Found::Nothing,
            Some(log) => {
                let above = log.entries.iter().filter(|entry| entry.0 > after);
                Found::Some(above.take(limit).cloned().collect())
            }
        }
    }

    pub(crate) fn last(&self, log: &LogId) -> Found<(Position, Bytes)> {
        match self.log(log).and_then(|log| log.entries.last()) {
            None => Found::Nothing,
            Some(entry) => Found::Some(entry.clone()),
        }
    }

    /// Deletes a log.
    pub(crate) fn evict(&mut self, log: &LogId) {
        if let Some(log) = self.logs.get_mut(log) {
            log.is_gone = true;
        }
    }

    /// Returns all logs that ever existed.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &LogId> {
        self.logs.keys()
    }

    /// Returns everything that was ever appended to a log, with the instance that did it.
    pub(crate) fn history(&self, log: &LogId) -> Vec<(usize, Position, Bytes)> {
        let log = self.logs.get(log);
        log.map_or_else(Vec::new, |log| {
            let by = log.by.iter();
            let entries = by.zip(&log.entries);
            entries
                .map(|(by, (at, entry))| (*by, *at, entry.clone()))
                .collect()
        })
    }

    pub(crate) fn is_gone(&self, log: &LogId) -> bool {
        self.logs.get(log).is_some_and(|log| log.is_gone)
    }

    fn log(&self, log: &LogId) -> Option<&Log> {
        self.logs.get(log).filter(|log| !log.is_gone)
    }
}
