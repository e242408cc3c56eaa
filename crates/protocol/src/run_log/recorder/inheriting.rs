//! Continues a run that another instance has recorded.

use std::sync::Arc;

use bytes::Bytes;

use super::super::backlog::{Backlog, Looked};
use super::super::inheritance::Inheritance;
use super::super::writer::{Append, Appended, Limits, Writer};
use super::super::{Ended, EntryError, Found, Keep, LogId, Position, RecorderStep};
use super::phase::Phase;
use super::waiting::{Queued, answer};
use super::{AGAIN, NEVER_STARTED, Recorder, RecorderEnd, Recording};
use crate::runs::RunEnd;

impl Recorder {
    /// Creates the recorder of a run that another instance has recorded up to this position or further.
    #[must_use]
    pub fn take_over(
        recording: Recording,
        after: Position,
        limits: impl Into<Arc<Limits>>,
    ) -> Self {
        let limits = limits.into();
        let claim = Append {
            at: after.next_claim(),
            entry: recording.claim(),
            keep: Keep::existing(limits.live_ttl),
        };
        let step = RecorderStep::Append(LogId::run(&recording.run), claim.clone());
        Self::new(recording, limits, Phase::TakingOver { claim }, step)
    }

    pub(super) fn took_over(&mut self, appended: Appended, claim: Append) -> Phase {
        match appended {
            Appended::Yes => {
                self.ask(RecorderStep::Read(self.log.clone(), Position::START));
                Phase::Inheriting {
                    claim,
                    inheritance: Box::default(),
                    again: AGAIN,
                }
            }
            Appended::Fenced => Phase::Over(RecorderEnd::Fenced),
            // If the claim is in the log after all, it does no harm: nobody writes in its epoch, and the next claim is above it.
            Appended::Missing | Appended::Full | Appended::Unavailable => {
                Phase::Over(RecorderEnd::Gone)
            }
        }
    }

    pub(super) fn inherited(
        &mut self,
        found: Found<Vec<(Position, Bytes)>>,
        claim: Append,
        mut inheritance: Box<Inheritance>,
        again: u32,
    ) -> Phase {
        let log = self.log.clone();
        let entries = match found {
            Found::Some(entries) if !entries.is_empty() => entries,
            // Giving up would leave a claim without a writer, and the log silent until the next instance takes over.
            Found::Unavailable if again > 0 => {
                self.ask(RecorderStep::Read(log, inheritance.at()));
                return Phase::Inheriting {
                    claim,
                    inheritance,
                    again: again - 1,
                };
            }
            _ => return Phase::Over(RecorderEnd::Gone),
        };
        for (at, entry) in entries {
            if let Err(error) = inheritance.read(at, &entry) {
                return unreadable(error);
            }
            // The readers of this instance get these entries too, since it serves the log from now on.
            self.ask(RecorderStep::Deliver(Append {
                at,
                entry,
                keep: claim.keep.or_create(),
            }));
        }
        if inheritance.at() < claim.at {
            self.ask(RecorderStep::Read(log, inheritance.at()));
            return Phase::Inheriting {
                claim,
                inheritance,
                again: AGAIN,
            };
        }
        if inheritance.at() != claim.at {
            // The store accepted the claim as a repetition: this instance had claimed here before, and others are above it.
            return Phase::Over(RecorderEnd::Fenced);
        }
        self.inherit(*inheritance)
    }

    fn inherit(&mut self, inheritance: Inheritance) -> Phase {
        let mut writer = Box::new(inheritance.writer(Arc::clone(&self.limits)));
        let chunks = inheritance.chunks.iter();
        chunks.for_each(|chunk| self.final_chunks.observe(chunk));
        self.place.clone_from(&inheritance.run);
        match (inheritance.ended, inheritance.run) {
            // The end is written again after our claim, since those who take turns read only the last entry.
            (Some(ended), _) => {
                writer.end(ended);
                Phase::Writing { writer }
            }
            // No place is in the log. If the turn waits, it was certainly not sent and can be started here.
            (None, None) => {
                let (backlog, step) = Backlog::whole(self.chat());
                self.ask(step);
                let backlog = Box::new(backlog);
                Phase::FindingTurn { writer, backlog }
            }
            (None, Some(run)) => {
                let chunks = answer(inheritance.chunks);
                self.ask(RecorderStep::Follow(run, chunks));
                // The instance that started the run may not have checked for a stop.
                self.looking_for_stop(writer)
            }
        }
    }

    pub(super) fn finding_turn(
        &mut self,
        found: Found<Vec<(Position, Bytes)>>,
        writer: Box<Writer>,
        mut backlog: Box<Backlog>,
    ) -> Phase {
        match backlog.handle_page(found) {
            None => {}
            Some(Looked::Ask(step)) => {
                self.ask(step);
                return Phase::FindingTurn { writer, backlog };
            }
            Some(Looked::Failed(Some(error))) => return unreadable(error),
            Some(_) => return Phase::Over(RecorderEnd::Gone),
        }
        let turns = backlog.turns();
        let is_it = |(_, turn): &&(Position, super::super::Turn)| turn.run == self.recording.run;
        let mut below = turns.iter().rev().skip_while(|entry| !is_it(entry));
        match below.next() {
            // Without its request, nobody can start it.
            Some((at, turn)) if turn.waits && turn.ask.is_some() => {
                let queued = Queued {
                    at: *at,
                    before: below.next().map(|(_, turn)| turn.run.clone()),
                    interrupts: turn.interrupts.clone(),
                };
                self.recording.ask.clone_from(&turn.ask);
                self.wait_behind(writer, queued)
            }
            _ => self.lost_at_start(writer),
        }
    }

    /// Ends a run that may or may not have been started. It is never started a second time.
    fn lost_at_start(&mut self, mut writer: Box<Writer>) -> Phase {
        let end = RunEnd::Failed(NEVER_STARTED.to_owned());
        for chunk in self.final_chunks.missing(Some(&end)) {
            writer.push(&chunk);
        }
        writer.end(Ended::new("lost"));
        Phase::Writing { writer }
    }
}

fn unreadable(error: EntryError) -> Phase {
    Phase::Over(RecorderEnd::Unreadable(error))
}
