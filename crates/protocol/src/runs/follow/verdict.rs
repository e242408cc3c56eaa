//! What a thread says of our run: a table.

use crate::threads::ThreadStatus;

/// What is known when a thread was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) thread: ThreadIs,
    pub(super) answer: AnswerIs,
    /// Whether the run has said `finish`.
    pub(super) has_finished: bool,
}

/// The state of the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThreadIs {
    GoingOn,
    Completed,
    Failed,
    Cancelled,
    /// Anything else in which no run goes on.
    Over,
}

/// What the thread has stored of our answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerIs {
    None,
    /// The last message is an answer without a question, as only a reader who has joined stores it. It may be ours.
    Unclaimed,
    /// It is there, by the place in which it stands.
    Found,
    /// For certain: by an id that one of its streams gave it, or by its question.
    Named,
}

/// What follows: the row of the table that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Our answer is stored: the run has completed, whatever runs in its thread now.
    Named,
    /// The last run of the thread has failed. A run that fails is not stored, and nothing of ours is.
    Failed,
    /// The last run of the thread was cancelled. A run that is cancelled is not stored, and nothing of ours is.
    Cancelled,
    /// Our answer stands there, and what streams in the thread is a later turn.
    LaterTurn,
    /// The run goes on.
    GoesOn,
    /// The run has completed, and at the end of the thread stands an answer that nobody else claims.
    Unclaimed,
    /// Our answer stands there.
    Found,
    /// The run has said its end, and nothing is stored of it.
    Unstored,
    /// Nothing goes on, and nothing tells what became of the run.
    NotStored,
}

impl Facts {
    /// The first row that fits counts.
    ///
    /// | the answer | the thread | | verdict |
    /// |---|---|---|---|
    /// | named | | | `Named` |
    /// | | failed | | `Failed` |
    /// | | cancelled | | `Cancelled` |
    /// | found | goes on | | `LaterTurn` |
    /// | | goes on | | `GoesOn` |
    /// | unclaimed | completed | | `Unclaimed` |
    /// | found | | | `Found` |
    /// | | | `finish` has come | `Unstored` |
    /// | | | | `NotStored` |
    pub(super) fn verdict(self) -> Verdict {
        match (self.answer, self.thread) {
            (AnswerIs::Named, _) => Verdict::Named,
            (_, ThreadIs::Failed) => Verdict::Failed,
            (_, ThreadIs::Cancelled) => Verdict::Cancelled,
            (AnswerIs::Found, ThreadIs::GoingOn) => Verdict::LaterTurn,
            (_, ThreadIs::GoingOn) => Verdict::GoesOn,
            (AnswerIs::Unclaimed, ThreadIs::Completed) => Verdict::Unclaimed,
            (AnswerIs::Found, _) => Verdict::Found,
            (AnswerIs::None | AnswerIs::Unclaimed, _) if self.has_finished => Verdict::Unstored,
            (AnswerIs::None | AnswerIs::Unclaimed, _) => Verdict::NotStored,
        }
    }
}

impl ThreadIs {
    /// The state of a thread in which `has_read` says whether anything of our run was read. States are an open set: of a run that was
    /// read only those end it that say so.
    pub(super) fn of(status: &ThreadStatus, has_read: bool) -> Self {
        match status {
            ThreadStatus::Streaming => Self::GoingOn,
            ThreadStatus::Error | ThreadStatus::Failed => Self::Failed,
            ThreadStatus::Cancelled => Self::Cancelled,
            ThreadStatus::Completed => Self::Completed,
            ThreadStatus::Idle => Self::Over,
            status if has_read && !status.is_end() => Self::GoingOn,
            _ => Self::Over,
        }
    }
}

impl Verdict {
    /// The row by name, for whoever asks why a run has ended so.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Named => "verdict: our answer is stored under its name",
            Self::Failed => "verdict: the thread has failed",
            Self::Cancelled => "verdict: the thread was cancelled",
            Self::LaterTurn => "verdict: our answer is stored, and a later turn streams",
            Self::GoesOn => "verdict: the run goes on",
            Self::Unclaimed => "verdict: an answer is stored that nobody claims",
            Self::Found => "verdict: our answer is stored",
            Self::Unstored => "verdict: finished, and not stored",
            Self::NotStored => "verdict: nothing is stored",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Facts = Facts {
        thread: ThreadIs::Over,
        answer: AnswerIs::None,
        has_finished: false,
    };

    const THREADS: [ThreadIs; 5] = [
        ThreadIs::GoingOn,
        ThreadIs::Completed,
        ThreadIs::Failed,
        ThreadIs::Cancelled,
        ThreadIs::Over,
    ];

    const ANSWERS: [AnswerIs; 4] = [
        AnswerIs::None,
        AnswerIs::Unclaimed,
        AnswerIs::Found,
        AnswerIs::Named,
    ];

    /// All facts with this verdict, in the order of the lists.
    fn rows(verdict: Verdict) -> Vec<Facts> {
        let mut rows = Vec::new();
        for thread in THREADS {
            for answer in ANSWERS {
                for has_finished in [false, true] {
                    let facts = Facts {
                        thread,
                        answer,
                        has_finished,
                    };
                    rows.extend((facts.verdict() == verdict).then_some(facts));
                }
            }
        }
        rows
    }

    #[test]
    fn an_answer_with_our_name_has_completed_whatever_its_thread_does_now() {
        let rows = rows(Verdict::Named);
        assert_eq!(rows.len(), THREADS.len() * 2);
        assert!(rows.iter().all(|facts| facts.answer == AnswerIs::Named));
    }

    #[test]
    fn a_thread_that_has_failed_has_failed_our_run_unless_its_answer_has_our_name() {
        let rows = rows(Verdict::Failed);
        assert_eq!(rows.len(), 3 * 2);
        assert!(rows.iter().all(|facts| facts.thread == ThreadIs::Failed));
    }

    #[test]
    fn a_thread_that_was_cancelled_is_our_run_cancelled_unless_its_answer_has_our_name() {
        let rows = rows(Verdict::Cancelled);
        assert_eq!(rows.len(), 3 * 2);
        assert!(rows.iter().all(|facts| facts.thread == ThreadIs::Cancelled));
    }

    #[test]
    fn what_streams_behind_our_answer_is_a_later_turn() {
        let later = Facts {
            thread: ThreadIs::GoingOn,
            answer: AnswerIs::Found,
            ..NOTHING
        };
        let finished = Facts {
            has_finished: true,
            ..later
        };
        assert_eq!(rows(Verdict::LaterTurn), [later, finished]);
    }

    #[test]
    fn a_thread_that_goes_on_goes_on_with_our_run() {
        let rows = rows(Verdict::GoesOn);
        assert_eq!(rows.len(), 2 * 2);
        assert!(rows.iter().all(|facts| facts.thread == ThreadIs::GoingOn));
    }

    #[test]
    fn an_answer_that_nobody_claims_counts_only_where_the_thread_has_completed() {
        let rows = rows(Verdict::Unclaimed);
        assert_eq!(rows.len(), 2);
        let is_it = |facts: &Facts| {
            (facts.thread, facts.answer) == (ThreadIs::Completed, AnswerIs::Unclaimed)
        };
        assert!(rows.iter().all(is_it));
    }

    #[test]
    fn an_answer_in_our_place_is_ours_when_nothing_goes_on() {
        let rows = rows(Verdict::Found);
        assert_eq!(rows.len(), 2 * 2);
        assert!(rows.iter().all(|facts| facts.answer == AnswerIs::Found));
    }

    #[test]
    fn a_run_that_has_said_its_end_has_completed_also_where_nothing_is_stored() {
        let rows = rows(Verdict::Unstored);
        // Completed without an answer, and over with none or with one that nobody claims.
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|facts| facts.has_finished));
    }

    #[test]
    fn without_an_answer_and_an_end_nobody_knows() {
        assert_eq!(NOTHING.verdict(), Verdict::NotStored);
        let rows = rows(Verdict::NotStored);
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|facts| !facts.has_finished));
    }

    #[test]
    fn a_state_that_nobody_knows_ends_no_run_that_was_read() {
        let unknown = ThreadStatus::from("paused");
        assert_eq!(ThreadIs::of(&unknown, true), ThreadIs::GoingOn);
        assert_eq!(ThreadIs::of(&unknown, false), ThreadIs::Over);
        for has_read in [false, true] {
            assert_eq!(ThreadIs::of(&ThreadStatus::Idle, has_read), ThreadIs::Over);
            let streaming = ThreadIs::of(&ThreadStatus::Streaming, has_read);
            assert_eq!(streaming, ThreadIs::GoingOn);
        }
    }
}
