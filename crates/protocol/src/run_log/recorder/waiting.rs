//! The queue of a chat: waiting for the previous turn, and continuing when it is over.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::json;

use super::super::backlog::{Backlog, Looked, Seen, State};
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
pub(super) struct Preparation {
    backlog: Option<Backlog>,
    /// The number of retries for the check for a stop.
    again: u32,
    /// The runs that this turn has cancelled, or a turn that it has cancelled, and that were not examined yet.
    interrupts: HashSet<String>,
    /// The requests of cancelled turns, latest first.
    carried: Vec<RawJson<'static>>,
    place: Option<RunRef>,
    /// Whether all earlier turns are known to be over.
    is_over: bool,
}

impl Preparation {
    /// Examines the next earlier turn, latest first.
    fn look_at(&mut self, seen: Seen) {
        let was_interrupted = self.interrupts.remove(&seen.turn.run);
        self.is_over |= seen.proves_earlier_over();
        match seen.state {
            State::Ended(ended) if ended.end == RunEnd::Cancelled.as_str() => {
                // A turn that a user has cancelled is not sent again. What an interrupted turn itself carried is carried on.
                if was_interrupted {
                    self.carried.extend(seen.turn.ask);
                    self.interrupts.extend(seen.turn.interrupts);
                }
                self.place = self.place.take().or(ended.run);
            }
            // This turn was answered together with all that it carried, so nothing from before it is sent again.
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
    pub(super) fn wait_in_queue(&mut self, mut writer: Box<Writer>, taking: Taking) -> Phase {
        // The number of turns ahead, for the browser.
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
        // The runs that give way are stopped before this turn waits for them.
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

    /// Continues when the turn has come. `is_looking` says whether a check for a stop is under way already.
    pub(super) fn its_turn(&mut self, writer: Box<Writer>, is_looking: bool) -> Phase {
        // A stop that was requested while the turn waited counts before anything is sent.
        if !is_looking {
            self.ask(RecorderStep::Last(LogId::stop(&self.recording.run)));
        }
        // The runs that gave way are looked for again, since their requests are carried along.
        let interrupts = self
            .queued
            .iter()
            .flat_map(|queued| &queued.interrupts)
            .cloned();
        let preparation = Box::new(Preparation {
            backlog: None,
            again: AGAIN,
            interrupts: interrupts.collect(),
            carried: Vec::new(),
            place: None,
            is_over: false,
        });
        Phase::Preparing {
            writer,
            preparation,
        }
    }

    /// Handles the last entry of the log of stops, and then those of the earlier runs.
    pub(super) fn preparing_last(
        &mut self,
        found: Found<(Position, Bytes)>,
        writer: Box<Writer>,
        mut preparation: Box<Preparation>,
    ) -> Phase {
        let Some(backlog) = &mut preparation.backlog else {
            return match (found, &self.queued) {
                (Found::Some(_), _) => self.stopped(writer),
                (Found::Unavailable, _) if preparation.again > 0 => {
                    preparation.again -= 1;
                    self.ask(RecorderStep::Last(LogId::stop(&self.recording.run)));
                    Phase::Preparing {
                        writer,
                        preparation,
                    }
                }
                (_, Some(queued)) => {
                    let (backlog, step) = Backlog::below(self.chat(), queued.at);
                    self.ask(step);
                    preparation.backlog = Some(backlog);
                    Phase::Preparing {
                        writer,
                        preparation,
                    }
                }
                (_, None) => self.start_with(writer, preparation),
            };
        };
        match backlog.handle_last(found) {
            Looked::Ask(step) => {
                self.ask(step);
                Phase::Preparing {
                    writer,
                    preparation,
                }
            }
            // The run that it waited for was stopped while it waited itself, so an earlier one still goes on.
            Looked::Turn(seen) if seen.state == State::Open => {
                let run = seen.turn.run;
                // The same run again: its end was reported and is not in the store yet. Asking at once would ask in a circle.
                let known = self.queued.as_mut().map(|queued| &mut queued.before);
                let is_again =
                    known.is_none_or(|known| known.replace(run.clone()) == Some(run.clone()));
                if !is_again {
                    self.ask(RecorderStep::WaitFor(run));
                }
                waiting(writer, is_again)
            }
            Looked::Turn(seen) => {
                preparation.look_at(seen);
                self.prepare_next(writer, preparation)
            }
            Looked::Failed(error) => self.look_failed(error, writer, preparation),
        }
    }

    /// Handles a failure while the earlier turns are examined. As long as it is unknown whether all of them are over, the turn
    /// keeps waiting. Carried requests and the place are optional.
    fn look_failed(
        &mut self,
        error: Option<EntryError>,
        writer: Box<Writer>,
        preparation: Box<Preparation>,
    ) -> Phase {
        match error {
            Some(error) => Phase::Over(RecorderEnd::Unreadable(error)),
            None if !preparation.is_over => waiting(writer, true),
            None => self.start_with(writer, preparation),
        }
    }

    pub(super) fn preparing_page(
        &mut self,
        found: Found<Vec<(Position, Bytes)>>,
        writer: Box<Writer>,
        mut preparation: Box<Preparation>,
    ) -> Phase {
        let looked = preparation
            .backlog
            .as_mut()
            .map(|backlog| backlog.handle_page(found));
        match looked {
            Some(None) => self.prepare_next(writer, preparation),
            Some(Some(Looked::Ask(step))) => {
                self.ask(step);
                Phase::Preparing {
                    writer,
                    preparation,
                }
            }
            Some(Some(Looked::Failed(error))) => self.look_failed(error, writer, preparation),
            _ => self.look_failed(None, writer, preparation),
        }
    }

    fn prepare_next(&mut self, writer: Box<Writer>, preparation: Box<Preparation>) -> Phase {
        let is_known =
            preparation.is_over && preparation.place.is_some() && preparation.interrupts.is_empty();
        // Earlier turns are examined only until nothing more can be learned from them.
        let step = preparation.backlog.as_ref().and_then(Backlog::next);
        match step.filter(|_| !is_known) {
            Some(step) => {
                self.ask(step);
                Phase::Preparing {
                    writer,
                    preparation,
                }
            }
            None => self.start_with(writer, preparation),
        }
    }

    fn start_with(&mut self, writer: Box<Writer>, preparation: Box<Preparation>) -> Phase {
        let Preparation {
            place, mut carried, ..
        } = *preparation;
        // They were found latest first, and are sent oldest first.
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
