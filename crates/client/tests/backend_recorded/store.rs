//! A store that fails on demand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use twentyfirst_client::run_log::{
    AppendError, Keep, LogId, MemoryLog, Page, Position, ReadError, RunLog,
};

/// The ways in which a store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not at all.
    None,
    /// It does not respond.
    Down,
    /// It has no room for more.
    Full,
    /// It has no room for what follows the claim of a run, and for stops.
    FullBehindClaims,
    /// Its logs have vanished. None may be made again.
    Vanished,
}

/// A store in memory, whose clones fail together.
#[derive(Clone)]
pub(crate) struct Store {
    log: MemoryLog,
    fault: Arc<Mutex<Fault>>,
    reads: Arc<AtomicUsize>,
}

impl Store {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            log: MemoryLog::new(tokio::time::sleep),
            fault: Arc::new(Mutex::new(fault)),
            reads: Arc::default(),
        }
    }

    /// Fails like this from now on.
    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    /// Returns the number of reads.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    fn check_read(&self) -> Result<(), ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        match self.fault() {
            Fault::Down => Err(ReadError::Unavailable("the cable was pulled".into())),
            Fault::Vanished => Err(ReadError::Missing),
            Fault::None | Fault::Full | Fault::FullBehindClaims => Ok(()),
        }
    }
}

impl RunLog for Store {
    async fn append(
        &self,
        log: &LogId,
        at: Position,
        entry: Bytes,
        keep: Keep,
    ) -> Result<(), AppendError> {
        let is_claim = at.seq == 0 && !log.as_str().ends_with("/stop");
        match self.fault() {
            Fault::Down => return Err(AppendError::Unavailable("the cable was pulled".into())),
            Fault::Full => return Err(AppendError::Full("no room".into())),
            Fault::FullBehindClaims if !is_claim => {
                return Err(AppendError::Full("no room".into()));
            }
            Fault::Vanished if keep.create && !keep.is_over => panic!("{log} is made again"),
            Fault::Vanished if !keep.create => return Err(AppendError::Missing),
            _ => {}
        }
        self.log.append(log, at, entry, keep).await
    }

    async fn read(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Page, ReadError> {
        self.check_read()?;
        self.log.read(log, after, limit, wait).await
    }

    async fn last(&self, log: &LogId) -> Result<Option<(Position, Bytes)>, ReadError> {
        match self.check_read() {
            Ok(()) => self.log.last(log).await,
            Err(ReadError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
