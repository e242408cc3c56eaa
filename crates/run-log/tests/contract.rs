//! Checks the contract with the store in memory, and with stores that break it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use twentyfirst_run_log::contract::{self, CHECKS};
use twentyfirst_run_log::{
    AnyRunLog, AppendError, Keep, LogId, MemoryLog, Page, Position, ReadError, RunLog,
};

fn memory() -> MemoryLog {
    MemoryLog::new(tokio::time::sleep)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_in_memory_keeps_the_contract() {
    contract::check(&memory()).await.unwrap();
}

#[tokio::test]
async fn an_erased_store_keeps_the_contract() {
    contract::check(&AnyRunLog::new(memory())).await.unwrap();
}

#[tokio::test]
async fn an_unknown_check_fails() {
    let violation = contract::check_one(&memory(), "no_such").await.unwrap_err();
    let expected = "the store fails `check_one`: there is no check \"no_such\"";
    assert_eq!(violation.to_string(), expected);
}

/// A fault of a store.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Acknowledges appends below the top.
    IsNotFenced,
    /// Refuses an append whose acknowledgement was lost.
    RefusesRepeats,
    /// Takes any append at an occupied position for a repeated one.
    AcceptsOtherEntries,
    /// Creates a log on every append.
    AlwaysCreates,
    /// Creates no log.
    NeverCreates,
    /// Returns the entry at `after` as well.
    ReadsInclusively,
    /// Reads one entry too many.
    IgnoresTheLimit,
    /// Leaves an entry out of every tenth page.
    Skips,
    /// Returns the entries in reverse order.
    Reverses,
    /// Waits for a log that does not exist.
    WaitsForMissing,
    /// Returns at once in spite of a wait.
    NeverWaits,
    /// Notices an append only at the end of the wait.
    IsNotWoken,
    /// Returns the first entry instead of the last.
    LastIsFirst,
    /// Truncates entries.
    Cuts,
    /// Treats names as equal that differ in case or escapes.
    MixesNames,
    /// Keeps logs for ever.
    NeverExpires,
    /// Counts the time to live from the first append.
    ExpiresFromCreation,
    /// Checks that a position is free, and appends later.
    ChecksThenActs,
    /// Refuses the highest position.
    ShortPositions,
}

/// The faults, each with a check that has to catch it. Every check is there.
const FAULTS: [(Fault, &str); 21] = [
    (
        Fault::Reverses,
        "entries_are_read_in_the_order_of_their_positions",
    ),
    (Fault::IsNotFenced, "equal_or_smaller_positions_are_refused"),
    (
        Fault::RefusesRepeats,
        "a_repeated_append_succeeds_and_changes_nothing",
    ),
    (
        Fault::RefusesRepeats,
        "concurrent_appends_of_one_entry_store_it_once",
    ),
    (
        Fault::AcceptsOtherEntries,
        "equal_or_smaller_positions_are_refused",
    ),
    (Fault::AlwaysCreates, "a_log_is_created_only_on_request"),
    (Fault::NeverCreates, "a_log_is_created_only_on_request"),
    (Fault::ReadsInclusively, "a_dropped_read_loses_nothing"),
    (
        Fault::IgnoresTheLimit,
        "pages_begin_behind_a_position_and_end_at_the_limit",
    ),
    (Fault::Skips, "all_readers_see_the_same"),
    (Fault::WaitsForMissing, "a_missing_log_is_reported_at_once"),
    (Fault::NeverWaits, "a_wait_ends_with_an_empty_page"),
    (Fault::IsNotWoken, "a_waiting_read_is_woken_by_an_append"),
    (Fault::LastIsFirst, "the_last_entry_is_read_alone"),
    (Fault::Cuts, "entries_are_any_bytes_up_to_a_mebibyte"),
    (Fault::MixesNames, "logs_of_odd_names_are_kept_apart"),
    (Fault::NeverExpires, "a_log_expires_and_is_never_recreated"),
    (
        Fault::ExpiresFromCreation,
        "each_append_renews_the_time_to_live",
    ),
    (Fault::ChecksThenActs, "one_of_many_claims_wins"),
    (Fault::ChecksThenActs, "writers_that_pause_never_mix"),
    (
        Fault::ShortPositions,
        "positions_reach_from_the_first_to_the_last",
    ),
];

/// A wrapper that adds a fault to the store in memory.
struct Faulty {
    fault: Fault,
    inner: MemoryLog,
    reads: AtomicUsize,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            inner: memory(),
            reads: AtomicUsize::new(0),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn id(&self, log: &LogId) -> LogId {
        match self.is(Fault::MixesNames) {
            true => LogId::run(&log.as_str().replace("%2F", "/").replace("/stop", "")),
            false => log.clone(),
        }
    }
}

const FOREVER: Duration = Duration::from_secs(3600);

impl RunLog for Faulty {
    async fn append(
        &self,
        log: &LogId,
        at: Position,
        mut entry: Bytes,
        mut keep: Keep,
    ) -> Result<(), AppendError> {
        let log = &self.id(log);
        match self.fault {
            Fault::AlwaysCreates => keep.create = true,
            Fault::NeverCreates if at.epoch > 1 => keep.create = false,
            Fault::NeverExpires => keep.ttl = FOREVER,
            Fault::Cuts => entry.truncate(1 << 16),
            Fault::ShortPositions if at.seq == u64::MAX => return Err(AppendError::Fenced),
            _ => {}
        }
        if self.is(Fault::ExpiresFromCreation) && !keep.create {
            // The wrapper does not know the remaining time to live: a tenth is close enough.
            keep.ttl = Duration::from_millis(100);
        }
        if self.is(Fault::ChecksThenActs) {
            let last = self.inner.last(log).await.unwrap();
            if last.is_some_and(|(last, _)| last >= at) {
                return self.inner.append(log, at, entry, keep).await;
            }
            tokio::task::yield_now().await;
            return match self.inner.append(log, at, entry, keep).await {
                Err(AppendError::Fenced) => Ok(()),
                other => other,
            };
        }
        let top = self.inner.last(log).await.unwrap().map(|(top, _)| top);
        let appended = self.inner.append(log, at, entry.clone(), keep).await;
        match self.fault {
            Fault::IsNotFenced if matches!(appended, Err(AppendError::Fenced)) => Ok(()),
            Fault::RefusesRepeats if top.is_some_and(|top| top >= at) => Err(AppendError::Fenced),
            Fault::AcceptsOtherEntries if top == Some(at) => Ok(()),
            _ => appended,
        }
    }

    async fn read(
        &self,
        log: &LogId,
        mut after: Position,
        mut limit: usize,
        mut wait: Duration,
    ) -> Result<Page, ReadError> {
        let log = &self.id(log);
        match self.fault {
            Fault::ReadsInclusively if after.seq > 0 => after.seq -= 1,
            Fault::IgnoresTheLimit => limit = limit.saturating_add(1),
            Fault::NeverWaits => wait = Duration::ZERO,
            Fault::IsNotWoken => {
                let page = self.inner.read(log, after, limit, Duration::ZERO).await?;
                if !page.is_empty() {
                    return Ok(page);
                }
                tokio::time::sleep(wait).await;
                wait = Duration::ZERO;
            }
            _ => {}
        }
        let page = self.inner.read(log, after, limit, wait).await;
        match (self.fault, page) {
            (Fault::WaitsForMissing, Err(ReadError::Missing)) => {
                tokio::time::sleep(wait).await;
                Err(ReadError::Missing)
            }
            (Fault::Skips, Ok(mut page)) => {
                let read = self.reads.fetch_add(1, Ordering::Relaxed);
                if read % 10 == 9 && page.entries.len() > 1 {
                    page.entries.remove(0);
                }
                Ok(page)
            }
            (Fault::Reverses, Ok(mut page)) => {
                page.entries.reverse();
                Ok(page)
            }
            (_, page) => page,
        }
    }

    async fn last(&self, log: &LogId) -> Result<Option<(Position, Bytes)>, ReadError> {
        let log = &self.id(log);
        if self.is(Fault::LastIsFirst) {
            let page = self.inner.read(log, Position::START, 1, Duration::ZERO);
            return Ok(page
                .await
                .ok()
                .and_then(|page| page.entries.into_iter().next()));
        }
        self.inner.last(log).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_breaks_the_contract_is_caught() {
    let runs = FAULTS.map(|(fault, name)| {
        let run = async move { contract::check_one(&Faulty::new(fault), name).await };
        (fault, name, tokio::spawn(run))
    });
    for (fault, name, run) in runs {
        let violation = run
            .await
            .unwrap()
            .expect_err(&format!("{fault:?} is not caught"));
        assert_eq!(violation.check, name, "{fault:?}");
    }
}

#[test]
fn every_check_catches_a_fault() {
    for name in CHECKS {
        assert!(FAULTS.iter().any(|(_, it)| it == name), "{name}");
    }
}
