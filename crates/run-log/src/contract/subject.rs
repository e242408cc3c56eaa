//! Helpers of the checks: the store under test, and concurrency without a runtime.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::{AppendError, Keep, LogId, Page, Position, ReadError, RunLog};

/// The result of a check, with the text of the violation.
pub(super) type Checked = Result<(), String>;

/// The time to live of the logs in most checks.
pub(super) const KEPT: Duration = Duration::from_secs(120);

/// The time within which every call of a working store returns, even on a loaded machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

pub(super) const KEEP: Keep = Keep::existing(KEPT);

/// A store under test, with a name that is unique to this run of a check.
pub(super) struct Subject<'a, L> {
    pub(super) log: &'a L,
    name: String,
}

impl<'a, L: RunLog> Subject<'a, L> {
    pub(super) fn new(log: &'a L, check: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let process = std::process::id();
        Self {
            log,
            name: format!("contract-{check}-{}-{process}-{count}", now.as_nanos()),
        }
    }

    /// Returns the id of a log that no other check uses.
    pub(super) fn id(&self, name: impl Debug) -> LogId {
        LogId::run(&format!("{}-{name:?}", self.name))
    }

    pub(super) async fn append(
        &self,
        id: &LogId,
        at: (u64, u64),
        entry: impl Into<Bytes>,
    ) -> Result<(), AppendError> {
        let at = Position::new(at.0, at.1);
        self.log.append(id, at, entry.into(), KEEP).await
    }

    /// Appends an entry, and creates the log if it is missing.
    pub(super) async fn create(
        &self,
        id: &LogId,
        at: (u64, u64),
        entry: impl Into<Bytes>,
    ) -> Result<(), AppendError> {
        let at = Position::new(at.0, at.1);
        let keep = KEEP.or_create();
        self.log.append(id, at, entry.into(), keep).await
    }

    pub(super) async fn read(&self, id: &LogId) -> Result<Page, ReadError> {
        let none = Duration::ZERO;
        self.log.read(id, Position::START, usize::MAX, none).await
    }

    /// Waits by means of a read that finds nothing, since the checks know no other timer.
    pub(super) async fn sleep(&self, duration: Duration) -> Result<(), String> {
        let id = self.id("timer");
        done("appending", self.create(&id, (1, 0), "").await)?;
        let page = self.log.read(&id, Position::new(1, 0), 1, duration).await;
        done("waiting", page).map(drop)
    }

    /// Checks that a log has exactly these entries.
    pub(super) async fn expect(
        &self,
        id: &LogId,
        expected: &[((u64, u64), &str)],
    ) -> Result<(), String> {
        let expected: Vec<_> = expected
            .iter()
            .map(|(at, entry)| {
                let bytes = Bytes::copy_from_slice(entry.as_bytes());
                (Position::new(at.0, at.1), bytes)
            })
            .collect();
        let page = done("reading", self.read(id).await)?;
        equal("the entries", &page.entries, &expected)
    }
}

/// Turns an error into the text of a violation.
pub(super) fn done<T, E: Debug>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{what} failed: {error:?}"))
}

pub(super) fn equal<T: PartialEq + Debug>(what: &str, is: &T, expected: &T) -> Result<(), String> {
    match is == expected {
        true => Ok(()),
        false => Err(format!("{what}: {expected:?} expected, but it is {is:?}")),
    }
}

pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(what()),
    }
}

pub(super) fn fenced(what: &str, result: &Result<(), AppendError>) -> Result<(), String> {
    ensure(matches!(result, Err(AppendError::Fenced)), || {
        format!("{what}: Fenced expected, but it is {result:?}")
    })
}

pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs futures concurrently within one task, and returns their results in order.
pub(super) async fn all<T>(futures: Vec<Boxed<'_, T>>) -> Vec<T> {
    let mut slots: Vec<Result<T, Boxed<'_, T>>> = futures.into_iter().map(Err).collect();
    std::future::poll_fn(|context| {
        let mut all_done = true;
        for slot in &mut slots {
            if let Err(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(done) => *slot = Ok(done),
                    Poll::Pending => all_done = false,
                }
            }
        }
        match all_done {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    slots.into_iter().filter_map(Result::ok).collect()
}

/// Yields to the other futures this many times.
pub(super) async fn pause(mut turns: u64) {
    std::future::poll_fn(|context| {
        if turns == 0 {
            return Poll::Ready(());
        }
        turns -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A random number generator with the same sequence in each run (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
