//! The journal of one run: the agent's chunks on their way to the readers and into the stored message.
//!
//! ```text
//!   write(chunk) ─► restart due? ─► runtime dies? ─► after an error? drop ─► message, progress ─► feed
//!                                        └─► never returns
//!
//!   end ─► closes open parts          send_end ─► metadata, finish
//!   message | rival_message ─► the turn that is stored
//! ```
//!
//! Locks are taken in one order: `written`, then the state of a record (a restart does this), then `rival` or the feed.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use twentyfirst_protocol::threads::Usage;
use twentyfirst_protocol::ui::chunk::{Finish, ReasoningEnd, Start, TextEnd};
use twentyfirst_protocol::ui::{Assembler, Chunk, RawJson, Text, UiMessage};
use uuid::Uuid;

use super::feed::{EncodedChunk, Event, Feed, RunMetadata, Subscription};
use super::reader::event;
use super::rival::Rival;
use crate::faults::{After, Due, Progress};
use crate::relay::Relay;

/// The output of an agent, for the readers and for the stored message.
pub(crate) struct Journal {
    pub(crate) feed: Feed,
    written: tokio::sync::Mutex<Written>,
    report: Mutex<Report>,
    /// The faults that may kill the runtime.
    deaths: Vec<Due<()>>,
    death: Notify,
    /// The faults that may restart the relay.
    restarts: Vec<Due<()>>,
    relay: Weak<Relay>,
    /// Whether the relay has restarted during the run. The reader that started it is gone and cannot store it.
    is_abandoned: AtomicBool,
    /// The first joined reader that may store the answer in place of the reader that started the run.
    rival: Mutex<Option<Rival>>,
}

struct Written {
    message: Assembler,
    open: Vec<Open>,
    final_text: Option<Text<'static>>,
    /// The last metadata from the agent, if any. It replaces that of the relay.
    metadata: Option<RawJson<'static>>,
    finish: Option<Finish<'static>>,
    error: Option<String>,
    /// The bytes and events for the reader that started the run.
    progress: Progress,
    is_dead: bool,
}

#[derive(PartialEq)]
enum Open {
    Text(Text<'static>),
    Reasoning(Text<'static>),
}

/// The remains of a run after the end of its agent.
pub(crate) struct Ending {
    pub(crate) error: Option<String>,
    pub(crate) final_text: Option<String>,
    /// The metadata from the agent, if any.
    pub(crate) metadata: Option<RawJson<'static>>,
}

/// The agent's report on its run.
#[derive(Clone)]
pub(crate) struct Report {
    pub(crate) usage: Usage,
    pub(crate) result_subtype: String,
}

impl Journal {
    /// Creates the journal of the answer with this message id.
    pub(crate) fn new(message_id: &str, relay: &Arc<Relay>) -> Self {
        let mut message = Assembler::new();
        let start = Chunk::from(Start::new().message_id(message_id));
        apply(&mut message, &start);
        let mut progress = Progress::new();
        progress.add_event(event(&start.encode()).len());
        Self {
            feed: Feed::default(),
            written: tokio::sync::Mutex::new(Written {
                message,
                open: Vec::new(),
                final_text: None,
                metadata: None,
                finish: None,
                error: None,
                progress,
                is_dead: false,
            }),
            deaths: relay.faults.of_runtime(),
            death: Notify::new(),
            restarts: relay.faults.of_restart(),
            relay: Arc::downgrade(relay),
            is_abandoned: AtomicBool::new(false),
            rival: Mutex::default(),
            report: Mutex::new(Report {
                usage: Usage::default(),
                result_subtype: "success".to_owned(),
            }),
        }
    }

    /// Writes a chunk of the agent. Never returns if the runtime is dead: to the agent, a dead runtime looks like a write that hangs.
    pub(crate) async fn write(&self, chunk: Chunk<'static>) {
        // Held until the readers have the chunk: they must see the same order as the stored message.
        let mut written = self.written.lock().await;
        self.restart_if_due(&written);
        if self.dies(&mut written) {
            // The run still needs the lock for its end.
            drop(written);
            return std::future::pending().await;
        }
        // The relay drops everything after an error. Its own closing chunks follow.
        if written.error.is_some() {
            return;
        }
        match &chunk {
            // The relay has written its own `start`, and writes `finish` after the turn is stored.
            Chunk::Start(_) => return,
            Chunk::Finish(finish) => {
                written.finish = Some(finish.clone());
                return;
            }
            Chunk::Error(error) => {
                written.error = Some(error.error_text.to_string_lossy().into_owned());
            }
            Chunk::MessageMetadata(chunk) => {
                if let Some(metadata) = &chunk.message_metadata {
                    written.metadata = Some(metadata.clone());
                }
            }
            Chunk::TextStart(part) => {
                written.final_text = Some(part.id.clone());
                written.open.push(Open::Text(part.id.clone()));
            }
            Chunk::TextEnd(part) => written.close(&Open::Text(part.id.clone())),
            Chunk::ReasoningStart(part) => written.open.push(Open::Reasoning(part.id.clone())),
            Chunk::ReasoningEnd(part) => written.close(&Open::Reasoning(part.id.clone())),
            _ => {}
        }
        self.pass_on(&mut written, chunk).await;
    }

    /// Returns whether the runtime is dead now.
    pub(crate) async fn is_dead(&self) -> bool {
        self.dies(&mut *self.written.lock().await)
    }

    /// Restarts the relay at the times of the restart faults.
    pub(crate) async fn restart_in_time(&self) -> Infallible {
        for time in self.times(&self.restarts).await {
            sleep_until(time).await;
            self.restart_if_due(&*self.written.lock().await);
        }
        std::future::pending().await
    }

    /// Restarts the relay if a restart fault is due at the end of the run.
    pub(crate) async fn restart_at_end(&self) {
        self.restart_if_due(&*self.written.lock().await);
    }

    fn restart_if_due(&self, written: &Written) {
        let strikes = |due: &Due<()>| written.progress.has_reached(due.after) && due.strike();
        // At most one restart for each run: later faults keep their strikes for the next one.
        if !self.is_abandoned()
            && self.restarts.iter().any(strikes)
            && let Some(relay) = self.relay.upgrade()
        {
            relay.restart();
        }
    }

    /// Abandons the run in a restart: its streams break off, and only a reader that joins later can store it.
    pub(crate) fn abandon(&self) {
        let mut rival = lock(&self.rival);
        *rival = None;
        self.is_abandoned.store(true, Ordering::SeqCst);
        self.feed.break_off();
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::SeqCst)
    }

    /// Returns whether no reader is left that could store the run.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_abandoned() && lock(&self.rival).is_none()
    }

    /// Returns the times of these faults in order. Faults after bytes or events have none.
    async fn times(&self, due: &[Due<()>]) -> Vec<Instant> {
        let begun = self.written.lock().await.progress.begun;
        let times = due.iter().filter_map(|due| match due.after {
            After::Time(time) => begun.checked_add(time),
            After::Bytes(_) | After::Events(_) => None,
        });
        let mut times: Vec<_> = times.collect();
        times.sort_unstable();
        times
    }

    /// Completes when the runtime dies. Without a fault, that is never.
    pub(crate) async fn death(&self) {
        let times = self.times(&self.deaths).await;
        let timed = async {
            for time in times {
                sleep_until(time).await;
                // The fault may be spent or cleared by now, and then it does not strike.
                if self.is_dead().await {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = timed => {}
            () = self.death.notified() => {}
        }
    }

    fn dies(&self, written: &mut Written) -> bool {
        let progress = &written.progress;
        let strikes = |due: &Due<()>| progress.has_reached(due.after) && due.strike();
        if !written.is_dead && self.deaths.iter().any(strikes) {
            written.is_dead = true;
            self.death.notify_one();
        }
        written.is_dead
    }

    /// Subscribes a reader, and returns the earlier events if it `replays` them. The first reader that may store the answer is the rival.
    ///
    /// Both under the lock of the rival, as in [`abandon`](Self::abandon): a restart between them would break off the rival's stream.
    pub(crate) fn join(
        &self,
        message_id: Uuid,
        replays: bool,
        due: Vec<Due<()>>,
    ) -> (Subscription, Vec<Event>) {
        let mut rival = lock(&self.rival);
        let (subscription, past) = if replays {
            self.feed.join_again()
        } else {
            (self.feed.join(), Vec::new())
        };
        // After a restart, the reader that started the run is gone: the first one to join stores it.
        if !due.is_empty() || self.is_abandoned() {
            rival.get_or_insert_with(|| Rival::new(message_id, subscription.missed, due));
        }
        (subscription, past)
    }

    /// Returns the answer as the joined reader saw it, if that reader stores the run.
    pub(crate) async fn rival_message(&self, metadata: &RunMetadata) -> Option<UiMessage> {
        let written = self.written.lock().await;
        // Metadata of the agent is among the events that the reader saw.
        let metadata = written.metadata.is_none().then_some(metadata);
        let rival = lock(&self.rival);
        let rival = rival
            .as_ref()
            .filter(|rival| self.is_abandoned() || rival.is_faster())?;
        Some(rival.message(&self.feed, metadata, written.finish.as_ref()))
    }

    /// Closes the parts that the agent left open.
    pub(crate) async fn end(&self) -> Ending {
        let mut written = self.written.lock().await;
        for open in std::mem::take(&mut written.open) {
            let end = match open {
                Open::Text(id) => TextEnd::new(id).into(),
                Open::Reasoning(id) => ReasoningEnd::new(id).into(),
            };
            self.pass_on(&mut written, end).await;
        }
        Ending {
            error: written.error.clone(),
            final_text: written
                .final_text
                .as_ref()
                .map(|id| id.to_string_lossy().into_owned()),
            metadata: written.metadata.clone(),
        }
    }

    /// Takes the whole message, with the metadata of the agent or else of the relay.
    pub(crate) async fn message(&self, metadata: &RunMetadata) -> UiMessage {
        let mut written = self.written.lock().await;
        let mut message = std::mem::take(&mut written.message);
        if written.metadata.is_none() {
            apply(&mut message, &metadata.chunk());
        }
        if let Some(finish) = &written.finish {
            apply(&mut message, &finish.clone().into());
        }
        message.into_message()
    }

    /// Sends the closing metadata and `finish` to the readers.
    pub(crate) async fn send_end(&self, metadata: RunMetadata) {
        let written = self.written.lock().await;
        if written.metadata.is_none() {
            self.feed.emit(Event::Metadata(Arc::new(metadata))).await;
        }
        let finish = written.finish.clone().unwrap_or_else(Finish::new);
        self.feed.emit(Chunk::from(finish)).await;
    }

    /// Changes the agent's report.
    pub(crate) fn report(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.lock());
    }

    pub(crate) fn reported(&self) -> Report {
        self.lock().clone()
    }

    /// Returns the agent's text so far.
    pub(crate) async fn text(&self) -> String {
        self.written.lock().await.message.message().text()
    }

    async fn pass_on(&self, written: &mut Written, chunk: Chunk<'static>) {
        apply(&mut written.message, &chunk);
        let chunk = EncodedChunk::from(chunk);
        written.progress.add_event(event(&chunk.json).len());
        self.feed.emit(Event::Chunk(Arc::new(chunk))).await;
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        lock(&self.report)
    }
}

impl Written {
    fn close(&mut self, part: &Open) {
        self.open.retain(|open| open != part);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Applies a chunk to the stored message. A chunk that does not fit is not stored, but the readers get it unchanged.
pub(super) fn apply(message: &mut Assembler, chunk: &Chunk<'_>) {
    message.apply(chunk).ok();
}
