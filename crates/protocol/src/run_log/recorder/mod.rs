mod phase;
mod recording;
mod step;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use self::phase::Phase;
pub use self::recording::Recording;
pub use self::step::{Found, RecorderEnd, RecorderStep};
use super::inheritance::Inheritance;
use super::late_turn::turn;
use super::writer::{Append, Appended, Limits, Writer, WriterEnd, WriterStep};
use super::{Ended, Entry, EntryError, Keep, LastWords, LogId, Logged, Position};
use crate::runs::{RunEnd, RunRef};
use crate::ui::Chunk;

/// Records a run into its log, from the turn of the chat on or from where another instance has left it.
///
/// ```text
///   begin ─► look at the chat ─► look at its last run ─► claim ─► take the turn ─► Start ─► look for a stop ─┐
///              │ the store fails, or is not understood: without it                                          ▼
///              └───────────────────────────────────────────────────────────────────────────────────────► writing
///   take_over ─► claim ─► read all that stands below ─► Follow ───────────────────────────────────────────▲
///                                      └ it has ended, or never began: End                                 ▼
///                                                                                                        Over
/// ```
///
/// What is read of the log is read **after** the claim: from then on nobody else adds to it. Clocks decide when somebody claims, and
/// never who wins.
///
/// Whoever drives it does what [`poll`](Self::poll) says and tells it what came of it. It never asks for a second start of a run.
#[derive(Debug)]
pub struct Recorder {
    recording: Recording,
    limits: Limits,
    phase: Phase,
    words: LastWords,
    unreadable: Option<EntryError>,
    /// What is asked for before anything else.
    asks: VecDeque<RecorderStep>,
    /// Whether the log is to be let go as soon as that can be: not while nobody knows whether the run has started.
    wants_release: bool,
}

/// How often what others rely on is asked again where the store does not respond.
const AGAIN: u32 = 3;

/// What a browser reads of a run that nobody knows to have started.
const NEVER_STARTED: &str = "the server that was to start this answer is gone, try again";

impl Recorder {
    /// Records a run that is to be started: the next turn of its chat.
    #[must_use]
    pub fn begin(recording: Recording, limits: Limits) -> Self {
        let chat = LogId::chat(&recording.owner, &recording.chat);
        Self {
            recording,
            limits,
            phase: Phase::LookingAtChat,
            words: LastWords::default(),
            unreadable: None,
            asks: [RecorderStep::Last(chat)].into(),
            wants_release: false,
        }
    }

    /// Goes on with a run that another instance has recorded up to this position or further.
    #[must_use]
    pub fn take_over(recording: Recording, after: Position, limits: Limits) -> Self {
        let claim = Append {
            at: after.next_claim(),
            entry: recording.claim(),
            keep: Keep::existing(limits.live_ttl),
        };
        let log = LogId::run(&recording.run);
        Self {
            recording,
            limits,
            asks: [RecorderStep::Append(log, claim.clone())].into(),
            phase: Phase::TakingOver { claim },
            words: LastWords::default(),
            unreadable: None,
            wants_release: false,
        }
    }

    /// Returns which run is recorded, and by whom.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Returns whether the store was given up: what comes from now on is delivered to the readers of this instance only, and is not
    /// replayed elsewhere.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.phase.writer().is_some_and(Writer::is_alone)
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
            && !matches!(self.phase, Phase::Starting { .. })
            && let Some(writer) = self.phase.writer_mut().filter(|writer| !writer.is_alone())
        {
            writer.release();
            self.wants_release = false;
        }
        // While the run is being started, too: its log shows that somebody is there.
        let (Phase::Starting { writer } | Phase::Noting { writer, .. } | Phase::Writing { writer }) =
            &mut self.phase
        else {
            return match &self.phase {
                Phase::Over(end) => RecorderStep::Over(end.clone()),
                _ => RecorderStep::Wait { until: None },
            };
        };
        match writer.poll(now) {
            WriterStep::Append(append) => {
                RecorderStep::Append(LogId::run(&self.recording.run), append)
            }
            WriterStep::Deliver { append, is_start } => {
                if is_start {
                    self.phase = match self.take_phase() {
                        Phase::Noting { writer, run } => self.looking_for_stop(writer, run),
                        phase => phase,
                    };
                }
                RecorderStep::Deliver(append)
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

    /// The last entry of the log that was asked for.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>) {
        match self.take_phase() {
            Phase::LookingAtChat => match found {
                Found::Some((at, entry)) => match Logged::decode(&entry) {
                    Ok(Logged {
                        entry: Entry::Turn(turn),
                        ..
                    }) => {
                        self.ask(RecorderStep::Last(LogId::run(&turn.run)));
                        self.phase = Phase::LookingAtRun {
                            turn: at.next_claim(),
                        };
                    }
                    Ok(_) => self.alone_because(EntryError::Corrupt("it is not a turn")),
                    Err(error) => self.alone_because(error),
                },
                Found::Nothing => self.claim(Position::START.next_claim()),
                Found::Unavailable => self.alone(),
            },
            Phase::LookingAtRun { turn } => match found {
                Found::Some((_, entry)) => match Logged::decode(&entry) {
                    Ok(logged) if matches!(logged.entry, Entry::End(_)) => self.claim(turn),
                    Ok(_) => self.phase = Phase::Over(RecorderEnd::Busy),
                    Err(error) => self.alone_because(error),
                },
                Found::Nothing => self.claim(turn),
                Found::Unavailable => self.alone(),
            },
            Phase::LookingForStop { writer, run, again } => match found {
                Found::Unavailable if again > 0 => {
                    let again = again - 1;
                    self.ask(RecorderStep::Last(LogId::stop(&self.recording.run)));
                    self.phase = Phase::LookingForStop { writer, run, again };
                }
                found => {
                    if matches!(found, Found::Some(_)) {
                        self.ask(RecorderStep::Cancel(run));
                    }
                    self.phase = Phase::Writing { writer };
                }
            },
            phase => self.phase = phase,
        }
    }

    /// What came of an append.
    pub fn handle_append(&mut self, appended: Appended, now: Instant) {
        match self.take_phase() {
            Phase::Claiming { turn, claim } => match appended {
                Appended::Yes => self.take_turn(turn, claim),
                Appended::Fenced => self.phase = Phase::Over(RecorderEnd::Busy),
                Appended::Missing | Appended::Full | Appended::Unavailable => self.alone(),
            },
            Phase::TakingTurn {
                append,
                claim,
                again,
            } => match appended {
                Appended::Yes => {
                    let writer = Writer::behind(claim.at, 0, 0, self.limits);
                    self.ask(RecorderStep::Deliver(claim));
                    self.start(writer);
                }
                Appended::Fenced => self.phase = Phase::Over(RecorderEnd::Busy),
                // It may be taken: others would wait for this run.
                Appended::Unavailable if again > 0 => {
                    let again = again - 1;
                    self.ask(RecorderStep::Append(self.chat(), append.clone()));
                    self.phase = Phase::TakingTurn {
                        append,
                        claim,
                        again,
                    };
                }
                Appended::Missing | Appended::Full | Appended::Unavailable => self.alone(),
            },
            Phase::TakingOver { claim } => {
                self.phase = match appended {
                    Appended::Yes => {
                        let log = LogId::run(&self.recording.run);
                        self.ask(RecorderStep::Read(log, Position::START));
                        Phase::Inheriting {
                            claim,
                            inheritance: Inheritance::default(),
                            again: AGAIN,
                        }
                    }
                    Appended::Fenced => Phase::Over(RecorderEnd::Fenced),
                    // A claim that stands all the same is of an epoch in which nobody writes: the next is above it.
                    Appended::Missing | Appended::Full | Appended::Unavailable => {
                        Phase::Over(RecorderEnd::Gone)
                    }
                };
            }
            mut phase => {
                if let Phase::Starting { writer }
                | Phase::Noting { writer, .. }
                | Phase::Writing { writer } = &mut phase
                {
                    writer.handle_append(appended, now);
                }
                self.phase = phase;
            }
        }
    }

    /// What stands above the position that was asked for.
    pub fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>) {
        let (claim, mut inheritance, again) = match self.take_phase() {
            Phase::Inheriting {
                claim,
                inheritance,
                again,
            } => (claim, inheritance, again),
            phase => {
                self.phase = phase;
                return;
            }
        };
        let log = LogId::run(&self.recording.run);
        let entries = match found {
            Found::Some(entries) if !entries.is_empty() => entries,
            // Who gives up here leaves a claim behind, and with it more to read for whoever comes next.
            Found::Unavailable if again > 0 => {
                self.ask(RecorderStep::Read(log, inheritance.at()));
                self.phase = Phase::Inheriting {
                    claim,
                    inheritance,
                    again: again - 1,
                };
                return;
            }
            _ => {
                self.phase = Phase::Over(RecorderEnd::Gone);
                return;
            }
        };
        for (at, entry) in entries {
            if let Err(error) = inheritance.read(at, &entry) {
                return self.over_with(error);
            }
            self.ask(RecorderStep::Deliver(Append {
                at,
                entry,
                keep: claim.keep.or_create(),
            }));
        }
        if inheritance.at() < claim.at {
            self.ask(RecorderStep::Read(log, inheritance.at()));
            self.phase = Phase::Inheriting {
                claim,
                inheritance,
                again: AGAIN,
            };
            return;
        }
        if inheritance.at() != claim.at {
            // The claim is an old one of this instance's, which counts as appended again: others stand above it.
            self.phase = Phase::Over(RecorderEnd::Fenced);
            return;
        }
        let mut writer = Box::new(inheritance.writer(self.limits));
        inheritance
            .chunks
            .iter()
            .for_each(|chunk| self.words.saw(chunk));
        match (inheritance.ended, inheritance.run) {
            // Again, so that it is the last entry.
            (Some(ended), _) => writer.end(ended),
            // Whether it was started is not known. It is not started again.
            (None, None) => {
                let end = RunEnd::Failed(NEVER_STARTED.to_owned());
                for word in self.words.of(Some(&end)) {
                    writer.push(&word);
                }
                writer.end(Ended::new("lost"));
            }
            (None, Some(run)) => {
                self.ask(RecorderStep::Follow(run.clone(), inheritance.chunks));
                // Whoever has started it may not have come to look.
                self.phase = self.looking_for_stop(writer, run);
                return;
            }
        }
        self.phase = Phase::Writing { writer };
    }

    /// The run has started.
    pub fn handle_started(&mut self, run: RunRef) {
        self.phase = match self.take_phase() {
            Phase::Starting { mut writer } => {
                writer.started(run.clone());
                Phase::Noting { writer, run }
            }
            phase => phase,
        };
    }

    /// The run was not started, or nobody knows whether it was. How it has ended is said in the stream, too.
    pub fn handle_not_started(&mut self, end: &RunEnd) {
        self.end(end);
        self.phase = match self.take_phase() {
            Phase::Starting { writer } => Phase::Writing { writer },
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

    /// Records that the run is over, and how: with what is left to [say](LastWords) in the stream. What is pushed later is not recorded.
    pub fn end(&mut self, end: &RunEnd) {
        let words = self.words.of(Some(end));
        if let Some(writer) = self.phase.writer_mut() {
            for word in &words {
                writer.push(word);
            }
            writer.end(Ended::of(end));
        }
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

    fn over_with(&mut self, error: EntryError) {
        self.phase = Phase::Over(RecorderEnd::Unreadable(error));
    }

    fn chat(&self) -> LogId {
        LogId::chat(&self.recording.owner, &self.recording.chat)
    }

    fn first_claim(&self) -> Append {
        Append {
            at: Position::START.next_claim(),
            entry: self.recording.claim(),
            keep: Keep::existing(self.limits.live_ttl).or_create(),
        }
    }

    fn claim(&mut self, turn: Position) {
        let claim = self.first_claim();
        let log = LogId::run(&self.recording.run);
        self.ask(RecorderStep::Append(log, claim.clone()));
        self.phase = Phase::Claiming { turn, claim };
    }

    fn take_turn(&mut self, at: Position, claim: Append) {
        let append = turn(&self.recording.run, at);
        self.ask(RecorderStep::Append(self.chat(), append.clone()));
        self.phase = Phase::TakingTurn {
            append,
            claim,
            again: AGAIN,
        };
    }

    /// Goes on without the store, which has something that cannot be read, as when a newer version has written it: whether the chat is
    /// answering is for the relay to say.
    fn alone_because(&mut self, error: EntryError) {
        self.unreadable = Some(error);
        self.alone();
    }

    /// Goes on without the store.
    fn alone(&mut self) {
        let claim = self.first_claim();
        let writer = Writer::behind(claim.at, 0, 0, self.limits).without_store();
        self.ask(RecorderStep::Deliver(claim));
        self.start(writer);
    }

    fn start(&mut self, writer: Writer) {
        self.ask(RecorderStep::Start);
        self.phase = Phase::Starting {
            writer: Box::new(writer),
        };
    }

    /// The start of the run stands in the log: whoever asks for a stop from now on sees it, and who has asked before is found now.
    fn looking_for_stop(&mut self, writer: Box<Writer>, run: RunRef) -> Phase {
        self.ask(RecorderStep::Last(LogId::stop(&self.recording.run)));
        let again = match writer.is_alone() {
            // Nobody else knows of it, and its reader waits.
            true => 0,
            false => AGAIN,
        };
        Phase::LookingForStop { writer, run, again }
    }
}
