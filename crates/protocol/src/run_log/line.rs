use bytes::Bytes;

use super::{Ended, Entry, EntryError, Found, LogId, Logged, Position, RecorderStep, Turn};

/// How far back a line is looked at. No more turns than that may wait.
pub(super) const LONGEST: u64 = 64;

/// How often what the store did not respond to is asked again.
const AGAIN: u32 = 3;

/// Looks back over the turns of a chat, from the nearest on.
///
/// Each turn waits until those before it are over, so where one that was started is, [all before it are](Seen::ends_line). One that was
/// stopped while it waited says nothing of them.
#[derive(Debug)]
pub(super) struct Line {
    chat: LogId,
    /// The turns that are looked at stand above this position, and below the other.
    above: Position,
    below: Position,
    /// What was read of the chat, and whether that is all.
    turns: Vec<(Position, Turn)>,
    is_read: bool,
    again: u32,
}

/// A turn of a line.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) turn: Turn,
    pub(super) state: State,
}

impl Seen {
    /// Whether this turn tells that all before it are over.
    pub(super) fn ends_line(&self) -> bool {
        match &self.state {
            State::Open => false,
            State::Ended(ended) => !self.turn.waits || ended.run.is_some(),
            State::Gone => !self.turn.waits,
        }
    }
}

/// What became of a turn.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    Open,
    Ended(Box<Ended>),
    /// There is no log of it any more.
    Gone,
}

/// What comes of looking.
#[derive(Debug)]
pub(super) enum Looked {
    /// Ask this.
    Ask(RecorderStep),
    /// The next turn, from the nearest on.
    Turn(Seen),
    /// The store does not respond, or there is something that cannot be read.
    Failed(Option<EntryError>),
}

impl Line {
    /// Looks at the turns of a chat that stand below this position: the first question.
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

    /// Looks for this turn in all of its chat.
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

    /// The next question: whether the nearest turn that was not looked at is over. `None` if there is none.
    pub(super) fn next(&self) -> Option<RecorderStep> {
        let (_, turn) = self.turns.last()?;
        Some(RecorderStep::Last(LogId::run(&turn.run)))
    }

    /// The turns that were read, the nearest last.
    pub(super) fn turns(&self) -> &[(Position, Turn)] {
        &self.turns
    }

    /// What stands in the chat. `None`: all of it was read.
    pub(super) fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>) -> Option<Looked> {
        let entries = match found {
            Found::Some(entries) => entries,
            Found::Nothing => Vec::new(),
            Found::Unavailable => return Some(self.ask_again(self.page())),
        };
        self.again = AGAIN;
        let is_last = entries.is_empty();
        for (at, entry) in entries {
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
                        "it is not a turn",
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

    /// The last entry of the run that was asked for.
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
