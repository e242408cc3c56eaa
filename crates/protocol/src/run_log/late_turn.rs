use std::time::Duration;

use bytes::Bytes;

use super::{Append, Appended, Entry, Found, LogId, Logged, Position, Recording, Turn};

/// The delay before the store is queried again: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The state machine that takes the turn of a chat for a run that goes on [without the store](super::Recorder::is_alone).
///
/// It takes the turn as soon as the store responds again. Otherwise the previous turn would stay the last one in the store, and
/// browsers would be shown the wrong answer.
///
/// ```text
/// LookingAtChat ── another turn ──► LookingAtRun ── may take it ──► Taking ── appended ──► Over
///    ▲    └ ours ──► Over               └ its run goes on ──► Over    │
///    └──────────────── Waiting ◄── no response, unreadable, fenced ◄────┘
/// ```
///
/// It may take the turn if the run of the last turn in the store is over. While its own run goes on, it may also take the turn
/// from a run that is not over, unless that turn has waited: the relay starts no other run in the thread meanwhile, so the entry
/// is out of date. Once its own run is over, it no longer takes the turn from a run that goes on.
#[derive(Debug)]
pub struct LateTurn {
    recording: Recording,
    phase: Phase,
    pause: Duration,
}

#[derive(Debug)]
enum Phase {
    LookingAtChat,
    /// Checks if the run of the last turn goes on.
    LookingAtRun {
        turn: Position,
        run: String,
        /// Whether the turn waits or has waited. Then other turns may be ahead of it in the queue.
        waits: bool,
    },
    Taking {
        turn: Position,
    },
    Waiting,
    Over,
}

/// A step that a [`LateTurn`] requests from its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
// Deliberately exhaustive: a driver must heed all fields of its variants.
pub enum LateTurnStep {
    /// Read the last entry of this log from the store: [`LateTurn::handle_last`].
    Last(LogId),
    /// Append this to this log: [`LateTurn::handle_append`].
    Append(LogId, Append),
    /// Poll again after this delay.
    Wait(Duration),
    /// The turn was taken, or there is a later one.
    Over,
}

impl LateTurn {
    /// Creates the state machine that takes the turn of the run's chat.
    #[must_use]
    pub fn new(recording: Recording) -> Self {
        Self {
            recording,
            phase: Phase::LookingAtChat,
            pause: PAUSE,
        }
    }

    /// Returns the next step. `is_over` says whether the run has ended.
    pub fn poll(&mut self, is_over: bool) -> LateTurnStep {
        // While our run goes on, a last turn that did not wait cannot be going on too, so its run is not examined.
        if let Phase::LookingAtRun {
            turn, waits: false, ..
        } = self.phase
            && !is_over
        {
            self.phase = Phase::Taking { turn };
        }
        match &self.phase {
            Phase::LookingAtChat => LateTurnStep::Last(self.chat()),
            Phase::LookingAtRun { run, .. } => LateTurnStep::Last(LogId::run(run)),
            Phase::Taking { turn: at } => {
                let turn = Turn::new(&self.recording.run).ask(self.recording.ask.clone());
                LateTurnStep::Append(self.chat(), turn.append(*at))
            }
            Phase::Waiting => {
                self.phase = Phase::LookingAtChat;
                let pause = self.pause;
                self.pause = (pause * 2).min(LONGEST_PAUSE);
                LateTurnStep::Wait(pause)
            }
            Phase::Over => LateTurnStep::Over,
        }
    }

    /// Handles the last entry of the requested log.
    pub fn handle_last(&mut self, found: Found<(Position, Bytes)>) {
        self.phase = match &self.phase {
            Phase::LookingAtChat => match found {
                Found::Unavailable => Phase::Waiting,
                Found::Nothing => Phase::Taking {
                    turn: Position::START.next_claim(),
                },
                Found::Some((at, entry)) => match Logged::decode(&entry).map(|logged| logged.entry)
                {
                    Ok(Entry::Turn(turn)) if turn.run != self.recording.run => {
                        Phase::LookingAtRun {
                            turn: at.next_claim(),
                            run: turn.run,
                            waits: turn.waits,
                        }
                    }
                    Ok(Entry::Turn(_)) => Phase::Over,
                    // An entry that cannot be read is never replaced. It may be gone later.
                    _ => Phase::Waiting,
                },
            },
            Phase::LookingAtRun { turn, .. } => match found {
                Found::Unavailable => Phase::Waiting,
                // A run whose log is gone is over.
                Found::Nothing => Phase::Taking { turn: *turn },
                Found::Some((_, entry)) => {
                    match Logged::decode(&entry).map(|logged| logged.entry) {
                        Ok(Entry::End(_)) => Phase::Taking { turn: *turn },
                        Ok(_) => Phase::Over,
                        Err(_) => Phase::Waiting,
                    }
                }
            },
            _ => return,
        };
    }

    /// Handles the result of an append.
    pub fn handle_append(&mut self, appended: Appended) {
        if matches!(self.phase, Phase::Taking { .. }) {
            self.phase = match appended {
                Appended::Yes => Phase::Over,
                // The entry may be in the store all the same, or another run may have taken the turn. The next look shows it.
                Appended::Fenced | Appended::Missing | Appended::Full | Appended::Unavailable => {
                    Phase::Waiting
                }
            };
        }
    }

    fn chat(&self) -> LogId {
        LogId::chat(&self.recording.owner, &self.recording.chat)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Claim, Ended};
    use super::*;

    fn late() -> LateTurn {
        LateTurn::new(Recording::new("run-2", "here").of_chat("user", "chat"))
    }

    fn found(at: u64, entry: Entry) -> Found<(Position, Bytes)> {
        Found::Some((Position::new(at, 0), Logged::new(0, entry).encode()))
    }

    fn chat() -> LogId {
        LogId::chat("user", "chat")
    }

    fn taken(at: u64) -> LateTurnStep {
        LateTurnStep::Append(chat(), Turn::new("run-2").append(Position::new(at, 0)))
    }

    #[test]
    fn a_recovered_store_gets_the_turn() {
        let mut late = late();
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert_eq!(late.poll(false), LateTurnStep::Last(chat()));
            late.handle_last(Found::Unavailable);
            let LateTurnStep::Wait(pause) = late.poll(false) else {
                panic!("a pause");
            };
            waits.push(pause.as_millis());
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        late.handle_last(found(4, Entry::Turn(Turn::new("run-1"))));
        assert_eq!(late.poll(false), taken(5));
        late.handle_append(Appended::Yes);
        assert_eq!(late.poll(false), LateTurnStep::Over);
    }

    #[test]
    fn a_finished_run_takes_the_turn_only_of_a_finished_run() {
        let goes_on = Entry::Claim(Claim::new("there", "user", "chat"));
        for (last, is_taken) in [
            (found(1, Entry::End(Ended::new("completed"))), true),
            (Found::Nothing, true),
            (found(1, goes_on), false),
        ] {
            let mut late = late();
            late.handle_last(found(4, Entry::Turn(Turn::new("run-3"))));
            assert_eq!(late.poll(true), LateTurnStep::Last(LogId::run("run-3")));
            late.handle_last(last);
            let expected = match is_taken {
                true => taken(5),
                false => LateTurnStep::Over,
            };
            assert_eq!(late.poll(true), expected);
        }
    }

    #[test]
    fn it_does_not_take_the_turn_of_one_that_waits() {
        let waiting = || found(4, Entry::Turn(Turn::new("run-3").waiting([])));
        for (last, step) in [
            (Entry::Beat, LateTurnStep::Over),
            (Entry::End(Ended::new("completed")), taken(5)),
        ] {
            let mut late = late();
            late.handle_last(waiting());
            assert_eq!(late.poll(false), LateTurnStep::Last(LogId::run("run-3")));
            late.handle_last(found(1, last));
            assert_eq!(late.poll(false), step);
        }
    }

    #[test]
    fn a_turn_in_the_log_is_not_taken_again() {
        let mut late = late();
        late.handle_last(Found::Nothing);
        assert_eq!(late.poll(false), taken(1));
        // The append succeeded, but its response was lost.
        late.handle_append(Appended::Unavailable);
        assert!(matches!(late.poll(false), LateTurnStep::Wait(_)));
        late.handle_last(found(1, Entry::Turn(Turn::new("run-2"))));
        assert_eq!(late.poll(false), LateTurnStep::Over);
    }

    #[test]
    fn an_unreadable_entry_is_left_as_it_is() {
        let newer = || Found::Some((Position::new(4, 0), Bytes::from_static(b"21st/2 turn 0\n")));
        let mut late = late();
        late.handle_last(newer());
        assert!(matches!(late.poll(true), LateTurnStep::Wait(_)));
        late.handle_last(found(4, Entry::Turn(Turn::new("run-3"))));
        late.handle_last(newer());
        assert!(matches!(late.poll(true), LateTurnStep::Wait(_)));
    }

    #[test]
    fn a_turn_taken_by_another_run_meanwhile_is_examined() {
        let mut late = late();
        late.handle_last(Found::Nothing);
        late.handle_append(Appended::Fenced);
        assert!(matches!(late.poll(true), LateTurnStep::Wait(_)));
        assert_eq!(late.poll(true), LateTurnStep::Last(chat()));
    }
}
