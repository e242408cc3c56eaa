use bytes::Bytes;

use super::{Ended, Entry, EntryError, Found, LogId, Logged, Position, RecorderStep, Turn};

/// The most turns that are examined, and so the most that may wait.
pub(super) const LONGEST: u64 = 64;

/// The number of retries if the store does not respond.
const AGAIN: u32 = 3;

/// The turns of a chat, examined one by one, latest first.
///
/// Each turn waits until all before it are over. So a turn that was started [proves](Seen::proves_earlier_over) that all before it
/// are over. A turn that was stopped while it waited says nothing about those before it.
#[derive(Debug)]
pub(super) struct Backlog {
    chat: LogId,
    /// The turns to examine are above this position and below `below`.
    above: Position,
    below: Position,
    /// The turns that were read from the chat and not examined yet, latest last.
    turns: Vec<(Position, Turn)>,
    /// Whether these are all.
    is_read: bool,
    /// The number of retries for the present query.
    again: u32,
}

/// A turn of the queue.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) turn: Turn,
    pub(super) state: State,
}

impl Seen {
    /// Returns whether this turn proves that all before it are over.
    pub(super) fn proves_earlier_over(&self) -> bool {
        match &self.state {
            State::Open => false,
            // A turn that waited was started only if it has a place.
            State::Ended(ended) => !self.turn.waits || ended.run.is_some(),
            // Without its log it is unknown whether a turn that waited was ever started.
            State::Gone => !self.turn.waits,
        }
    }
}

/// The state of a turn.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    Open,
    Ended(Box<Ended>),
    /// Its log does not exist any more.
    Gone,
}

/// The result of looking back.
#[derive(Debug)]
pub(super) enum Looked {
    /// Request this step.
    Ask(RecorderStep),
    /// The next turn, latest first.
    Turn(Seen),
    /// The store does not respond, or an entry cannot be read.
    Failed(Option<EntryError>),
}

impl Backlog {
    /// Begins to examine the turns of a chat below this position. Returns the first step.
    pub(super) fn below(chat: LogId, below: Position) -> (Self, RecorderStep) {
        let above = Position::new(below.epoch.saturating_sub(LONGEST + 1), 0);
        let this = Self {
            chat,
            above,
            below,
            turns: Vec::new(),
            is_read: false,
            again: AGAIN,
        };
        let step = this.page();
        (this, step)
    }

    /// Begins to search all of a chat. Returns the first step.
    pub(super) fn whole(chat: LogId) -> (Self, RecorderStep) {
        let mut this = Self::below(chat, Position::new(u64::MAX, 0)).0;
        this.above = Position::START;
        let step = this.page();
        (this, step)
    }

    fn page(&self) -> RecorderStep {
        let at = self.turns.last().map_or(self.above, |(at, _)| *at);
        RecorderStep::Read(self.chat.clone(), at)
    }

    /// Returns the step that checks if the latest unexamined turn is over. Returns `None` if there is none.
    pub(super) fn next(&self) -> Option<RecorderStep> {
        let (_, turn) = self.turns.last()?;
        Some(RecorderStep::Last(LogId::run(&turn.run)))
    }

    /// Returns the turns that were read, latest last.
    pub(super) fn turns(&self) -> &[(Position, Turn)] {
        &self.turns
    }

    /// Handles entries of the chat. Returns `None` once all of it was read.
    pub(super) fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>) -> Option<Looked> {
        let entries = match found {
            Found::Some(entries) => entries,
            Found::Nothing => Vec::new(),
            Found::Unavailable => return Some(self.ask_again(self.page())),
        };
        self.again = AGAIN;
        let is_last = entries.is_empty();
        for (at, entry) in entries {
            // Turns that were taken later than ours do not come before it.
            if at >= self.below {
                self.is_read = true;
                break;
            }
            match Logged::decode(&entry) {
                Ok(Logged {
                    entry: Entry::Turn(turn),
                    ..
                }) => self.turns.push((at, turn)),
                Ok(_) => {
                    return Some(Looked::Failed(Some(EntryError::Corrupt(
                        "it is not a turn of a chat",
                    ))));
                }
                Err(error) => return Some(Looked::Failed(Some(error))),
            }
        }
        self.is_read |= is_last;
        match self.is_read {
            true => None,
            false => Some(Looked::Ask(self.page())),
        }
    }

    /// Handles the last entry of the requested run.
    pub(super) fn handle_last(&mut self, found: Found<(Position, Bytes)>) -> Looked {
        let state = match found {
            Found::Unavailable => {
                return match self.next() {
                    Some(step) => self.ask_again(step),
                    None => Looked::Failed(None),
                };
            }
            Found::Nothing => State::Gone,
            Found::Some((_, entry)) => match Logged::decode(&entry) {
                Ok(Logged {
                    entry: Entry::End(ended),
                    ..
                }) => State::Ended(Box::new(ended)),
                Ok(_) => State::Open,
                Err(error) => return Looked::Failed(Some(error)),
            },
        };
        self.again = AGAIN;
        match self.turns.pop() {
            Some((_, turn)) => Looked::Turn(Seen { turn, state }),
            None => Looked::Failed(None),
        }
    }

    fn ask_again(&mut self, step: RecorderStep) -> Looked {
        if self.again == 0 {
            return Looked::Failed(None);
        }
        self.again -= 1;
        Looked::Ask(step)
    }
}
