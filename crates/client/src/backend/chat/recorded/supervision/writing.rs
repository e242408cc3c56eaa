use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt as _;
use twentyfirst_protocol::flow::Now;
use twentyfirst_protocol::run_log::register::{Obligation, Register, RegisterEnd, RegisterStep};
use twentyfirst_protocol::run_log::{Appended, Position};
use twentyfirst_protocol::runs::RunRef;

use super::Recorded;
use crate::backend::chat::recorded::logs::Cause;
use crate::backend::within::within;
use crate::client::seed;
use crate::error::Error;

/// A handle for a register, which a task writes.
#[derive(Clone)]
pub(super) struct Writing {
    pub(super) id: Arc<str>,
    /// Unbounded, because closing must not wait, and each run sends only three notes.
    notes: mpsc::UnboundedSender<Note>,
    is_full: Arc<AtomicBool>,
}

/// A message to the task that writes a register.
enum Note {
    Open(Obligation, oneshot::Sender<Opened>),
    Place(String, RunRef, oneshot::Sender<()>),
    Close(String),
    Retire,
    Release(oneshot::Sender<()>),
}

/// The result of opening an obligation.
pub(super) enum Opened {
    /// The register has it in the store.
    Stands,
    /// The store does not respond. The obligation is written as soon as it does.
    Pending(Option<Cause>),
    /// The task of this register is gone.
    Gone,
}

impl Writing {
    pub(super) async fn open(&self, obligation: Obligation) -> Opened {
        let (tell, receiver) = oneshot::channel();
        self.note(Note::Open(obligation, tell));
        receiver.await.unwrap_or(Opened::Gone)
    }

    /// Stores the place of a run. Completes when the register has it, or if the store does not respond.
    pub(super) fn place(&self, run: &str, place: &RunRef) -> impl Future<Output = ()> + use<> {
        let (tell, receiver) = oneshot::channel();
        self.note(Note::Place(run.to_owned(), place.clone(), tell));
        async move {
            let _ = receiver.await;
        }
    }

    pub(super) fn close(&self, run: &str) {
        self.note(Note::Close(run.to_owned()));
    }

    /// Ends the register as soon as no obligation is open.
    pub(super) fn retire(&self) {
        self.note(Note::Retire);
    }

    /// Releases the register for other instances.
    pub(super) async fn release(&self) {
        let (tell, receiver) = oneshot::channel();
        self.note(Note::Release(tell));
        // If the task is gone, the register is no longer written either.
        let _ = receiver.await;
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Sends a note to the task. If the task is gone, the note is dropped.
    fn note(&self, note: Note) {
        let _ = self.notes.unbounded_send(note);
    }
}

impl Recorded {
    /// Begins a new register for this instance.
    pub(super) fn begin_register(&self) -> Writing {
        let id = format!("{:016x}{:016x}", seed(), seed());
        self.write(Register::begin(id, &self.instance))
    }

    /// Takes over a register that is no longer written.
    pub(super) fn adopt_register(&self, id: &str, after: Position, listed: u64) {
        let register = Register::take_over(id, &self.instance, after, listed);
        let mut state = self.supervision.state();
        let writing = self.write(register);
        state.registers.insert(Arc::clone(&writing.id), writing);
    }

    fn write(&self, register: Register) -> Writing {
        let (sender, notes) = mpsc::unbounded();
        let writing = Writing {
            id: register.id().into(),
            notes: sender,
            is_full: Arc::default(),
        };
        let task = Task {
            context: self.clone(),
            id: Arc::clone(&writing.id),
            is_full: Arc::clone(&writing.is_full),
            register,
            notes,
            waiting: HashMap::new(),
            placing: HashMap::new(),
            releasing: Vec::new(),
        };
        self.spawn(task.run());
        writing
    }
}

/// The task that writes a register.
///
/// ```text
///   Writing (any number of handles) ── Note ──► Task ── steps of the `Register` ──► the store
///          ▲                                     │
///          └──────── Opened, or done ────────────┘
/// ```
///
/// One task writes, so that entries have a single order. Callers wait only until the store has failed once: a run must not be held up
/// for longer by a store that is down.
struct Task {
    context: Recorded,
    id: Arc<str>,
    is_full: Arc<AtomicBool>,
    register: Register,
    notes: mpsc::UnboundedReceiver<Note>,
    /// The callers that wait for an obligation to be stored, by run. Several may wait for one, because several readers may find
    /// its run silent at the same time.
    waiting: HashMap<String, Vec<oneshot::Sender<Opened>>>,
    /// The callers that wait for a place to be stored, by run.
    placing: HashMap<String, oneshot::Sender<()>>,
    releasing: Vec<oneshot::Sender<()>>,
}

impl Task {
    async fn run(mut self) {
        loop {
            // Takes all notes first, so that one append stores them together.
            while let Ok(note) = self.notes.try_recv() {
                self.take(note);
            }
            let now = self.now();
            self.is_full
                .store(self.register.is_full(now.mono), Ordering::Relaxed);
            let logs = self.context.logs.clone();
            match self.register.poll(now) {
                RegisterStep::Append(log, append) => {
                    let (appended, cause) = logs.append(log, append).await;
                    // The store failed. Runs that wait for their obligation start without it.
                    if appended != Appended::Yes && appended != Appended::Fenced {
                        self.no_longer_wait(cause);
                    }
                    self.register.handle_append(appended, self.now());
                }
                RegisterStep::Last(log) => {
                    let (found, cause) = logs.stored_last(&log).await;
                    if cause.is_some() {
                        self.no_longer_wait(cause);
                    }
                    self.register.handle_last(found, self.now());
                }
                RegisterStep::Read(log, after) => {
                    // Nobody waits yet: only the entries of a register that is taken over are read, before it is written.
                    self.register.handle_page(logs.page(&log, after).await.0);
                }
                RegisterStep::Noted(noted) => {
                    for opened in &noted.opened {
                        self.stands(&opened.run);
                    }
                    for placed in &noted.placed {
                        // Dropping the sender completes the wait.
                        self.placing.remove(&placed.run);
                    }
                }
                RegisterStep::Inherited { open, writers } => {
                    self.context.inherit(&self.id, open, &writers);
                }
                RegisterStep::Wait { until } => self.wait(until, now).await,
                RegisterStep::Over(end) => return self.over(end),
                // There are no other steps.
                _ => return self.over(RegisterEnd::Failed),
            }
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: self.context.client.relay().runtime.now(),
            wall: SystemTime::now(),
        }
    }

    /// Waits for the next note, at most until `until`.
    async fn wait(&mut self, until: Option<std::time::Instant>, now: Now) {
        let note = match until {
            None => self.notes.next().await,
            Some(until) => {
                let left = until.saturating_duration_since(now.mono);
                let runtime = &self.context.client.relay().runtime;
                match within(runtime, left, self.notes.next()).await {
                    Some(note) => note,
                    None => return,
                }
            }
        };
        match note {
            Some(note) => self.take(note),
            // All handles are gone, and so is the handler. Open obligations stay open for other instances.
            None => self.register.release(),
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Open(obligation, tell) => {
                // All of them are kept: a caller whose sender is dropped takes this task for gone, and leaves the register.
                let waiting = self.waiting.entry(obligation.run.clone());
                waiting.or_default().push(tell);
                self.register.open(obligation);
            }
            Note::Place(run, place, tell) => {
                self.placing.insert(run.clone(), tell);
                self.register.place(run, place);
            }
            Note::Close(run) => self.register.close(run),
            Note::Retire => self.register.retire(),
            Note::Release(tell) => {
                // Completed when this task ends and drops it.
                self.releasing.push(tell);
                // Retired as well, so that a register in which nothing is open ends, and no other instance has to take it over.
                self.register.retire();
                self.register.release();
            }
        }
    }

    fn stands(&mut self, run: &str) {
        for tell in self.waiting.remove(run).unwrap_or_default() {
            // Fails only if nobody waits any more. The obligation is stored all the same.
            let _ = tell.send(Opened::Stands);
        }
    }

    fn no_longer_wait(&mut self, cause: Option<Cause>) {
        let mut cause = cause;
        self.placing.clear();
        for tell in self.waiting.drain().flat_map(|(_, waiting)| waiting) {
            let _ = tell.send(Opened::Pending(cause.take()));
        }
    }

    fn over(self, end: RegisterEnd) {
        let Self { context, id, .. } = &self;
        match end {
            RegisterEnd::Closed | RegisterEnd::Released => {
                context.supervision.state().registers.remove(id);
            }
            // Another instance was quicker: this one seemed to be gone. It is responsible for the obligations from now on.
            RegisterEnd::Fenced => context.lose_register(id, true),
            RegisterEnd::Unreadable(error) => {
                context.supervision.state().registers.remove(id);
                let error = Error::not_supervised(Some(error.into()));
                context.on_error.report(&error);
            }
            _ => context.lose_register(id, false),
        }
    }
}
