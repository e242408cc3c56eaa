use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use twentyfirst_protocol::run_log::{
    self as log, Append, Appended, Found, LogId, Logged, Position, Turn,
};
use twentyfirst_run_log::{AnyRunLog, AppendError, MemoryLog, ReadError, RunLog as _};
use twentyfirst_transport::Runtime;

use super::handle::Handle;
use super::local::{Local, ReadFrom};
use crate::backend::stored;
pub(super) use crate::backend::stored::Cause;
use crate::backend::within::within;

/// The time limit of a request to the store, in addition to the time that a read may wait.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The number of entries that are read at once if their size is unknown.
pub(super) const PAGE: usize = 64;

/// The most entries that are read at once, however small they are.
const LARGEST_PAGE: usize = 1000;

/// The approximate number of bytes that are read at once if entries are small.
const PAGE_SIZE: usize = 256 * 1024;

/// The logs: those in the memory of this process, and those in a store that all instances share.
///
/// ```text
///   append ─► the store, which counts ─► deliver ─► a copy in memory ─► readers here
///                                           └─ no room, and no store: the tail (`Local`)
///   readers elsewhere ─► the store
/// ```
///
/// A run that is recorded here is also read here from the copy in memory. An entry is copied only after it is in the store, so that
/// no reader has seen more than an instance that takes over would know. If the store fails, the copy goes on.
#[derive(Clone)]
pub(super) struct Logs(Arc<Stores>);

#[derive(Clone)]
struct Stores {
    memory: MemoryLog,
    /// The authoritative store: the memory of this process, or the one that all instances share.
    store: AnyRunLog,
    is_shared: bool,
    runtime: Arc<dyn Runtime>,
    /// The runs that are recorded here, by their logs.
    here: Arc<Mutex<HashMap<LogId, Handle>>>,
    /// The chats whose last turn could not be entered in the store, with the runs of these turns.
    late: Arc<Mutex<HashMap<LogId, String>>>,
    /// The runs that a task checks for whether they are still recorded.
    watched: Arc<Mutex<HashSet<String>>>,
}

pub(super) type Pages = Vec<(Position, Bytes)>;

impl Logs {
    pub(super) fn new(runtime: &Arc<dyn Runtime>) -> Self {
        let clock = Arc::clone(runtime);
        let memory = MemoryLog::new(move |duration| clock.sleep(duration));
        Self(Arc::new(Stores {
            store: AnyRunLog::new(memory.clone()),
            is_shared: false,
            memory,
            runtime: Arc::clone(runtime),
            here: Arc::default(),
            late: Arc::default(),
            watched: Arc::default(),
        }))
    }

    /// Stores the logs in this store as well.
    pub(super) fn share(&mut self, store: AnyRunLog) {
        // Clones from before keep their store. What is recorded here, and by whom, stays common to all.
        let stores = Arc::make_mut(&mut self.0);
        stores.store = store;
        stores.is_shared = true;
    }

    /// Sets the most bytes that the logs take in this process.
    pub(super) fn limit_memory(&mut self, bytes: usize) {
        let memory = self.0.memory.clone().with_limit(bytes);
        Arc::make_mut(&mut self.0).memory = memory;
    }

    /// Whether other instances can read the logs.
    pub(super) fn is_shared(&self) -> bool {
        self.0.is_shared
    }

    pub(super) fn here(&self) -> MutexGuard<'_, HashMap<LogId, Handle>> {
        self.0.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this run is recorded here.
    pub(super) fn is_here(&self, run: &str) -> bool {
        self.here().contains_key(&LogId::run(run))
    }

    /// Records that a run is recorded here. Returns `false` if it was already.
    pub(super) fn enter(&self, run: &str, handle: &Handle) -> bool {
        match self.here().entry(LogId::run(run)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(handle.clone());
                true
            }
        }
    }

    /// Records that a run is no longer recorded here, unless another keeper has begun to.
    pub(super) fn leave(&self, run: &str, handle: &Handle) {
        let (log, mut here) = (LogId::run(run), self.here());
        if here.get(&log).is_some_and(|other| other.is(handle)) {
            here.remove(&log);
        }
    }

    /// Records that this run is the last turn of a chat, although the store does not know it.
    pub(super) fn enter_late(&self, chat: LogId, run: &str) {
        self.late().insert(chat, run.to_owned());
    }

    /// Whether this run is still such a last turn.
    pub(super) fn is_late(&self, chat: &LogId, run: &str) -> bool {
        self.late().get(chat).is_some_and(|late| late == run)
    }

    pub(super) fn leave_late(&self, chat: &LogId, run: &str) {
        let mut late = self.late();
        if late.get(chat).is_some_and(|late| late == run) {
            late.remove(chat);
        }
    }

    fn late(&self) -> MutexGuard<'_, HashMap<LogId, String>> {
        self.0.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a task checks whether a run is still recorded. Returns `false` if one does already.
    pub(super) fn enter_watch(&self, run: &str) -> bool {
        let mut watched = self
            .0
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        watched.insert(run.to_owned())
    }

    pub(super) fn leave_watch(&self, run: &str) {
        let mut watched = self
            .0
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        watched.remove(run);
    }

    pub(super) async fn append(self, log: LogId, append: Append) -> (Appended, Option<Cause>) {
        let appending = self
            .0
            .store
            .append(&log, append.at, append.entry, append.keep);
        // A store that hangs must not hold up the run. Repeating an append is safe: the same entry at the same position
        // succeeds.
        let result = self.within(TIMEOUT, appending).await;
        let result = result.unwrap_or_else(|| Err(AppendError::Unavailable(TimedOut.into())));
        let (appended, cause) = stored::appended(result);
        if appended == Appended::Yes {
            // The chat has a newer turn in the store now.
            self.late().remove(&log);
        }
        (appended, cause)
    }

    /// Whether appended entries must be delivered to the readers of this instance. Otherwise they read the store itself.
    pub(super) fn delivers(&self, local: &Local, is_alone: bool) -> bool {
        is_alone || (self.is_shared() && local.is_in_memory())
    }

    /// Delivers an entry to the readers of this instance. It was appended to the store, or exists nowhere else if the store was
    /// given up.
    pub(super) async fn deliver(&self, local: &Local, log: &LogId, append: Append, is_alone: bool) {
        // A copy with a hole is useless, so after the first entry without room no further ones are copied.
        let is_copied = self.is_shared() && local.is_in_memory();
        if is_copied {
            let memory = &self.0.memory;
            let entry = append.entry.clone();
            if memory
                .append(log, append.at, entry, append.keep)
                .await
                .is_ok()
            {
                return;
            }
            local.leave_memory();
        }
        if is_alone {
            local.hold(append.at, append.entry);
        }
    }

    /// Returns the last entry of a log: that of the store, or that of this process if it is later, because the store failed.
    pub(super) async fn last(&self, log: &LogId) -> (Found<(Position, Bytes)>, Option<Cause>) {
        let (found, cause) = self.stored_last(log).await;
        if let Some(run) = self.late().get(log) {
            // The next turn is entered after this position, if it is known.
            let at = match &found {
                Found::Some((at, _)) => *at,
                Found::Nothing | Found::Unavailable => Position::START,
            };
            let turn = log::Entry::Turn(Turn::new(run));
            return (Found::Some((at, Logged::new(0, turn).encode())), cause);
        }
        // Entries in the tail are newer than those in any store.
        let held = self.here().get(log).and_then(|handle| handle.local.last());
        if let Some(last) = held {
            return (Found::Some(last), cause);
        }
        match (self.0.memory.last(log).await, &found) {
            (Ok(Some((at, _))), Found::Some((stored, _))) if at <= *stored => (found, cause),
            (Ok(Some(last)), _) => (Found::Some(last), cause),
            _ => (found, cause),
        }
    }

    /// Returns the last entry of a log in the store.
    pub(super) async fn stored_last(
        &self,
        log: &LogId,
    ) -> (Found<(Position, Bytes)>, Option<Cause>) {
        let result = self.within(TIMEOUT, self.0.store.last(log)).await;
        stored::last(result.unwrap_or_else(|| Err(ReadError::Unavailable(TimedOut.into()))))
    }

    /// Reads a page from the store.
    pub(super) async fn page(&self, log: &LogId, after: Position) -> (Found<Pages>, Option<Cause>) {
        self.stored(log, after, PAGE, Duration::ZERO).await
    }

    /// Reads a page of a run's log from where this instance reads it, without waiting.
    pub(super) async fn page_here(&self, log: &LogId, after: Position) -> Found<Pages> {
        let logs = self.clone();
        logs.read(log.clone(), after, PAGE, Duration::ZERO).await
    }

    async fn stored(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> (Found<Pages>, Option<Cause>) {
        // A read may wait on purpose, so only the time beyond that counts as a failure.
        let reading = self.0.store.read(log, after, limit, wait);
        let result = self.within(TIMEOUT + wait, reading).await;
        stored::page(result.unwrap_or_else(|| Err(ReadError::Unavailable(TimedOut.into()))))
    }

    /// Reads the entries after this position of a run's log, at most `limit`, from where this instance reads it. Returns
    /// [`Found::Nothing`] if the log has vanished.
    pub(super) async fn read(
        self,
        log: LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Found<Pages> {
        let handle = self.here().get(&log).cloned();
        let Some(local) = handle.map(|handle| handle.local) else {
            return Box::pin(self.stored(&log, after, limit, wait)).await.0;
        };
        let place = local.read_from(after);
        // The run may move to another place while this read waits in the old one, so both are awaited.
        let waits_in_memory = matches!(place, ReadFrom::Memory);
        let mut held = pin!(local.held(after, limit, waits_in_memory));
        if let ReadFrom::Tail = place {
            // If nothing comes in time, the page is empty, as one of a store would be.
            let entries = self.within(wait, held).await;
            return Found::Some(entries.unwrap_or_default());
        }
        let mut reading = pin!(async {
            let wait = match place {
                // These entries are there or lost, but will not come.
                ReadFrom::BeforeTail => Duration::ZERO,
                _ => wait,
            };
            if !matches!(place, ReadFrom::Store) {
                match self.0.memory.read(&log, after, limit, wait).await {
                    Ok(page) => return Found::Some(page.entries),
                    // Without a shared store the memory is all there is.
                    Err(_) if !self.is_shared() => return Found::Nothing,
                    Err(_) => {}
                }
            }
            // Boxed, because it is rarely needed: a run recorded here is mostly read from memory, and each browser holds a
            // waiting read.
            Box::pin(self.stored(&log, after, limit, wait)).await.0
        });
        let found = poll_fn(|cx| match held.as_mut().poll(cx) {
            Poll::Ready(entries) => Poll::Ready(Found::Some(entries)),
            Poll::Pending => reading.as_mut().poll(cx),
        });
        match (place, found.await) {
            // The following entries are in the tail, but these are gone.
            (ReadFrom::BeforeTail, Found::Some(entries)) if entries.is_empty() => Found::Nothing,
            (_, found) => found,
        }
    }

    async fn within<F: Future>(&self, limit: Duration, work: F) -> Option<F::Output> {
        within(&self.0.runtime, limit, work).await
    }
}

/// Returns the number of entries to read after these. It is larger if they are small, for example if each delta came alone,
/// because the number of pages determines the time of a replay.
pub(super) fn page_after(entries: &[(Position, Bytes)]) -> usize {
    let bytes: usize = entries.iter().map(|(_, entry)| entry.len()).sum();
    // As many of this average size as fit. The average of an empty page is unknown, so that gives the smallest page.
    let fit = PAGE_SIZE.saturating_mul(entries.len()) / bytes.max(1);
    fit.clamp(PAGE, LARGEST_PAGE)
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs")
            .field("is_shared", &self.0.is_shared)
            .finish_non_exhaustive()
    }
}

/// The error for a store that did not respond in time.
#[derive(Debug)]
struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the store of the run log did not respond within {TIMEOUT:?}"
        )
    }
}

impl std::error::Error for TimedOut {}

#[cfg(test)]
mod tests {
    use twentyfirst_transport::TokioRuntime;

    use super::*;

    #[test]
    fn of_many_that_take_over_one_records() {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let logs = Logs::new(&runtime);
        let (one, other) = (Handle::default(), Handle::default());
        assert!(logs.enter("run-1", &one));
        assert!(!logs.enter("run-1", &other));
        logs.leave("run-1", &other);
        assert!(logs.is_here("run-1"));
        logs.leave("run-1", &one);
        assert!(logs.here().is_empty());
    }

    fn page_of(count: usize, size: usize) -> usize {
        let entry = (Position::START, Bytes::from(vec![b'x'; size]));
        page_after(&vec![entry; count])
    }

    #[test]
    fn a_page_has_more_entries_where_they_are_small_and_never_many_large_ones() {
        assert_eq!(page_of(64, 80), LARGEST_PAGE);
        assert_eq!(page_of(64, 1024), 256);
        assert_eq!(page_of(256, 16 * 1024), PAGE);
        assert_eq!(page_of(0, 0), PAGE);
    }
}
