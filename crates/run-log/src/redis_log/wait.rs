//! Reads that wait.
//!
//! ```text
//!   reads of (log, after) ──┐
//!   reads of (log, after) ──┴─► Flight ─► look ─► something: done
//!                                          │
//!                                          ▼ nothing
//!                         this process writes the log? ── yes ─► until it appends, looking every second
//!                                          │ no
//!                              a connection free? ── yes ─► XREAD BLOCK on it
//!                                          │ no
//!                                          └─► look every 50 ms
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cmd;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};
use twentyfirst_protocol::run_log::{LogId, Position};

use super::Shared;
use super::values::{Failure, entries_of_one};
use crate::Page;

/// How long a flight lasts. Readers that wait longer take another, which notices a log that is gone.
const FLIGHT: Duration = Duration::from_secs(5);

/// How often a log is looked at where no connection is free to wait for it.
const LOOK: Duration = Duration::from_millis(50);

/// How long a log counts as written by this process after its last append.
const WRITTEN: Duration = Duration::from_secs(10);

/// How often a log that this process writes is looked at, in case another has taken it over.
const LOOK_AT_OWN: Duration = Duration::from_secs(1);

/// The reads that wait, and what they wait with.
pub(super) struct Waits {
    reads: Mutex<Reads>,
    /// Connections that wait for nothing at present.
    idle: Mutex<Vec<MultiplexedConnection>>,
    connections: Semaphore,
}

#[derive(Default)]
struct Reads {
    flights: HashMap<LogId, Vec<Weak<Flight>>>,
    /// When this process appended to a log.
    written: HashMap<LogId, Instant>,
    /// With how many logs those are dropped that were written long ago.
    prune_at: usize,
}

/// A read that waits, for all readers of a log that are at the same position.
pub(super) struct Flight {
    shared: Arc<Shared>,
    log: LogId,
    after: Position,
    stage: watch::Receiver<Stage>,
    /// Told when this process appends to the log.
    appended: Arc<Notify>,
    task: AbortHandle,
}

#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// It is not known yet whether there is an entry.
    Looking,
    /// There was none.
    Waiting,
    Done(Result<Page, Failure>),
}

impl Waits {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            reads: Mutex::default(),
            idle: Mutex::default(),
            connections: Semaphore::new(connections.min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Tells the reads of this process of an append.
    pub(super) fn appended(&self, log: &LogId, at: Position) {
        let now = Instant::now();
        let mut reads = self.lock();
        if let Some(written) = reads.written.get_mut(log) {
            *written = now;
        } else {
            reads.written.insert(log.clone(), now);
            if reads.written.len() >= reads.prune_at {
                reads.written.retain(|_, at| now - *at < WRITTEN);
                reads.prune_at = (2 * reads.written.len()).max(1024);
            }
        }
        let flights = reads.flights.get(log).into_iter().flatten();
        let flights: Vec<_> = flights.filter_map(Weak::upgrade).collect();
        // Before the flights are dropped: the last reader of one takes the lock.
        drop(reads);
        for flight in flights.iter().filter(|it| it.after < at) {
            flight.appended.notify_one();
        }
    }

    fn is_written_here(&self, log: &LogId) -> bool {
        let reads = self.lock();
        let written = reads.written.get(log);
        written.is_some_and(|at| at.elapsed() < WRITTEN)
    }

    fn lock(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Takes part in a flight that is under way, or starts one.
    pub(super) fn join(
        shared: &Arc<Shared>,
        log: &LogId,
        after: Position,
        limit: usize,
    ) -> Arc<Self> {
        let mut reads = shared.waits.lock();
        let flights = reads.flights.entry(log.clone()).or_default();
        let same = |it: &Arc<Self>| it.after == after && !it.is_done();
        // Dropped behind the lock: the last reader of a flight takes it.
        let under_way: Vec<_> = flights.iter().filter_map(Weak::upgrade).collect();
        let flight = match under_way.iter().find(|it| same(it)) {
            Some(flight) => flight.clone(),
            None => {
                let flight = Arc::new(Self::start(shared, log, after, limit));
                flights.push(Arc::downgrade(&flight));
                flight
            }
        };
        drop(reads);
        flight
    }

    fn start(shared: &Arc<Shared>, log: &LogId, after: Position, limit: usize) -> Self {
        let (tell, stage) = watch::channel(Stage::Looking);
        let appended = Arc::new(Notify::new());
        let fly = {
            let (shared, log, appended) = (shared.clone(), log.clone(), appended.clone());
            async move {
                let done = shared.fly(&log, after, limit, &appended, &tell).await;
                tell.send_replace(Stage::Done(done));
            }
        };
        Self {
            shared: shared.clone(),
            log: log.clone(),
            after,
            stage,
            appended,
            task: tokio::spawn(fly).abort_handle(),
        }
    }

    fn is_done(&self) -> bool {
        // Its task may have ended with its runtime.
        matches!(*self.stage.borrow(), Stage::Done(_)) || self.task.is_finished()
    }

    /// Waits until the flight is done, or until `deadline` once it is known that there is nothing yet. `None`: nothing yet.
    pub(super) async fn result(&self, deadline: Instant) -> Option<Result<Page, Failure>> {
        let mut stage = self.stage.clone();
        let done = stage.wait_for(|it| matches!(it, Stage::Done(_)));
        if let Ok(done) = timeout_at(deadline, done).await {
            return Some(done.map_or_else(|_| Err(self.ended()), |it| it.result()));
        }
        let looked = stage.wait_for(|it| !matches!(it, Stage::Looking)).await;
        match looked.as_deref() {
            Ok(Stage::Done(result)) => Some(result.clone()),
            Ok(_) => None,
            Err(_) => Some(Err(self.ended())),
        }
    }

    /// The task was dropped, as its runtime was.
    fn ended(&self) -> Failure {
        self.shared.link.no_response().into()
    }
}

impl Stage {
    fn result(&self) -> Result<Page, Failure> {
        match self {
            Self::Done(result) => result.clone(),
            Self::Looking | Self::Waiting => Ok(Page::default()),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
        let mut reads = self.shared.waits.lock();
        if let Some(flights) = reads.flights.get_mut(&self.log) {
            flights.retain(|it| it.strong_count() > 0);
            if flights.is_empty() {
                reads.flights.remove(&self.log);
            }
        }
    }
}

impl Shared {
    /// Looks, then waits, for at most [`FLIGHT`]. An empty page: nothing has come.
    async fn fly(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        appended: &Notify,
        tell: &watch::Sender<Stage>,
    ) -> Result<Page, Failure> {
        let end = Instant::now() + FLIGHT;
        let mut can_block = true;
        loop {
            let page = self.look(log, after, limit).await?;
            if !page.is_empty() || Instant::now() >= end {
                return Ok(page);
            }
            tell.send_replace(Stage::Waiting);
            let is_own = self.waits.is_written_here(log);
            if can_block
                && !is_own
                && let Ok(_permit) = self.waits.connections.try_acquire()
            {
                if let Ok(page) = self.block(log, after, limit, end).await {
                    return Ok(page);
                }
                // The server is gone, which the next look finds, or only this connection was closed.
                can_block = false;
                continue;
            }
            let pause = match is_own {
                true => LOOK_AT_OWN,
                false => LOOK,
            };
            let until = end.min(Instant::now() + pause);
            let _ = timeout_at(until, appended.notified()).await;
        }
    }

    /// Waits on a connection of its own. If the future is dropped, so is the connection, which waits on.
    async fn block(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        end: Instant,
    ) -> Result<Page, Failure> {
        let mut reused = self.waits.idle().pop();
        loop {
            let wait = end.saturating_duration_since(Instant::now());
            let mut read = cmd("XREAD");
            read.arg("COUNT").arg(super::count(limit));
            // A wait of 0 would be one without end.
            read.arg("BLOCK").arg((wait.as_millis() as u64).max(1));
            read.arg("STREAMS")
                .arg(self.key(log))
                .arg(after.to_string());

            let is_reused = reused.is_some();
            let mut connection = match reused.take() {
                Some(connection) => connection,
                None => self.link.open().await?,
            };
            let limit = wait + self.link.timeout();
            let reply = timeout(limit, connection.send_packed_command(&read)).await;
            match reply.unwrap_or_else(|_| Err(self.link.no_response())) {
                Ok(value) => {
                    let entries = entries_of_one(value)?;
                    self.waits.idle().push(connection);
                    return Ok(Page::new(entries));
                }
                // It was closed while nobody used it, and with it most likely all the others.
                Err(_) if is_reused => self.waits.idle().clear(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
