mod beginning;
mod inheriting;
mod phase;
mod recording;
mod step;
mod waiting;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use self::phase::Phase;
pub use self::recording::Recording;
pub use self::step::{Found, RecorderEnd, RecorderStep};
use self::waiting::{Queued, waiting};
use super::writer::{Appended, Limits, Mark, Writer, WriterEnd, WriterStep};
use super::{Ended, EntryError, FinalChunks, LogId, Position};
use crate::runs::{RunEnd, RunRef};
use crate::threads::Usage;
use crate::ui::Chunk;

/// The recorder of a run's log, from the turn of the chat on or from where another instance has left it.
///
/// ```text
///   begin ─► look at the chat ─► look at its last run ─► claim ─► take the turn ─► Start ─► note the place ─► Send ─► note the start ─┐
///              │                  │ it goes on: refuse, or        │                  ▲                                               ▼
///              │                  └ look at who waits ─► claim ───┴─► WaitFor ───────┘ is it to stop? what does it carry?   look for a stop
///              │                                    (the turn is taken: a place in the queue)                                        ▼
///              └ the store fails, or is unreadable: without it ──────────────────────────────────────────────────────────────► writing
///   take_over ─► claim ─► read all entries below ─────► Follow ──────────────────────────────────────────────────────────────────▲ ▼
///                                      ├ its place is not in the log: look for its turn ────► WaitFor, if it waits            │ Over
///                                      └ it has ended, or never began: End ─────────────────────────────────────────────────────┘
/// ```
///
/// The log is read **after** the claim, because from then on nobody else appends to it. Clocks decide when an instance claims,
/// never which one wins.
///
/// A turn is started once. Its place is written before its messages are sent. An instance that takes over and finds the place
/// follows the run and never sends. If it finds none, it starts a turn that waits: the previous recorder is fenced, cannot write
/// the place any more, and so sends nothing. A turn that did not wait is different, since its recorder starts it even if the
/// store fails: it is lost, because nobody knows if it was started.
///
/// A driver executes the step that [`poll`](Self::poll) returns and reports its result.
#[derive(Debug)]
pub struct Recorder {
    recording: Recording,
    /// The log of the run.
    log: LogId,
    limits: Arc<Limits>,
    phase: Phase,
    /// The place in the queue, for a turn that waits or waited.
    queued: Option<Box<Queued>>,
    /// The place of the run, once it may exist.
    place: Option<RunRef>,
    final_chunks: FinalChunks,
    unreadable: Option<EntryError>,
    /// The steps to return before the writer is polled.
    asks: VecDeque<RecorderStep>,
    /// Whether to release the log as soon as possible: not while it is unknown whether the run has started.
    wants_release: bool,
    /// The usage of the run and the runtime's word for its result.
    result: Option<Box<(Usage, Option<String>)>>,
}

/// The number of retries if the store does not respond, for queries that others depend on.
const AGAIN: u32 = 3;

/// The error that a browser shows if it is unknown whether the run started.
const NEVER_STARTED: &str = "the server that was to start this answer is gone, try again";

impl Recorder {
    fn new(recording: Recording, limits: Arc<Limits>, phase: Phase, ask: RecorderStep) -> Self {
        Self {
            log: LogId::run(&recording.run),
            recording,
            limits,
            phase,
            queued: None,
            place: None,
            final_chunks: FinalChunks::default(),
            unreadable: None,
            asks: [ask].into(),
            wants_release: false,
            result: None,
        }
    }

    /// Returns the run that is recorded, and its recorder.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Returns the log of the run.
    #[must_use]
    pub fn log(&self) -> &LogId {
        &self.log
    }

    /// Returns whether the store was given up. Then new chunks are delivered only to the readers of this instance, and cannot be
    /// replayed elsewhere. A turn that waits does not continue without the store, but ends with [`RecorderEnd::Gone`].
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.phase.writer().is_some_and(Writer::is_alone) && !self.may_be_started_by_others()
    }

    /// Returns whether the turn waited and its messages were not sent yet. Then an instance that takes over starts it.
    fn may_be_started_by_others(&self) -> bool {
        let is_before_sending = matches!(
            self.phase,
            Phase::Waiting { .. }
                | Phase::Preparing { .. }
                | Phase::Starting { .. }
                | Phase::NotingPlace { .. }
        );
        is_before_sending && self.queued.is_some()
    }

    /// Returns the error if the store was given up because an entry could not be read.
    #[must_use]
    pub fn unreadable(&self) -> Option<&EntryError> {
        self.unreadable.as_ref()
    }

    /// Returns whether more of the run should be read now. If not, too much waits for the store.
    #[must_use]
    pub fn wants_chunks(&self) -> bool {
        matches!(&self.phase, Phase::Writing { writer } if !writer.is_full())
    }

    /// Returns the place of the run, once it may exist.
    #[must_use]
    pub fn place(&self) -> Option<&RunRef> {
        self.place.as_ref()
    }

    /// Returns whether the turn waits for another. For as long, the driver [waits](RecorderStep::WaitFor) for that one.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(&self.phase, Phase::Waiting { .. })
    }

    /// Returns the next step.
    pub fn poll(&mut self, now: Instant) -> RecorderStep {
        if let Some(ask) = self.asks.pop_front() {
            if self.asks.is_empty() {
                // Most steps come before the run starts, so the queue's memory is freed for the time in which the run is read.
                self.asks = VecDeque::new();
            }
            return ask;
        }
        // While the run is being started, a successor could not tell whether it has, and must not start it again.
        if self.wants_release
            && !self.phase.is_starting()
            && let Some(writer) = self.phase.writer_mut().filter(|writer| !writer.is_alone())
        {
            writer.release();
            self.wants_release = false;
        }
        // Writes beats also while the run waits or is being started, so that its log shows a writer.
        let Some(writer) = self.phase.writing() else {
            return match &self.phase {
                Phase::Over(end) => RecorderStep::Over(end.clone()),
                _ => RecorderStep::Wait { until: None },
            };
        };
        match writer.poll(now) {
            WriterStep::Append(append) => RecorderStep::Append(self.log.clone(), append),
            WriterStep::Deliver { append, mark } => {
                self.delivered(mark, now);
                match &self.phase {
                    Phase::Over(end) => RecorderStep::Over(end.clone()),
                    _ => RecorderStep::Deliver(append),
                }
            }
            WriterStep::Wait { until } => RecorderStep::Wait { until },
            WriterStep::Over(end) => {
                let end = match end {
                    WriterEnd::Ended => RecorderEnd::Ended,
                    WriterEnd::Released => RecorderEnd::Released,
                    WriterEnd::Fenced => RecorderEnd::Fenced,
                };
                self.phase = Phase::Over(end.clone());
                RecorderStep::Over(end)
            }
        }
    }

    /// Handles an entry that is in the log now, or that was delivered after the store was given up.
    fn delivered(&mut self, mark: Mark, now: Instant) {
        self.phase = match (self.take_phase(), mark) {
            // The turn is in the store, so another instance may start it and this one must not. Its readers wait for that
            // instance.
            (
                Phase::Waiting { writer, .. }
                | Phase::Starting { writer }
                | Phase::NotingPlace { writer },
                _,
            ) if writer.is_alone() && self.queued.is_some() => Phase::Over(RecorderEnd::Gone),
            (
                Phase::Waiting {
                    writer,
                    is_looking,
                    later,
                },
                Mark::Beat,
            ) => {
                // A turn that waits can be stopped too, so each beat looks for a stop.
                if !is_looking {
                    self.ask(RecorderStep::Last(LogId::stop(&self.recording.run)));
                }
                let before = self.queued.as_ref().and_then(|it| it.before.clone());
                if let Some(before) = before.filter(|_| later) {
                    self.ask(RecorderStep::WaitFor(before));
                }
                Phase::Waiting {
                    writer,
                    is_looking: true,
                    later: false,
                }
            }
            // An instance that was suspended may have been taken over. The beat that is due shows it, if the store responds.
            (Phase::NotingPlace { mut writer }, _)
                if writer.is_alone() && writer.may_be_taken_over(now) =>
            {
                self.end_in(&mut writer, &RunEnd::Failed(NEVER_STARTED.to_owned()));
                Phase::Writing { writer }
            }
            // The place is in the log. The messages are sent only if the log is fresh: a beat that is due has to succeed before.
            (Phase::NotingPlace { writer }, Mark::Starting | Mark::Beat)
                if writer.is_alone() || !writer.wants_beat(now) =>
            {
                self.ask(RecorderStep::Send);
                Phase::Sending { writer }
            }
            (Phase::Noting { writer }, Mark::Started) => self.looking_for_stop(writer),
            (phase, _) => phase,
        };
    }

    /// Handles the last entry of the requested log.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>) {
        self.phase = match self.take_phase() {
            Phase::LookingAtChat { claim } => self.looked_at_chat(found, claim),
            Phase::LookingAtRun { at, claim, waits } => self.looked_at_run(found, at, claim, waits),
            Phase::LookingBack {
                at,
                claim,
                backlog,
                open,
            } => self.looked_back(found, at, claim, backlog, open),
            Phase::Waiting { writer, later, .. } => match found {
                // There is a stop, whoever has requested it.
                Found::Some(_) => self.stopped(writer),
                Found::Nothing | Found::Unavailable => waiting(writer, later),
            },
            Phase::Preparing {
                writer,
                preparation,
            } => self.preparing_last(found, writer, preparation),
            Phase::LookingForStop { writer, again } => match found {
                Found::Unavailable if again > 0 => {
                    let again = again - 1;
                    self.ask(RecorderStep::Last(LogId::stop(&self.recording.run)));
                    Phase::LookingForStop { writer, again }
                }
                found => {
                    let run = self.place.clone();
                    if let Some(run) = run.filter(|_| matches!(found, Found::Some(_))) {
                        self.ask(RecorderStep::Cancel(run));
                    }
                    Phase::Writing { writer }
                }
            },
            phase => phase,
        };
    }

    /// Handles the result of an append.
    pub fn handle_append(&mut self, appended: Appended, now: Instant) {
        self.phase = match self.take_phase() {
            Phase::Claiming { taking, claim } => self.claimed(appended, taking, claim),
            Phase::TakingTurn {
                taking,
                claim,
                again,
            } => self.took_turn(appended, taking, claim, again),
            Phase::TakingOver { claim } => self.took_over(appended, claim),
            mut phase => {
                if let Some(writer) = phase.writer_mut() {
                    writer.handle_append(appended, now);
                }
                phase
            }
        };
    }

    /// Handles the entries above the requested position.
    pub fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>) {
        self.phase = match self.take_phase() {
            Phase::LookingBack {
                at,
                claim,
                backlog,
                open,
            } => self.read_backlog(found, at, claim, backlog, open),
            Phase::Preparing {
                writer,
                preparation,
            } => self.preparing_page(found, writer, preparation),
            Phase::Inheriting {
                claim,
                inheritance,
                again,
            } => self.inherited(found, claim, inheritance, again),
            Phase::FindingTurn { writer, backlog } => self.finding_turn(found, writer, backlog),
            phase => phase,
        };
    }

    /// Handles the end of the run that this one [waits for](RecorderStep::WaitFor), or the loss of its log.
    pub fn handle_over(&mut self) {
        self.phase = match self.take_phase() {
            Phase::Waiting {
                writer, is_looking, ..
            } => self.its_turn(writer, is_looking),
            phase => phase,
        };
    }

    /// Handles the place of the run: its sandbox and its thread exist.
    pub fn handle_placed(&mut self, run: RunRef) {
        self.phase = match self.take_phase() {
            Phase::Starting { mut writer } => {
                writer.starting(run.clone());
                self.place = Some(run);
                Phase::NotingPlace { writer }
            }
            phase => phase,
        };
    }

    /// Handles the start of the run.
    pub fn handle_started(&mut self, run: RunRef) {
        self.phase = match self.take_phase() {
            Phase::Sending { mut writer } => {
                writer.started(run.clone());
                self.place = Some(run);
                Phase::Noting { writer }
            }
            phase => phase,
        };
    }

    /// Handles a run that was not started, or may not have been. The end is also written to the stream.
    pub fn handle_not_started(&mut self, end: &RunEnd) {
        self.end(end);
        self.phase = match self.take_phase() {
            Phase::Starting { writer } | Phase::Sending { writer } => Phase::Writing { writer },
            phase => phase,
        };
    }

    /// Records the next chunk of the run.
    pub fn push(&mut self, chunk: &Chunk<'_>) {
        self.final_chunks.observe(chunk);
        if let Some(writer) = self.phase.writer_mut() {
            writer.push(chunk);
        }
    }

    /// Sets the usage and the runtime's word for the result, which [the end](Self::end) contains.
    pub fn set_result(&mut self, usage: Usage, result_subtype: Option<String>) {
        self.result = Some(Box::new((usage, result_subtype)));
    }

    /// Records the end of the run, with the [chunks that end the stream](FinalChunks). Later chunks are not recorded.
    pub fn end(&mut self, end: &RunEnd) {
        let mut phase = self.take_phase();
        if let Some(writer) = phase.writer_mut() {
            self.end_in(writer, end);
        }
        self.phase = phase;
    }

    fn end_in(&self, writer: &mut Writer, end: &RunEnd) {
        // Before the end, so that a reader that stops there has all of them.
        for chunk in &self.final_chunks.missing(Some(end)) {
            writer.push(chunk);
        }
        let (usage, result_subtype) = self.result.as_deref().cloned().unwrap_or_default();
        let ended = Ended::of(end).at(self.place.clone());
        writer.end(ended.result(usage, result_subtype));
    }

    /// Releases the log once everything pushed is in it, so that another instance can continue at once. If the run is being
    /// started, the release waits until it has. If the [store was given up](Self::is_alone), nobody else could continue, so the
    /// run is recorded to its end.
    pub fn release(&mut self) {
        self.wants_release = true;
    }

    fn take_phase(&mut self) -> Phase {
        // Every caller puts a phase back.
        std::mem::replace(&mut self.phase, Phase::Over(RecorderEnd::Gone))
    }

    fn ask(&mut self, step: RecorderStep) {
        self.asks.push_back(step);
    }

    fn chat(&self) -> LogId {
        LogId::chat(&self.recording.owner, &self.recording.chat)
    }

    /// Checks for a stop once the start of the run is in the log: later requests to stop see the start, and earlier ones are
    /// found now.
    fn looking_for_stop(&mut self, writer: Box<Writer>) -> Phase {
        self.ask(RecorderStep::Last(LogId::stop(&self.recording.run)));
        let again = match writer.is_alone() {
            // The store was given up, and the readers wait for the run, so one query has to be enough.
            true => 0,
            false => AGAIN,
        };
        Phase::LookingForStop { writer, again }
    }
}
