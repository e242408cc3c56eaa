use std::collections::BTreeMap;
use std::time::SystemTime;

use twentyfirst_protocol::run_log::register::{Book, Obligation, roster_days};
use twentyfirst_protocol::run_log::{Entry, Found, LogId, Logged, Position};
use twentyfirst_protocol::runs::RunRef;

use super::Recorded;
use crate::backend::chat::recorded::logs::Cause;
use crate::error::Error;

/// A run that is not over, or whose end was not reported yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenRun {
    /// The id of the run in the log.
    pub id: String,
    /// The [owner](crate::backend::ChatRun::owner) of the chat.
    pub owner: String,
    /// The id of the chat.
    pub chat: String,
    /// The reference of the run, once it is known.
    pub run: Option<RunRef>,
}

impl From<Obligation> for OpenRun {
    fn from(obligation: Obligation) -> Self {
        Self {
            id: obligation.run,
            owner: obligation.owner,
            chat: obligation.chat,
            run: obligation.place,
        }
    }
}

impl Recorded {
    /// Returns all runs for which some instance is responsible.
    pub(in crate::backend::chat) async fn open_runs(&self) -> Result<Vec<OpenRun>, Error> {
        let mut open: BTreeMap<String, Obligation> = BTreeMap::new();
        if self.is_shared() {
            for register in self.registers().await? {
                // An error ends the list: a queue that took a partial list for complete would start a run twice.
                for obligation in self.read_register(&register).await? {
                    open.insert(obligation.run.clone(), obligation);
                }
            }
        }
        // Obligations of this instance may not be in the store.
        let state = self.supervision.state();
        for (run, held) in &state.held {
            open.insert(run.clone(), held.obligation.clone());
        }
        Ok(open.into_values().map(OpenRun::from).collect())
    }

    /// Returns the registers of all instances.
    async fn registers(&self) -> Result<Vec<String>, Error> {
        let mut registers = Vec::new();
        for day in roster_days(SystemTime::now()) {
            for (_, entry) in self.whole(&LogId::roster(day)).await? {
                let listed = Logged::decode(&entry).map_err(unknown)?.entry;
                if let Entry::Listed(listed) = listed {
                    registers.push(listed.register);
                }
            }
        }
        // A register that is written for longer than a day is in several rosters.
        registers.sort_unstable();
        registers.dedup();
        Ok(registers)
    }

    async fn read_register(&self, id: &str) -> Result<Vec<Obligation>, Error> {
        let log = LogId::register(id);
        let (found, cause) = self.logs.stored_last(&log).await;
        match found {
            Found::Unavailable => return Err(unavailable(cause)),
            // A closed register is deleted long before the roster that lists it.
            Found::Nothing => return Ok(Vec::new()),
            Found::Some((_, last)) => {
                let last = Logged::decode(&last).map_err(unknown)?.entry;
                // A register ends when nothing in it is open, so the rest need not be read.
                if matches!(last, Entry::End(_)) {
                    return Ok(Vec::new());
                }
            }
        }
        let mut book = Book::default();
        for (at, entry) in self.whole(&log).await? {
            book.read(at, &entry).map_err(unknown)?;
        }
        Ok(book.open().cloned().collect())
    }

    /// Reads all entries of a log.
    async fn whole(&self, log: &LogId) -> Result<super::Pages, Error> {
        let (mut entries, mut after) = (super::Pages::new(), Position::START);
        loop {
            match self.logs.page(log, after).await {
                (Found::Unavailable, cause) => return Err(unavailable(cause)),
                (Found::Nothing, _) => return Ok(entries),
                (Found::Some(page), _) => {
                    let Some((last, _)) = page.last() else {
                        return Ok(entries);
                    };
                    after = *last;
                    entries.extend(page);
                }
            }
        }
    }
}

fn unknown(error: impl Into<Cause>) -> Error {
    Error::open_runs_unknown(error.into())
}

fn unavailable(cause: Option<Cause>) -> Error {
    unknown(cause.unwrap_or_else(|| "the store is unavailable".into()))
}
