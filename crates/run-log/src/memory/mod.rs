//! Logs in the memory of the process.

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

/// Logs in the memory of the process: for one instance, and for tests. Clones share the logs.
///
/// It needs no runtime, only a timer for reads that wait:
///
/// ```
/// use twentyfirst_run_log::MemoryLog;
///
/// let log = MemoryLog::new(tokio::time::sleep);
/// ```
///
/// # Limits
/// All logs together take at most 256 MiB, or as [`with_limit`](Self::with_limit) says: entries are copied, old ones compressed, and what
/// they and the logs take beside their bytes counts. Where that is not enough, logs that have expired make room, then logs that are over
/// ([`Keep::is_over`]), first the one that expires first. A log that is still written is never dropped: an append that finds no
/// room is refused with [`AppendError::Full`].
///
/// # Time
/// A log expires on the dot for whoever reads or appends. Its memory is freed by a later append to any log, at most once a second.
#[derive(Clone)]
pub struct MemoryLog {
    state: Arc<Mutex<State>>,
    sleep: Arc<dyn Fn(Duration) -> Timer + Send + Sync>,
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
}

type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

impl MemoryLog {
    /// The bytes that all logs together take at most, unless told otherwise: 256 MiB.
    pub const DEFAULT_LIMIT: usize = 256 << 20;

    /// Creates an empty store. `sleep` gives a future that is ready when so much time has passed, on whatever runtime reads.
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

    /// Sets how many bytes all logs together take at most.
    #[must_use]
    pub fn with_limit(self, bytes: usize) -> Self {
        self.lock().limit = bytes;
        self
    }

    /// Replaces the clock by which logs expire, [`Instant::now`] by default: for tests whose `sleep` goes by another one.
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }

    /// Returns how many bytes the logs take at present, those included that have expired and are not dropped yet.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.lock().taken()
    }

    /// Does something with the logs, then wakes whoever waited for it: outside of the lock, as a waker may run whatever it likes.
    fn with<T>(&self, does: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = (self.now)();
        let (done, woken) = {
            let mut state = self.lock();
            let done = does(&mut state, now);
            (done, state.take_woken())
        };
        woken.into_iter().for_each(Waker::wake);
        done
    }

    /// The state is whole between any two statements, so that a panic elsewhere does not spoil it.
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
            if is_over {
                return Ok(Page::default());
            }
            let timer = timer.get_or_insert_with(|| (self.sleep)(wait));
            // A log that expires wakes nobody: nothing runs at that time.
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
