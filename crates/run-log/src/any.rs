use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use twentyfirst_protocol::run_log::{Keep, LogId, Position};

use crate::{AppendError, Page, ReadError, RunLog};

/// A [`RunLog`] of any type, behind one type. Clones share the store.
#[derive(Clone)]
pub struct AnyRunLog(Arc<dyn Erased>);

impl AnyRunLog {
    /// Wraps a store.
    pub fn new(log: impl RunLog) -> Self {
        Self(Arc::new(log))
    }
}

impl fmt::Debug for AnyRunLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyRunLog").finish_non_exhaustive()
    }
}

impl RunLog for AnyRunLog {
    async fn append(
        &self,
        log: &LogId,
        at: Position,
        entry: Bytes,
        keep: Keep,
    ) -> Result<(), AppendError> {
        self.0.append(log, at, entry, keep).await
    }

    async fn read(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Page, ReadError> {
        self.0.read(log, after, limit, wait).await
    }

    async fn last(&self, log: &LogId) -> Result<Option<(Position, Bytes)>, ReadError> {
        self.0.last(log).await
    }
}

type Boxed<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// [`RunLog`] with boxed futures, as an object-safe trait.
trait Erased: Send + Sync {
    fn append<'a>(
        &'a self,
        log: &'a LogId,
        at: Position,
        entry: Bytes,
        keep: Keep,
    ) -> Boxed<'a, (), AppendError>;

    fn read<'a>(
        &'a self,
        log: &'a LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Boxed<'a, Page, ReadError>;

    fn last<'a>(&'a self, log: &'a LogId) -> Boxed<'a, Option<(Position, Bytes)>, ReadError>;
}

impl<L: RunLog> Erased for L {
    fn append<'a>(
        &'a self,
        log: &'a LogId,
        at: Position,
        entry: Bytes,
        keep: Keep,
    ) -> Boxed<'a, (), AppendError> {
        Box::pin(RunLog::append(self, log, at, entry, keep))
    }

    fn read<'a>(
        &'a self,
        log: &'a LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Boxed<'a, Page, ReadError> {
        Box::pin(RunLog::read(self, log, after, limit, wait))
    }

    fn last<'a>(&'a self, log: &'a LogId) -> Boxed<'a, Option<(Position, Bytes)>, ReadError> {
        Box::pin(RunLog::last(self, log))
    }
}
