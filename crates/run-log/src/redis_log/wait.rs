//! Reads that wait.
//!
//! ```text
//!   append ─► XADD, PEXPIRE, PUBLISH key position ─► Redis ─► Listener: one connection, a channel per log
//!                                                                │
//!                                                                │ wakes the reads at earlier positions
//!   reads of (log, after) ──┐                                    ▼
//!   reads of (log, after) ──┴─► Flight ─► look ─► nothing ─► wait, at most 1 s ─► look ─► …
//!                                          └────► entries: done
//! ```
//!
//! A message only says that there is something to read, and the entries come from the log. A superfluous, late or repeated message
//! therefore does no harm, and a lost one delays a read by at most a second.
//!
//! No append is missed between a look and the subscription: the reply to `SUBSCRIBE` wakes the readers of the log as well. They look once
//! more at a time when every later append is announced. As long as a log has no subscription, its readers poll every 50 ms: while
//! subscribing, while the connection is lost, if the user may not subscribe, and in a cluster.
//!
//! `XREAD BLOCK` is not used: it takes one connection per log, or one command with the names of all logs, sent again after every entry.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::RedisError;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use twentyfirst_protocol::run_log::{LogId, Position};

use super::values::Failure;
use super::{Shared, listen};
use crate::Page;

/// The interval of looks at a log with a subscription, in case a message got lost or the log is gone.
const LOOK_AT_SUBSCRIBED: Duration = Duration::from_secs(1);

/// The interval of looks at a log without a subscription.
const LOOK_AT_UNSUBSCRIBED: Duration = Duration::from_millis(50);

/// The time that a subscription outlives the last waiting read. A reader comes back after every page, and would subscribe anew each time.
const LINGER: Duration = Duration::from_secs(10);

/// The reads that wait, and the channels that wake them.
#[derive(Default)]
pub(super) struct Waits {
    state: Mutex<State>,
    /// Notified when there are channels to subscribe to.
    new_channels: Notify,
}

#[derive(Default)]
struct State {
    /// The logs with waiting reads, now or a short time ago, by key. A key is also the name of the channel.
    logs: HashMap<String, WaitedLog>,
    /// The channels that the listener has not taken yet.
    new: Vec<String>,
    listener: Option<AbortHandle>,
}

struct WaitedLog {
    flights: Vec<Weak<Flight>>,
    subscription: Subscription,
    /// The time when a reader last came or went.
    used: Instant,
    /// The latest position that was announced, and the time.
    announced: Option<(Position, Instant)>,
}

/// The state of the subscription to a log's channel.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Subscription {
    None,
    /// The listener sends `SUBSCRIBE`.
    Requested,
    /// The server has confirmed it.
    Active,
}

/// One waiting read, shared by all readers of a log at the same position.
pub(super) struct Flight {
    shared: Arc<Shared>,
    key: String,
    after: Position,
    stage: watch::Receiver<Stage>,
    woken: Arc<Notify>,
    task: AbortHandle,
}

#[derive(Debug, Clone)]
enum Stage {
    /// The first look is under way: there may be an entry.
    Looking,
    /// There was no entry.
    Waiting,
    Done(Result<Page, Failure>),
}

impl Waits {
    /// Notes that a log has an entry at `at`, and wakes the reads at earlier positions.
    pub(super) fn wake(&self, key: &str, at: Position) {
        let mut state = self.lock();
        let flights = match state.logs.get_mut(key) {
            Some(log) => {
                // Messages of several instances may overtake each other.
                if log.announced.is_none_or(|(latest, _)| latest <= at) {
                    log.announced = Some((at, Instant::now()));
                }
                log.flights()
            }
            None => return,
        };
        // Unlock before the flights are dropped: dropping the last handle of a flight takes the lock.
        drop(state);
        for flight in flights.iter().filter(|it| it.after < at) {
            flight.woken.notify_one();
        }
    }

    /// Takes the channels to subscribe to.
    pub(super) fn take_new(&self) -> Vec<String> {
        let mut state = self.lock();
        let State { logs, new, .. } = &mut *state;
        let mut taken = mem::take(new);
        // The list may name a log twice, or one without readers: logs come and go before the listener takes it.
        taken.retain(|key| match logs.get_mut(key) {
            Some(log) if log.subscription == Subscription::None => {
                log.subscription = Subscription::Requested;
                true
            }
            _ => false,
        });
        taken
    }

    /// Waits for channels to subscribe to.
    pub(super) async fn new_channels(&self) {
        self.new_channels.notified().await;
    }

    pub(super) fn has_new(&self) -> bool {
        !self.lock().new.is_empty()
    }

    /// Notes that these subscriptions are active. Wakes their readers, for appends between their last look and the subscription.
    pub(super) fn subscribed(&self, keys: &[String]) {
        let mut state = self.lock();
        let mut flights = Vec::new();
        for key in keys {
            if let Some(log) = state.logs.get_mut(key) {
                log.subscription = Subscription::Active;
                flights.extend(log.flights());
            }
        }
        drop(state);
        for flight in flights {
            flight.woken.notify_one();
        }
    }

    /// Notes that all subscriptions are lost. Wakes all readers, so that they poll at the shorter interval.
    pub(super) fn disconnected(&self) {
        let mut state = self.lock();
        let State { logs, new, .. } = &mut *state;
        // The subscriptions ended with the connection, so there is nothing to leave for a log without readers.
        logs.retain(|_, log| log.has_readers());
        let mut flights = Vec::new();
        for log in logs.values_mut() {
            log.subscription = Subscription::None;
            flights.extend(log.flights());
        }
        *new = logs.keys().cloned().collect();
        drop(state);
        for flight in flights {
            flight.woken.notify_one();
        }
    }

    /// Takes the channels that have had no readers for a while.
    pub(super) fn take_idle(&self) -> Vec<String> {
        let mut state = self.lock();
        let is_idle = |log: &WaitedLog| !log.has_readers() && log.used.elapsed() >= LINGER;
        let idle: Vec<_> = state.logs.extract_if(|_, log| is_idle(log)).collect();
        idle.into_iter().map(|(key, _)| key).collect()
    }

    /// Returns a channel with an active subscription, if there is one.
    pub(super) fn any_subscribed(&self) -> Option<String> {
        let state = self.lock();
        let mut logs = state.logs.iter();
        let active = logs.find(|(_, log)| log.subscription == Subscription::Active);
        active.map(|(key, _)| key.clone())
    }

    /// Ends the listener.
    pub(super) fn stop(&self) {
        if let Some(listener) = self.lock().listener.take() {
            listener.abort();
        }
    }

    fn is_subscribed(&self, key: &str) -> bool {
        let state = self.lock();
        let log = state.logs.get(key);
        log.is_some_and(|log| log.subscription == Subscription::Active)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitedLog {
    /// Returns the flights that still have readers. Drop them after unlocking the state: dropping a last handle takes its lock.
    fn flights(&self) -> Vec<Arc<Flight>> {
        self.flights.iter().filter_map(Weak::upgrade).collect()
    }

    /// Returns the stage at which a read begins.
    ///
    /// A reader that comes back from the latest announced entry has seen everything so far. It waits without a look, which saves a
    /// command for each entry of a live run.
    fn stage_at(&self, after: Position) -> Stage {
        let is_active = self.subscription == Subscription::Active;
        match self.announced.filter(|_| is_active) {
            Some((latest, at)) if latest == after && at.elapsed() < LOOK_AT_SUBSCRIBED => {
                Stage::Waiting
            }
            _ => Stage::Looking,
        }
    }

    fn has_readers(&self) -> bool {
        self.flights.iter().any(|it| it.strong_count() > 0)
    }
}

impl Flight {
    /// Joins the flight under way at this position, or starts one.
    pub(super) fn join(
        shared: &Arc<Shared>,
        log: &LogId,
        after: Position,
        limit: usize,
    ) -> Arc<Self> {
        let waits = &shared.waits;
        let mut state = waits.lock();
        let State {
            logs,
            new,
            listener,
        } = &mut *state;
        let entry = logs.entry(shared.key(log));
        if let Entry::Vacant(entry) = &entry
            && shared.reads.can_listen()
        {
            new.push(entry.key().clone());
            waits.new_channels.notify_one();
            // An earlier listener ends with the runtime that it was spawned on.
            if listener.as_ref().is_none_or(AbortHandle::is_finished) {
                let listening = listen::listen(shared.waits.clone(), shared.reads.clone());
                *listener = Some(tokio::spawn(listening).abort_handle());
            }
        }
        let key = entry.key().clone();
        let waited = entry.or_insert_with(|| WaitedLog {
            flights: Vec::new(),
            subscription: Subscription::None,
            used: Instant::now(),
            announced: None,
        });
        waited.used = Instant::now();
        // Not one that is done: its result is old, and may be an error.
        let same = |it: &Arc<Self>| it.after == after && !it.is_done();
        // These live until after `drop(state)`: dropping the last handle of a flight takes the lock.
        let under_way = waited.flights();
        let flight = match under_way.iter().find(|it| same(it)) {
            Some(flight) => flight.clone(),
            None => {
                let stage = waited.stage_at(after);
                let flight = Arc::new(Self::start(shared, log, key, after, limit, stage));
                waited.flights.push(Arc::downgrade(&flight));
                flight
            }
        };
        drop(state);
        flight
    }

    fn start(
        shared: &Arc<Shared>,
        log: &LogId,
        key: String,
        after: Position,
        limit: usize,
        stage: Stage,
    ) -> Self {
        let (progress, stage) = watch::channel(stage);
        let woken = Arc::new(Notify::new());
        let fly = {
            let (shared, log, woken) = (shared.clone(), log.clone(), woken.clone());
            async move {
                let done = shared.fly(&log, after, limit, &woken, &progress).await;
                progress.send_replace(Stage::Done(done));
            }
        };
        Self {
            shared: shared.clone(),
            key,
            after,
            stage,
            woken,
            task: tokio::spawn(fly).abort_handle(),
        }
    }

    fn is_done(&self) -> bool {
        // The task ends without a result when its runtime does.
        matches!(*self.stage.borrow(), Stage::Done(_)) || self.task.is_finished()
    }

    /// Waits until the flight is done, or until `deadline`. Returns `None` if there is no entry by then.
    ///
    /// The first look is always awaited, past the deadline if need be: a read with a short wait must not miss existing entries.
    pub(super) async fn result(&self, deadline: Instant) -> Option<Result<Page, Failure>> {
        let mut stage = self.stage.clone();
        let done = stage.wait_for(|it| matches!(it, Stage::Done(_)));
        if let Ok(done) = timeout_at(deadline, done).await {
            return Some(done.map_or_else(|_| Err(Self::ended()), |it| it.result()));
        }
        let looked = stage.wait_for(|it| !matches!(it, Stage::Looking)).await;
        match looked.as_deref() {
            Ok(Stage::Done(result)) => Some(result.clone()),
            Ok(_) => None,
            Err(_) => Some(Err(Self::ended())),
        }
    }

    /// Returns the failure of a flight whose task was dropped with its runtime.
    fn ended() -> Failure {
        let text = "the read shared the look of another one, whose tokio runtime has shut down: read again";
        RedisError::from(io::Error::other(text)).into()
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
        // The last reader has left, so nobody needs the looks any more.
        self.task.abort();
        let mut state = self.shared.waits.lock();
        if let Some(log) = state.logs.get_mut(&self.key) {
            log.flights.retain(|it| it.strong_count() > 0);
            log.used = Instant::now();
            // A log with a subscription stays until the listener has left the channel.
            if log.flights.is_empty() && log.subscription == Subscription::None {
                state.logs.remove(&self.key);
            }
        }
    }
}

impl Shared {
    /// Looks and waits in turn until there is an entry. Begins with the wait if the stage is [`Stage::Waiting`].
    async fn fly(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        woken: &Notify,
        progress: &watch::Sender<Stage>,
    ) -> Result<Page, Failure> {
        let key = self.key(log);
        let mut has_looked = matches!(*progress.borrow(), Stage::Waiting);
        loop {
            if !mem::replace(&mut has_looked, false) {
                let page = self.look(log, after, limit).await?;
                if !page.is_empty() {
                    return Ok(page);
                }
                progress.send_replace(Stage::Waiting);
            }
            let pause = match self.waits.is_subscribed(&key) {
                true => LOOK_AT_SUBSCRIBED,
                false => LOOK_AT_UNSUBSCRIBED,
            };
            // `notify_one` leaves a permit, so a message between the look and this wait is not missed.
            let _ = timeout_at(Instant::now() + pause, woken.notified()).await;
        }
    }
}
