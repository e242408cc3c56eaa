//! Takes the turn of a chat: at once, or as a place in its queue.

use std::sync::Arc;

use bytes::Bytes;

use super::super::backlog::{Backlog, LONGEST, Looked, State};
use super::super::writer::{Append, Appended, Limits, Writer};
use super::super::{
    Entry, EntryError, Found, Keep, LogId, Logged, Position, RecorderStep, Turn, TurnOrder,
};
use super::phase::{Phase, Taking};
use super::{AGAIN, Recorder, RecorderEnd, Recording};

impl Recorder {
    /// Creates the recorder of a run to be started: the next turn of its chat.
    #[must_use]
    pub fn begin(recording: Recording, limits: impl Into<Arc<Limits>>) -> Self {
        let chat = LogId::chat(&recording.owner, &recording.chat);
        let phase = Phase::LookingAtChat { claim: None };
        Self::new(recording, limits.into(), phase, RecorderStep::Last(chat))
    }

    pub(super) fn looked_at_chat(
        &mut self,
        found: Found<(Position, Bytes)>,
        claim: Option<Append>,
    ) -> Phase {
        match found {
            Found::Some((at, entry)) => match Logged::decode(&entry) {
                Ok(Logged {
                    entry: Entry::Turn(turn),
                    ..
                }) => {
                    self.ask(RecorderStep::Last(LogId::run(&turn.run)));
                    Phase::LookingAtRun {
                        at: at.next_claim(),
                        claim,
                        waits: turn.waits,
                    }
                }
                Ok(_) => {
                    self.alone_because(EntryError::Corrupt("it is not a turn of a chat"), claim)
                }
                Err(error) => self.alone_because(error, claim),
            },
            Found::Nothing => self.take(Position::START.next_claim(), Vec::new(), claim),
            Found::Unavailable => self.alone(claim),
        }
    }

    pub(super) fn looked_at_run(
        &mut self,
        found: Found<(Position, Bytes)>,
        at: Position,
        claim: Option<Append>,
        waits: bool,
    ) -> Phase {
        let is_over = match found {
            Found::Some((_, entry)) => match Logged::decode(&entry).map(|logged| logged.entry) {
                // A turn that waited and was stopped before its start says nothing about the turns before it.
                Ok(Entry::End(ended)) => !waits || ended.run.is_some(),
                // One answer that goes on is enough to refuse; the other policies need to know all of them.
                Ok(_) if self.recording.order == TurnOrder::Refuse => {
                    return Phase::Over(RecorderEnd::Busy);
                }
                Ok(_) => false,
                Err(error) => return self.alone_because(error, claim),
            },
            Found::Nothing => !waits,
            Found::Unavailable => return self.alone(claim),
        };
        if is_over {
            return self.take(at, Vec::new(), claim);
        }
        let (backlog, step) = Backlog::below(self.chat(), at);
        let backlog = Box::new(backlog);
        self.ask(step);
        Phase::LookingBack {
            at,
            claim,
            backlog,
            open: Vec::new(),
        }
    }

    pub(super) fn read_backlog(
        &mut self,
        found: Found<Vec<(Position, Bytes)>>,
        at: Position,
        claim: Option<Append>,
        mut backlog: Box<Backlog>,
        open: Vec<String>,
    ) -> Phase {
        match backlog.handle_page(found) {
            None => self.look_back(at, claim, backlog, open),
            Some(Looked::Ask(step)) => {
                self.ask(step);
                Phase::LookingBack {
                    at,
                    claim,
                    backlog,
                    open,
                }
            }
            Some(Looked::Failed(error)) => refused(error),
            Some(Looked::Turn(_)) => refused(None),
        }
    }

    pub(super) fn looked_back(
        &mut self,
        found: Found<(Position, Bytes)>,
        at: Position,
        claim: Option<Append>,
        mut backlog: Box<Backlog>,
        mut open: Vec<String>,
    ) -> Phase {
        match backlog.handle_last(found) {
            Looked::Ask(step) => {
                self.ask(step);
                Phase::LookingBack {
                    at,
                    claim,
                    backlog,
                    open,
                }
            }
            Looked::Turn(seen) if seen.proves_earlier_over() => self.take(at, open, claim),
            Looked::Turn(seen) => {
                if seen.state == State::Open {
                    open.push(seen.turn.run);
                }
                self.look_back(at, claim, backlog, open)
            }
            Looked::Failed(error) => refused(error),
        }
    }

    fn look_back(
        &mut self,
        at: Position,
        claim: Option<Append>,
        backlog: Box<Backlog>,
        open: Vec<String>,
    ) -> Phase {
        let longest = usize::try_from(LONGEST).unwrap_or(usize::MAX);
        // One of the open turns is being answered, so one less waits.
        match self.recording.order {
            TurnOrder::Refuse if !open.is_empty() => return Phase::Over(RecorderEnd::Busy),
            TurnOrder::Enqueue { limit } if open.len() > limit => {
                return Phase::Over(RecorderEnd::Full);
            }
            _ if open.len() >= longest => return Phase::Over(RecorderEnd::Full),
            _ => {}
        }
        let Some(step) = backlog.next() else {
            return self.take(at, open, claim);
        };
        self.ask(step);
        Phase::LookingBack {
            at,
            claim,
            backlog,
            open,
        }
    }

    /// Takes the turn at this position, after these runs that are not over. First claims the log of the run, unless that was
    /// done.
    fn take(&mut self, at: Position, open: Vec<String>, claim: Option<Append>) -> Phase {
        let turn = Turn::new(&self.recording.run).ask(self.recording.ask.clone());
        // A turn without open turns before it starts at once, even if the store fails from now on.
        let turn = match (open.is_empty(), self.recording.order) {
            (true, _) => turn,
            (false, TurnOrder::Interrupt) => turn.waiting(open.iter().cloned()),
            (false, _) => turn.waiting([]),
        };
        let taking = Box::new(Taking { at, turn, open });
        match claim {
            // The log was claimed before a first try to take the turn, which another turn won.
            Some(claim) => self.take_turn(taking, claim),
            None => {
                let claim = self.first_claim();
                self.ask(RecorderStep::Append(self.log.clone(), claim.clone()));
                Phase::Claiming { taking, claim }
            }
        }
    }

    pub(super) fn claimed(
        &mut self,
        appended: Appended,
        taking: Box<Taking>,
        claim: Append,
    ) -> Phase {
        match appended {
            Appended::Yes => self.take_turn(taking, claim),
            Appended::Fenced => Phase::Over(RecorderEnd::Busy),
            // A turn that waits needs the store; any other is answered without it.
            Appended::Missing | Appended::Full | Appended::Unavailable => {
                self.alone(taking.turn.waits.then_some(claim))
            }
        }
    }

    fn take_turn(&mut self, taking: Box<Taking>, claim: Append) -> Phase {
        let append = taking.turn.append(taking.at);
        self.ask(RecorderStep::Append(self.chat(), append));
        let again = AGAIN;
        Phase::TakingTurn {
            taking,
            claim,
            again,
        }
    }

    pub(super) fn took_turn(
        &mut self,
        appended: Appended,
        taking: Box<Taking>,
        claim: Append,
        again: u32,
    ) -> Phase {
        match appended {
            Appended::Yes => {
                let writer = Box::new(Writer::behind(claim.at, 0, 0, Arc::clone(&self.limits)));
                // Only now do readers of this instance see the log: before, the run could still be refused.
                self.ask(RecorderStep::Deliver(claim));
                match taking.turn.waits {
                    true => self.wait_in_queue(writer, *taking),
                    false => self.start(writer),
                }
            }
            Appended::Fenced if self.recording.order == TurnOrder::Refuse => {
                Phase::Over(RecorderEnd::Busy)
            }
            // Another turn was taken first; this one waits for it.
            Appended::Fenced => {
                self.ask(RecorderStep::Last(self.chat()));
                let claim = Some(claim);
                Phase::LookingAtChat { claim }
            }
            // The turn may have been taken, and others would wait for this run, so try again.
            Appended::Unavailable if again > 0 => {
                let append = taking.turn.append(taking.at);
                self.ask(RecorderStep::Append(self.chat(), append));
                let again = again - 1;
                Phase::TakingTurn {
                    taking,
                    claim,
                    again,
                }
            }
            // The turn may be in the store, and other instances may start it.
            Appended::Unavailable if taking.turn.waits => Phase::Over(RecorderEnd::Gone),
            Appended::Missing | Appended::Full | Appended::Unavailable => {
                self.alone(taking.turn.waits.then_some(claim))
            }
        }
    }

    fn first_claim(&self) -> Append {
        Append {
            at: Position::START.next_claim(),
            entry: self.recording.claim(),
            keep: Keep::existing(self.limits.live_ttl).or_create(),
        }
    }

    /// Continues without the store, which contains an entry that cannot be read, perhaps from a newer version. The relay then
    /// decides if the chat is answering. Refuses instead if the run was claimed already, as [`alone`](Self::alone) does.
    fn alone_because(&mut self, error: EntryError, claim: Option<Append>) -> Phase {
        if claim.is_some() {
            return refused(Some(error));
        }
        self.unreadable = Some(error);
        self.alone(None)
    }

    /// Continues without the store, unless the run was claimed already: then the chat was seen to be answering, and waiting needs
    /// a store.
    fn alone(&mut self, claim: Option<Append>) -> Phase {
        if claim.is_some() {
            return Phase::Over(RecorderEnd::Busy);
        }
        let claim = self.first_claim();
        let writer = Writer::behind(claim.at, 0, 0, Arc::clone(&self.limits)).without_store();
        self.ask(RecorderStep::Deliver(claim));
        self.start(Box::new(writer))
    }

    fn start(&mut self, writer: Box<Writer>) -> Phase {
        let (place, carried) = (None, Vec::new());
        self.ask(RecorderStep::Start { place, carried });
        Phase::Starting { writer }
    }
}

/// Refuses the turn: another may be open, and without the turns before it the place in the queue is unknown. The error says that
/// an entry cannot be read; without one, the store does not respond.
fn refused(error: Option<EntryError>) -> Phase {
    Phase::Over(error.map_or(RecorderEnd::Busy, RecorderEnd::ChatUnreadable))
}
