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
use super::{Ended, EntryError, LastWords, LogId, Position};
use crate::runs::{RunEnd, RunRef};
use crate::threads::Usage;
use crate::ui::Chunk;

/// Records a run into its log, from the turn of the chat on or from where another instance has left it.
///
/// ```text
///   begin ─► look at the chat ─► look at its last run ─► claim ─► take the turn ─► Start ─► note the place ─► Send ─► note the start ─┐
///              │                  │ it goes on: refuse, or        │                  ▲                                               ▼
///              │                  └ look at who waits ─► claim ───┴─► WaitFor ───────┘ is it to stop? what does it carry?   look for a stop
///              │                                    (the turn is taken: a place in the line)                                         ▼
///              └ the store fails, or is not understood: without it ──────────────────────────────────────────────────────────► writing
///   take_over ─► claim ─► read all that stands below ─► Follow ──────────────────────────────────────────────────────────────────▲ ▼
///                                      ├ its place does not stand there: look for its turn ─► WaitFor, if it waits            │ Over
///                                      └ it has ended, or never began: End ─────────────────────────────────────────────────────┘
/// ```
///
/// What is read of the log is read **after** the claim: from then on nobody else adds to it. Clocks decide when somebody claims, and
/// never who wins.
///
/// A turn is started once. Before its messages are sent, its place is written: whoever takes over and finds the place follows the run,
/// and never sends. Who finds none starts a turn that waits, since whoever waited before can no longer write its place and so sends nothing;
/// of a turn that did not wait nobody knows, as where the store fails it starts all the same: that one is lost.
///
/// Whoever drives it does what [`poll`](Self::poll) says and tells it what came of it.
#[derive(Debug)]
pub struct Recorder {
    recording: Recording,
    /// The log of the run.
    log: LogId,
    limits: Arc<Limits>,
    phase: Phase,
    /// The place in the line of a turn that waits, or did.
    queued: Option<Box<Queued>>,
    /// Where the run takes place, once it may exist.
    place: Option<RunRef>,
    words: LastWords,
    unreadable: Option<EntryError>,
    /// What is asked for before anything else.
    asks: VecDeque<RecorderStep>,
    /// Whether the log is to be let go as soon as that can be: not while nobody knows whether the run has started.
    wants_release: bool,
    /// What the run used, and the runtime's word for its end.
    came_to: Option<Box<(Usage, Option<String>)>>,
}

/// How often what others rely on is asked again where the store does not respond.
const AGAIN: u32 = 3;

/// What a browser reads of a run that nobody knows to have started.
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
            words: LastWords::default(),
            unreadable: None,
            asks: [ask].into(),
            wants_release: false,
            came_to: None,
        }
    }

    /// Returns which run is recorded, and by whom.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Returns the log of the run.
    #[must_use]
    pub fn log(&self) -> &LogId {
        &self.log
    }

    /// Returns whether the store was given up: what comes from now on is delivered to the readers of this instance only, and is not
    /// replayed elsewhere. A turn that waits does not go on without the store, but ends with [`RecorderEnd::Gone`].
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.phase.writer().is_some_and(Writer::is_alone) && !self.may_be_started_by_others()
    }

    /// Whether the turn has waited and was not sent yet: whoever takes over starts it.
    fn may_be_started_by_others(&self) -> bool {
        let is_before_sending = matches!(
            self.phase,
            Phase::Waiting { .. }
                | Phase::Passing { .. }
                | Phase::Starting { .. }
                | Phase::NotingPlace { .. }
        );
        is_before_sending && self.queued.is_some()
    }

    /// Returns what of the store could not be read, where that is why it was given up.
    #[must_use]
    pub fn unreadable(&self) -> Option<&EntryError> {
        self.unreadable.as_ref()
    }

    /// Returns whether more of the run should be read now. Otherwise too much waits for the store.
    #[must_use]
    pub fn wants_chunks(&self) -> bool {
        matches!(&self.phase, Phase::Writing { writer } if !writer.is_full())
    }

    /// Returns where the run takes place, once it may exist.
    #[must_use]
    pub fn place(&self) -> Option<&RunRef> {
        self.place.as_ref()
    }

    /// Returns whether the turn waits for another: for as long, whoever drives this [waits](RecorderStep::WaitFor) for it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(&self.phase, Phase::Waiting { .. })
    }

    /// What to do next.
    pub fn poll(&mut self, now: Instant) -> RecorderStep {
        if let Some(ask) = self.asks.pop_front() {
            if self.asks.is_empty() {
                // Most is asked before the run starts, and its room would be held as long as the run is read.
                self.asks = VecDeque::new();
            }
            return ask;
        }
        if self.wants_release
            && !self.phase.is_starting()
            && let Some(writer) = self.phase.writer_mut().filter(|writer| !writer.is_alone())
        {
            writer.release();
            self.wants_release = false;
        }
        // While the run waits or is being started, too: its log shows that somebody is there.
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

    /// What this instance has written stands in the log, or the store was given up.
    fn delivered(&mut self, mark: Mark, now: Instant) {
        self.phase = match (self.take_phase(), mark) {
            // Others may start it: so this instance does not, and whoever reads it waits for them.
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
            // Whoever slept meanwhile may have been taken over. The beat that is due then tells, if the store does.
            (Phase::NotingPlace { mut writer }, _)
                if writer.is_alone() && writer.may_be_taken_over(now) =>
            {
                self.end_in(&mut writer, &RunEnd::Failed(NEVER_STARTED.to_owned()));
                Phase::Writing { writer }
            }
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

    /// The last entry of the log that was asked for.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>) {
        self.phase = match self.take_phase() {
            Phase::LookingAtChat { claim } => self.looked_at_chat(found, claim),
            Phase::LookingAtRun { at, claim, waits } => self.looked_at_run(found, at, claim, waits),
            Phase::LookingBack {
                at,
                claim,
                line,
                open,
            } => self.looked_back(found, at, claim, line, open),
            Phase::Waiting { writer, later, .. } => match found {
                Found::Some(_) => self.stopped(writer),
                Found::Nothing | Found::Unavailable => waiting(writer, later),
            },
            Phase::Passing { writer, passing } => self.passed(found, writer, passing),
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

    /// What came of an append.
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

    /// What stands above the position that was asked for.
    pub fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>) {
        self.phase = match self.take_phase() {
            Phase::LookingBack {
                at,
                claim,
                line,
                open,
            } => self.read_line(found, at, claim, line, open),
            Phase::Passing { writer, passing } => self.passing_read(found, writer, passing),
            Phase::Inheriting {
                claim,
                inheritance,
                again,
            } => self.inherited(found, claim, inheritance, again),
            Phase::FindingTurn { writer, line } => self.finding_turn(found, writer, line),
            phase => phase,
        };
    }

    /// The run that this one [waits for](RecorderStep::WaitFor) is over, or its log has vanished.
    pub fn handle_over(&mut self) {
        self.phase = match self.take_phase() {
            Phase::Waiting {
                writer, is_looking, ..
            } => self.its_turn(writer, is_looking),
            phase => phase,
        };
    }

    /// The run has its place: its sandbox and its thread exist.
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

    /// The run has started.
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

    /// The run was not started, or nobody knows whether it was. How it has ended is said in the stream, too.
    pub fn handle_not_started(&mut self, end: &RunEnd) {
        self.end(end);
        self.phase = match self.take_phase() {
            Phase::Starting { writer } | Phase::Sending { writer } => Phase::Writing { writer },
            phase => phase,
        };
    }

    /// Records the next chunk of the run.
    pub fn push(&mut self, chunk: &Chunk<'_>) {
        self.words.saw(chunk);
        if let Some(writer) = self.phase.writer_mut() {
            writer.push(chunk);
        }
    }

    /// Sets what [the end](Self::end) says beside how the run has ended: what it used, and the runtime's word.
    pub fn came_to(&mut self, usage: Usage, result_subtype: Option<String>) {
        self.came_to = Some(Box::new((usage, result_subtype)));
    }

    /// Records that the run is over, and how: with what is left to [say](LastWords) in the stream. What is pushed later is not recorded.
    pub fn end(&mut self, end: &RunEnd) {
        let mut phase = self.take_phase();
        if let Some(writer) = phase.writer_mut() {
            self.end_in(writer, end);
        }
        self.phase = phase;
    }

    fn end_in(&self, writer: &mut Writer, end: &RunEnd) {
        for word in &self.words.of(Some(end)) {
            writer.push(word);
        }
        let (usage, result_subtype) = self.came_to.as_deref().cloned().unwrap_or_default();
        let ended = Ended::of(end).at(self.place.clone());
        writer.end(ended.came_to(usage, result_subtype));
    }

    /// Lets the log go when what was pushed stands there, so that another instance can go on at once: of a run that is being started,
    /// when it has. Where the [store was given up](Self::is_alone) nobody could, and the run is recorded to its end.
    pub fn release(&mut self) {
        self.wants_release = true;
    }

    fn take_phase(&mut self) -> Phase {
        std::mem::replace(&mut self.phase, Phase::Over(RecorderEnd::Gone))
    }

    fn ask(&mut self, step: RecorderStep) {
        self.asks.push_back(step);
    }

    fn chat(&self) -> LogId {
        LogId::chat(&self.recording.owner, &self.recording.chat)
    }

    /// The start of the run stands in the log: whoever asks for a stop from now on sees it, and who has asked before is found now.
    fn looking_for_stop(&mut self, writer: Box<Writer>) -> Phase {
        self.ask(RecorderStep::Last(LogId::stop(&self.recording.run)));
        let again = match writer.is_alone() {
            // Nobody else knows of it, and its reader waits.
            true => 0,
            false => AGAIN,
        };
        Phase::LookingForStop { writer, again }
    }
}
