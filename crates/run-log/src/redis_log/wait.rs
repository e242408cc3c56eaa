//! Reads that wait.
//!
//! ```text
//!   append ─► XADD, PEXPIRE, PUBLISH key position ─► Redis ─► Listener: one connection, a channel a log
//!                                                                │
//!                                                                │ wakes those that are at an earlier position
//!   reads of (log, after) ──┐                                    ▼
//!   reads of (log, after) ──┴─► Flight ─► look ─► nothing ─► wait, at most 1 s ─► look ─► …
//!                                          └────► something: done
//! ```
//!
//! A message says only that there is something to look at: what is read comes from the log, so that a message too many, too late or
//! twice does no harm. One too few costs the rest of the second. None goes unheard by a race: the reply to `SUBSCRIBE` is a message to
//! the readers of the log, too, so that they look once more when everything later will be heard. What is not heard, since the channel
//! is being subscribed to, the connection is lost, the user may not subscribe, or the server is a cluster, is looked at every 50 ms.
//!
//! Why not `XREAD BLOCK`: it takes a connection a log, or, with all logs in one, to send their names again with every entry that comes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use twentyfirst_protocol::run_log::{LogId, Position};

use super::values::Failure;
use super::{Shared, listen};
use crate::Page;

/// How often a log is looked at whose channel is heard, in case a message got lost or the log is gone.
const LOOK_AT_HEARD: Duration = Duration::from_secs(1);

/// How often a log is looked at whose channel is not heard.
const LOOK_AT_UNHEARD: Duration = Duration::from_millis(50);

/// How long the channel of a log is heard when nobody waits for the log any more: readers come back with every page.
const LINGER: Duration = Duration::from_secs(10);

/// The reads that wait, and the channels that wake them.
#[derive(Default)]
pub(super) struct Waits {
    state: Mutex<State>,
    /// Told when there are channels to subscribe to.
    asked: Notify,
}

#[derive(Default)]
struct State {
    /// The logs that are waited for, or were a short time ago, by their keys, which are the names of the channels.
    logs: HashMap<String, Waited>,
    /// The channels that the listener does not know yet.
    new: Vec<String>,
    listener: Option<AbortHandle>,
}

struct Waited {
    flights: Vec<Weak<Flight>>,
    hearing: Hearing,
    /// When a reader came or went last.
    used: Instant,
    /// The latest position that was told of, and when.
    told: Option<(Position, Instant)>,
}

/// How far the subscription to a channel is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Hearing {
    /// The listener does not know of it.
    No,
    /// The listener has asked for it.
    Asked,
    Yes,
}

/// A read that waits, for all readers of a log that are at the same position.
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
    /// It is not known yet whether there is an entry.
    Looking,
    /// There was none.
    Waiting,
    Done(Result<Page, Failure>),
}

impl Waits {
    /// Wakes the reads of a log that are at an earlier position: there is an entry at this one.
    pub(super) fn wake(&self, key: &str, at: Position) {
        let mut state = self.lock();
        let flights = match state.logs.get_mut(key) {
            Some(log) => {
                if log.told.is_none_or(|(told, _)| told <= at) {
                    log.told = Some((at, Instant::now()));
                }
                log.flights()
            }
            None => return,
        };
        // Before the flights are dropped: the last reader of one takes the lock.
        drop(state);
        for flight in flights.iter().filter(|it| it.after < at) {
            flight.woken.notify_one();
        }
    }

    /// Takes the channels that are to be subscribed to.
    pub(super) fn take_new(&self) -> Vec<String> {
        let mut state = self.lock();
        let State { logs, new, .. } = &mut *state;
        let mut taken = mem::take(new);
        // Some may have been left, and asked for again.
        taken.retain(|key| match logs.get_mut(key) {
            Some(log) if log.hearing == Hearing::No => {
                log.hearing = Hearing::Asked;
                true
            }
            _ => false,
        });
        taken
    }

    /// Waits for channels to subscribe to.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    pub(super) fn has_new(&self) -> bool {
        !self.lock().new.is_empty()
    }

    /// Notes that these channels are heard from now on. Their readers look once more.
    pub(super) fn heard(&self, keys: &[String]) {
        let mut state = self.lock();
        let mut flights = Vec::new();
        for key in keys {
            if let Some(log) = state.logs.get_mut(key) {
                log.hearing = Hearing::Yes;
                flights.extend(log.flights());
            }
        }
        drop(state);
        for flight in flights {
            flight.woken.notify_one();
        }
    }

    /// Notes that no channel is heard any more. Their readers look once more, and then more often.
    pub(super) fn unheard(&self) {
        let mut state = self.lock();
        let State { logs, new, .. } = &mut *state;
        logs.retain(|_, log| log.is_waited_for());
        let mut flights = Vec::new();
        for log in logs.values_mut() {
            log.hearing = Hearing::No;
            flights.extend(log.flights());
        }
        *new = logs.keys().cloned().collect();
        drop(state);
        for flight in flights {
            flight.woken.notify_one();
        }
    }

    /// Takes the channels that nobody has waited for since a while.
    pub(super) fn take_left(&self) -> Vec<String> {
        let mut state = self.lock();
        let is_left = |log: &Waited| !log.is_waited_for() && log.used.elapsed() >= LINGER;
        let left: Vec<_> = state.logs.extract_if(|_, log| is_left(log)).collect();
        left.into_iter().map(|(key, _)| key).collect()
    }

    /// A channel that is heard.
    pub(super) fn any_heard(&self) -> Option<String> {
        let state = self.lock();
        let mut logs = state.logs.iter();
        let heard = logs.find(|(_, log)| log.hearing == Hearing::Yes);
        heard.map(|(key, _)| key.clone())
    }

    /// Ends the listener.
    pub(super) fn stop(&self) {
        if let Some(listener) = self.lock().listener.take() {
            listener.abort();
        }
    }

    fn is_heard(&self, key: &str) -> bool {
        let state = self.lock();
        let log = state.logs.get(key);
        log.is_some_and(|log| log.hearing == Hearing::Yes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waited {
    /// Takes no lock when they are dropped only behind that of the state.
    fn flights(&self) -> Vec<Arc<Flight>> {
        self.flights.iter().filter_map(Weak::upgrade).collect()
    }

    /// Where a read begins: whoever comes back from the entry that was told of last has seen all, so far.
    fn stage_at(&self, after: Position) -> Stage {
        let told = self.told.filter(|_| self.hearing == Hearing::Yes);
        match told {
            Some((told, at)) if told == after && at.elapsed() < LOOK_AT_HEARD => Stage::Waiting,
            _ => Stage::Looking,
        }
    }

    fn is_waited_for(&self) -> bool {
        self.flights.iter().any(|it| it.strong_count() > 0)
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
            waits.asked.notify_one();
            // It may have ended with its runtime.
            if listener.as_ref().is_none_or(AbortHandle::is_finished) {
                let listening = listen::listen(shared.waits.clone(), shared.reads.clone());
                *listener = Some(tokio::spawn(listening).abort_handle());
            }
        }
        let key = entry.key().clone();
        let waited = entry.or_insert_with(|| Waited {
            flights: Vec::new(),
            hearing: Hearing::No,
            used: Instant::now(),
            told: None,
        });
        waited.used = Instant::now();
        let same = |it: &Arc<Self>| it.after == after && !it.is_done();
        // Dropped behind the lock: the last reader of a flight takes it.
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
        let (tell, stage) = watch::channel(stage);
        let woken = Arc::new(Notify::new());
        let fly = {
            let (shared, log, woken) = (shared.clone(), log.clone(), woken.clone());
            async move {
                let done = shared.fly(&log, after, limit, &woken, &tell).await;
                tell.send_replace(Stage::Done(done));
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
        self.shared.reads.no_response().into()
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
        let mut state = self.shared.waits.lock();
        if let Some(log) = state.logs.get_mut(&self.key) {
            log.flights.retain(|it| it.strong_count() > 0);
            log.used = Instant::now();
            if log.flights.is_empty() && log.hearing == Hearing::No {
                state.logs.remove(&self.key);
            }
        }
    }
}

impl Shared {
    /// Looks, and waits, until there is something. Whoever is known to wait begins with that.
    async fn fly(
        &self,
        log: &LogId,
        after: Position,
        limit: usize,
        woken: &Notify,
        tell: &watch::Sender<Stage>,
    ) -> Result<Page, Failure> {
        let key = self.key(log);
        let mut has_looked = matches!(*tell.borrow(), Stage::Waiting);
        loop {
            if !mem::replace(&mut has_looked, false) {
                let page = self.look(log, after, limit).await?;
                if !page.is_empty() {
                    return Ok(page);
                }
                tell.send_replace(Stage::Waiting);
            }
            let pause = match self.waits.is_heard(&key) {
                true => LOOK_AT_HEARD,
                false => LOOK_AT_UNHEARD,
            };
            let _ = timeout_at(Instant::now() + pause, woken.notified()).await;
        }
    }
}
