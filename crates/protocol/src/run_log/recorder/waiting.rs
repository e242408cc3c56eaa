//! The queue of a chat: waiting for the previous turn, and continuing when it is over.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::json;

use super::super::line::{Line, Looked, Seen, State};
use super::super::writer::Writer;
use super::super::{EntryError, Found, LogId, Position, RecorderStep};
use super::phase::{Phase, Taking};
use super::{AGAIN, Recorder, RecorderEnd};
use crate::runs::{RunEnd, RunRef};
use crate::ui::chunk::Data;
use crate::ui::{Chunk, RawJson};

/// The place in a queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) at: Position,
    /// The run of the previous turn.
    pub(super) before: Option<String>,
    /// The runs that it cancels in order to start sooner.
    pub(super) interrupts: Vec<String>,
}

/// The facts that are collected when its turn has come.
#[derive(Debug)]
pub(super) struct Passing {
    line: Option<Line>,
    /// The number of retries for the check for a stop.
    again: u32,
    /// The runs that it or a cancelled turn has cancelled and that were not examined yet.
    interrupts: HashSet<String>,
    carried: Vec<RawJson<'static>>,
    place: Option<RunRef>,
    /// Whether all turns before it are known to be over.
    is_over: bool,
}

impl Passing {
    /// Examines the next turn before it, latest first.
    fn look_at(&mut self, seen: Seen) {
        let has_ended_it = self.interrupts.remove(&seen.turn.run);
        self.is_over |= seen.ends_line();
        match seen.state {
            State::Ended(ended) if ended.end == RunEnd::Cancelled.as_str() => {
                if has_ended_it {
                    self.carried.extend(seen.turn.ask);
                    self.interrupts.extend(seen.turn.interrupts);
                }
                self.place = self.place.take().or(ended.run);
            }
            // Its carried requests were sent with it, so they must not be sent again.
            State::Ended(ended) => {
                self.interrupts.clear();
                self.place = self.place.take().or(ended.run);
            }
            State::Gone | State::Open => self.interrupts.clear(),
        }
    }
}

/// The name of the chunk that reports that a message waits.
pub(super) const QUEUED: &str = "queued";

impl Recorder {
    pub(super) fn wait_in_line(&mut self, mut writer: Box<Writer>, taking: Taking) -> Phase {
        let position = taking.open.len();
        let queued = Data::new(QUEUED)
            .data(json!({ "position": position }))
            .transient(true);
        writer.push(&Chunk::from(queued));
        let queued = Queued {
            at: taking.at,
            before: taking.open.into_iter().next(),
            interrupts: taking.turn.interrupts,
        };
        self.wait_behind(writer, queued)
    }

    /// Waits for the previous run, if there is one.
    pub(super) fn wait_behind(&mut self, writer: Box<Writer>, queued: Queued) -> Phase {
        let before = queued.before.clone();
        for run in &queued.interrupts {
            self.asks.push_back(RecorderStep::Stop(run.clone()));
        }
        self.queued = Some(Box::new(queued));
        match before {
            Some(before) => {
                self.ask(RecorderStep::WaitFor(before));
                waiting(writer, false)
            }
            None => self.its_turn(writer, false),
        }
    }

    /// Continues when its turn has come. `is_looking` says if a check for a stop was just requested.
    pub(super) fn its_turn(&mut self, writer: Box<Writer>, is_looking: bool) -> Phase {
        if !is_looking {
            self.ask(RecorderStep::Last(LogId::stop(&self.recording.run)));
        }
        let interrupts = self
            .queued
            .iter()
            .flat_map(|queued| &queued.interrupts)
            .cloned();
        let passing = Box::new(Passing {
            line: None,
            again: AGAIN,
            interrupts: interrupts.collect(),
            carried: Vec::new(),
            place: None,
            is_over: false,
        });
        Phase::Passing { writer, passing }
    }

    /// Handles the last entry of the log of stops, and then of the earlier runs.
    pub(super) fn passed(
        &mut self,
        found: Found<(Position, Bytes)>,
        writer: Box<Writer>,
        mut passing: Box<Passing>,
    ) -> Phase {
        let Some(line) = &mut passing.line else {
            return match (found, &self.queued) {
                (Found::Some(_), _) => self.stopped(writer),
                (Found::Unavailable, _) if passing.again > 0 => {
                    passing.again -= 1;
                    self.ask(RecorderStep::Last(LogId::stop(&self.recording.run)));
                    Phase::Passing { writer, passing }
                }
                (_, Some(queued)) => {
                    let (line, step) = Line::below(self.chat(), queued.at);
                    self.ask(step);
                    passing.line = Some(line);
                    Phase::Passing { writer, passing }
                }
                (_, None) => self.start_with(writer, passing),
            };
        };
        match line.handle_last(found) {
            Looked::Ask(step) => {
                self.ask(step);
                Phase::Passing { writer, passing }
            }
            // The run that it waited for was stopped while that one was waiting itself.
            Looked::Turn(seen) if seen.state == State::Open => {
                let run = seen.turn.run;
                let known = self.queued.as_mut().map(|queued| &mut queued.before);
                let is_again =
                    known.is_none_or(|known| known.replace(run.clone()) == Some(run.clone()));
                if !is_again {
                    self.ask(RecorderStep::WaitFor(run));
                }
                waiting(writer, is_again)
            }
            Looked::Turn(seen) => {
                passing.look_at(seen);
                self.pass_on(writer, passing)
            }
            Looked::Failed(error) => self.look_failed(error, writer, passing),
        }
    }

    /// Handles a failed look back. If it is unknown whether all earlier turns are over, it keeps waiting. Carried requests and
    /// the place are optional.
    fn look_failed(
        &mut self,
        error: Option<EntryError>,
        writer: Box<Writer>,
        passing: Box<Passing>,
    ) -> Phase {
        match error {
            Some(error) => Phase::Over(RecorderEnd::Unreadable(error)),
            None if !passing.is_over => waiting(writer, true),
            None => self.start_with(writer, passing),
        }
    }

    pub(super) fn passing_read(
        &mut self,
        found: Found<Vec<(Position, Bytes)>>,
        writer: Box<Writer>,
        mut passing: Box<Passing>,
    ) -> Phase {
        let looked = passing.line.as_mut().map(|line| line.handle_page(found));
        match looked {
            Some(None) => self.pass_on(writer, passing),
            Some(Some(Looked::Ask(step))) => {
                self.ask(step);
                Phase::Passing { writer, passing }
            }
            Some(Some(Looked::Failed(error))) => self.look_failed(error, writer, passing),
            _ => self.look_failed(None, writer, passing),
        }
    }

    fn pass_on(&mut self, writer: Box<Writer>, passing: Box<Passing>) -> Phase {
        let is_known = passing.is_over && passing.place.is_some() && passing.interrupts.is_empty();
        let step = passing.line.as_ref().and_then(Line::next);
        match step.filter(|_| !is_known) {
            Some(step) => {
                self.ask(step);
                Phase::Passing { writer, passing }
            }
            None => self.start_with(writer, passing),
        }
    }

    fn start_with(&mut self, writer: Box<Writer>, passing: Box<Passing>) -> Phase {
        let Passing {
            place, mut carried, ..
        } = *passing;
        carried.reverse();
        self.ask(RecorderStep::Start { place, carried });
        Phase::Starting { writer }
    }

    /// Ends a turn that was stopped before its start.
    pub(super) fn stopped(&mut self, mut writer: Box<Writer>) -> Phase {
        self.end_in(&mut writer, &RunEnd::Cancelled);
        Phase::Writing { writer }
    }
}

/// Returns the phase of waiting. With `later`, waiting for the previous run begins with the next beat only.
pub(super) fn waiting(writer: Box<Writer>, later: bool) -> Phase {
    Phase::Waiting {
        writer,
        is_looking: false,
        later,
    }
}

/// Returns the chunks of an answer without those about waiting.
pub(super) fn answer(chunks: Vec<Chunk<'static>>) -> Vec<Chunk<'static>> {
    let is_answer = |chunk: &Chunk<'_>| !matches!(chunk, Chunk::Data(data) if data.name == QUEUED);
    chunks.into_iter().filter(is_answer).collect()
}
