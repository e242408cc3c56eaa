//! Logs in the memory of the process.
//!
//! ```text
//!   append ─► lock ─► sweep, at most once a second ─► fenced? ─► make room ─► push ─┐
//!                                                                                   │ wakers, called after the lock
//!   read ─► lock ─► find ─► entries ────────────────────────────────► page          ▼
//!                     └───► nothing yet ─► Waiting: registers a waker under the lock, and looks again when woken
//! ```
//!
//! A log leaves the map in three ways: a call finds it expired, a sweep finds it expired, or it is over and an append needs its memory.
//! A log that is still written is never dropped for its memory.

mod entries;
mod state;
mod wait;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use twentyfirst_protocol::run_log::{Keep, LogId, Position};

use self::state::{Found, State};
use self::wait::Waiting;
use crate::{AppendError, Page, ReadError, RunLog};

/// A store in the memory of the process, for one instance and for tests. Clones share the logs.
///
/// It needs no runtime, only a timer for waiting reads:
///
/// ```
/// use twentyfirst_run_log::MemoryLog;
///
/// let log = MemoryLog::new(tokio::time::sleep);
/// ```
///
/// # Limits
/// All logs together take at most 256 MiB by default ([`with_limit`](Self::with_limit)). The limit counts bookkeeping as well as bytes.
/// Entries are copied, and old ones are compressed.
///
/// At the limit, the store first drops logs that have expired, then logs that are over ([`Keep::is_over`]) in the order of their
/// expiry. It drops no log that is still written: if there is no room without it, an append fails with [`AppendError::Full`].
///
/// # Time
/// Calls see a log expire on time. A later append to any log frees its memory, at most once a second.
#[derive(Clone)]
pub struct MemoryLog {
    state: Arc<Mutex<State>>,
    sleep: Arc<dyn Fn(Duration) -> Timer + Send + Sync>,
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
}

type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

impl MemoryLog {
    /// The default memory limit of all logs together: 256 MiB.
    pub const DEFAULT_LIMIT: usize = 256 << 20;

    /// Creates an empty store. `sleep` returns a future that is ready after the given time, on the runtime that reads.
    pub fn new<S, F>(sleep: S) -> Self
    where
        S: Fn(Duration) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            state: Arc::new(Mutex::new(State::new(Self::DEFAULT_LIMIT))),
            sleep: Arc::new(move |duration| Box::pin(sleep(duration))),
            now: Arc::new(Instant::now),
        }
    }

    /// Sets the memory limit of all logs together, in bytes: [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) by default.
    #[must_use]
    pub fn with_limit(self, bytes: usize) -> Self {
        self.lock().limit = bytes;
        self
    }

    /// Replaces the clock by which logs expire: [`Instant::now`] by default. Tests with a simulated `sleep` pass the same clock here.
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }

    /// Returns the bytes that all logs take now. Expired logs count until they are dropped.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.lock().taken()
    }

    /// Calls `action` with the logs, then wakes the readers that it affects.
    ///
    /// Wakers are called without the lock: a waker may run any code, such as a read of the same store.
    fn with<T>(&self, action: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = (self.now)();
        let (done, woken) = {
            let mut state = self.lock();
            let done = action(&mut state, now);
            (done, state.take_woken())
        };
        woken.into_iter().for_each(Waker::wake);
        done
    }

    /// Locks the logs. Ignores poisoning: the state is consistent after every statement, so a panic leaves it usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("MemoryLog")
            .field("taken", &state.taken())
            .field("limit", &state.limit)
            .finish_non_exhaustive()
    }
}

impl RunLog for MemoryLog {
    async fn append(
        &self,
        log: &LogId,
        at: Position,
        entry: Bytes,
        keep: Keep,
    ) -> Result<(), AppendError> {
        self.with(|state, now| state.append(log, at, &entry, keep, now))
    }

    async fn read(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Page, ReadError> {
        let mut timer = None;
        let mut is_over = wait.is_zero();
        loop {
            let left = match self.with(|state, now| state.find(log, after, limit, now)) {
                None => return Err(ReadError::Missing),
                Some(Found::Entries(entries)) => return Ok(Page::new(entries)),
                Some(Found::NothingYet { left }) => left,
            };
            // After the last look: an entry that came with the end of the wait is still returned.
            if is_over {
                return Ok(Page::default());
            }
            // One timer for the whole read: the wait must not begin anew each time the read is woken.
            let timer = timer.get_or_insert_with(|| (self.sleep)(wait));
            // Nothing runs when a log expires, so nothing would wake this read: it needs a timer of its own.
            let expiry = (left < wait).then(|| (self.sleep)(left));
            is_over = Waiting::new(&self.state, log, after)
                .until_over(timer, expiry)
                .await;
        }
    }

    async fn last(&self, log: &LogId) -> Result<Option<(Position, Bytes)>, ReadError> {
        Ok(self.with(|state, now| state.last(log, now)))
    }
}
