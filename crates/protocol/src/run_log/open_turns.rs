use bytes::Bytes;

use super::backlog::{Backlog, Looked, State};
use super::{Ended, Entry, EntryError, Found, LogId, Logged, Position, RecorderStep, Turn};

/// The state machine that finds the turns of a chat that are not over, and its current turn: the one that is being answered, or
/// the last one that was.
///
/// A driver executes the step that [`poll`](Self::poll) returns and reports its result.
#[derive(Debug)]
pub struct OpenTurns {
    chat: LogId,
    phase: Phase,
    /// The turns that are not over, latest first.
    open: Vec<Turn>,
    /// The latest turn that is over.
    current: Option<Turn>,
    /// The last turn that was taken. It is the current one if no other is known.
    last: Option<Turn>,
    unreadable: Option<EntryError>,
}

#[derive(Debug)]
enum Phase {
    Begins,
    LookingAtChat,
    /// Checks the last turn, which does not wait, so all before it are over. The flag says if its run was requested already.
    LookingAtLast(Turn, bool),
    Asks(Backlog, RecorderStep),
    Looking(Backlog),
    Over,
}

/// A step that [`OpenTurns`] requests from its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
// Deliberately exhaustive: a driver must heed all fields of its variants.
pub enum OpenTurnsStep {
    /// Read the last entry of this log: [`OpenTurns::handle_last`].
    Last(LogId),
    /// Read the entries of this log above this position, without waiting: [`OpenTurns::handle_page`].
    Read(LogId, Position),
    /// The search is complete.
    Over,
}

impl OpenTurns {
    /// Creates the search for this chat.
    #[must_use]
    pub fn of(owner: &str, chat: &str) -> Self {
        Self {
            chat: LogId::chat(owner, chat),
            phase: Phase::Begins,
            open: Vec::new(),
            current: None,
            last: None,
            unreadable: None,
        }
    }

    /// Returns the turns that are not over, in order.
    pub fn turns(&self) -> impl Iterator<Item = &Turn> {
        self.open.iter().rev()
    }

    /// Returns the turn that is being answered, or the last one that was.
    #[must_use]
    pub fn current(&self) -> Option<&Turn> {
        // The oldest open turn is the one that is being answered; the others wait for it.
        let known = self.open.last().or(self.current.as_ref());
        known.or(self.last.as_ref())
    }

    /// Returns the error if an entry could not be read. Then the result is incomplete. It is also incomplete, without an error
    /// here, if the store did not respond.
    #[must_use]
    pub fn unreadable(&self) -> Option<&EntryError> {
        self.unreadable.as_ref()
    }

    /// Returns the next step.
    pub fn poll(&mut self) -> OpenTurnsStep {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Begins => {
                self.phase = Phase::LookingAtChat;
                OpenTurnsStep::Last(self.chat.clone())
            }
            Phase::Asks(backlog, step) => {
                self.phase = Phase::Looking(backlog);
                match step {
                    RecorderStep::Read(log, after) => OpenTurnsStep::Read(log, after),
                    RecorderStep::Last(log) => OpenTurnsStep::Last(log),
                    _ => OpenTurnsStep::Over,
                }
            }
            Phase::LookingAtLast(turn, false) => {
                let log = LogId::run(&turn.run);
                self.phase = Phase::LookingAtLast(turn, true);
                OpenTurnsStep::Last(log)
            }
            // The driver did not report a result of the previous step, so there is none to wait for.
            Phase::LookingAtLast(..) | Phase::LookingAtChat | Phase::Looking(_) | Phase::Over => {
                OpenTurnsStep::Over
            }
        }
    }

    /// Handles the last entry of the requested log.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::LookingAtChat => {
                let Found::Some((at, entry)) = found else {
                    return;
                };
                match Logged::decode(&entry) {
                    Ok(Logged {
                        entry: Entry::Turn(turn),
                        ..
                    }) if !turn.waits => self.phase = Phase::LookingAtLast(turn, false),
                    Ok(Logged {
                        entry: Entry::Turn(turn),
                        ..
                    }) => {
                        self.last = Some(turn);
                        let (backlog, step) = Backlog::below(self.chat.clone(), at.next_claim());
                        self.phase = Phase::Asks(backlog, step);
                    }
                    Ok(_) => {
                        self.unreadable = Some(EntryError::Corrupt("it is not a turn of a chat"));
                    }
                    Err(error) => self.unreadable = Some(error),
                }
            }
            Phase::LookingAtLast(turn, _) => {
                let entry = match &found {
                    Found::Some((_, entry)) => Logged::decode(entry).map(|logged| logged.entry),
                    // It is not known to be answered, so it counts as the last one.
                    Found::Nothing | Found::Unavailable => Ok(Entry::End(Ended::new("gone"))),
                };
                match entry {
                    Ok(Entry::End(_)) => self.last = Some(turn),
                    Ok(_) => self.open.push(turn),
                    Err(error) => {
                        self.last = Some(turn);
                        self.unreadable = Some(error);
                    }
                }
            }
            Phase::Looking(mut backlog) => {
                let looked = backlog.handle_last(found);
                self.looked(backlog, looked);
            }
            phase => self.phase = phase,
        }
    }

    /// Handles the entries above the requested position.
    pub fn handle_page(&mut self, found: Found<Vec<(Position, Bytes)>>) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Looking(mut backlog) => match backlog.handle_page(found) {
                None => self.next(backlog),
                Some(looked) => self.looked(backlog, looked),
            },
            phase => self.phase = phase,
        }
    }

    fn looked(&mut self, backlog: Backlog, looked: Looked) {
        match looked {
            Looked::Ask(step) => self.phase = Phase::Asks(backlog, step),
            Looked::Turn(seen) => {
                let is_last = seen.proves_earlier_over();
                match seen.state {
                    State::Open => self.open.push(seen.turn),
                    State::Ended(_) | State::Gone => {
                        self.current.get_or_insert(seen.turn);
                    }
                }
                if !is_last {
                    self.next(backlog);
                }
            }
            Looked::Failed(error) => self.unreadable = error,
        }
    }

    fn next(&mut self, backlog: Backlog) {
        if let Some(step) = backlog.next() {
            self.phase = Phase::Asks(backlog, step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(entry: Entry) -> Bytes {
        Logged::new(0, entry).encode()
    }

    /// Returns the result for a chat whose turns' runs have these last entries.
    fn looked(turns: &[(Turn, Option<Entry>)]) -> OpenTurns {
        let mut open = OpenTurns::of("user", "chat");
        let at = |index: usize| Position::new(index as u64 + 1, 0);
        loop {
            match open.poll() {
                OpenTurnsStep::Last(log) if log == LogId::chat("user", "chat") => {
                    let last = turns.iter().enumerate().next_back();
                    let last = last
                        .map(|(index, (turn, _))| (at(index), logged(Entry::Turn(turn.clone()))));
                    open.handle_last(last.map_or(Found::Nothing, Found::Some));
                }
                OpenTurnsStep::Last(log) => {
                    let turn = turns.iter().find(|(turn, _)| LogId::run(&turn.run) == log);
                    let entry = turn.and_then(|(_, last)| last.clone()).map(logged);
                    let entry = entry.map(|entry| (Position::new(1, 1), entry));
                    open.handle_last(entry.map_or(Found::Nothing, Found::Some));
                }
                OpenTurnsStep::Read(_, after) => {
                    let entries = turns.iter().enumerate();
                    let entries = entries
                        .map(|(index, (turn, _))| (at(index), logged(Entry::Turn(turn.clone()))))
                        .filter(|(at, _)| *at > after)
                        .take(2);
                    open.handle_page(Found::Some(entries.collect()));
                }
                OpenTurnsStep::Over => return open,
            }
        }
    }

    fn told(open: &OpenTurns) -> (Option<&str>, Vec<&str>) {
        let turns = open.turns().map(|turn| &*turn.run);
        (open.current().map(|turn| &*turn.run), turns.collect())
    }

    #[test]
    fn the_current_turn_is_being_answered_or_was_last() {
        let ended = |end: &str| Some(Entry::End(Ended::new(end)));
        let first = || (Turn::new("run-1"), ended("completed"));
        let waits = |run: &str| Turn::new(run).waiting([]);
        assert_eq!(told(&looked(&[])), (None, vec![]));
        assert_eq!(told(&looked(&[first()])), (Some("run-1"), vec![]));
        // Its log is gone, and it is still known as the last one.
        let gone = (Turn::new("run-2"), None);
        assert_eq!(told(&looked(&[first(), gone])), (Some("run-2"), vec![]));
        let turns = [
            first(),
            (Turn::new("run-2"), Some(Entry::Beat)),
            (waits("run-3"), Some(Entry::Beat)),
            // It was stopped while it waited.
            (waits("run-4"), ended("cancelled")),
            (waits("run-5"), Some(Entry::Beat)),
        ];
        let open = looked(&turns);
        let expected = vec!["run-2", "run-3", "run-5"];
        assert_eq!(told(&open), (Some("run-2"), expected));
    }
}
