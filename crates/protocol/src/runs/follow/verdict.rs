//! The table that decides what a thread says about our run.

use crate::threads::ThreadStatus;

/// The facts after a thread was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) thread: ThreadIs,
    pub(super) answer: AnswerIs,
    /// Whether the run has sent `finish`.
    pub(super) has_finished: bool,
}

/// The state of the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThreadIs {
    GoingOn,
    Completed,
    Failed,
    Cancelled,
    /// Any other state in which no run goes on.
    Over,
}

/// The certainty with which a stored answer is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerIs {
    None,
    /// The last message is an answer without a question, as stored by a reader that joined. It may be ours.
    Unclaimed,
    /// It is ours by its position in the thread.
    Found,
    /// It is certainly ours: by an id that one of its streams gave it, or by its question.
    Named,
}

/// The verdict: the row of the table that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Our answer is stored: the run has completed, whatever runs in its thread now.
    Named,
    /// The last run of the thread has failed, and no answer with an id of ours is stored. Failed runs are not stored.
    Failed,
    /// The last run of the thread was cancelled, and no answer with an id of ours is stored. Cancelled runs are not stored.
    Cancelled,
    /// Our answer is stored, and the stream in the thread belongs to a later turn.
    LaterTurn,
    /// The run goes on.
    GoesOn,
    /// The run has completed, and the thread ends with an answer that nobody else claims.
    Unclaimed,
    /// Our answer is stored.
    Found,
    /// The run has sent its end, and no answer is stored.
    Unstored,
    /// Nothing goes on, and nothing shows the end of the run.
    NotStored,
}

impl Facts {
    /// Returns the first row that matches.
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
            // An answer with our id proves the end, whatever a later turn does to the thread.
            (AnswerIs::Named, _) => Verdict::Named,
            // The status of a thread is that of its last run. It counts more than an answer that is ours by its position alone.
            (_, ThreadIs::Failed) => Verdict::Failed,
            (_, ThreadIs::Cancelled) => Verdict::Cancelled,
            (AnswerIs::Found, ThreadIs::GoingOn) => Verdict::LaterTurn,
            // An unclaimed answer may be an earlier one, so the run goes on as long as its thread does.
            (_, ThreadIs::GoingOn) => Verdict::GoesOn,
            (AnswerIs::Unclaimed, ThreadIs::Completed) => Verdict::Unclaimed,
            (AnswerIs::Found, _) => Verdict::Found,
            // `finish` is the run's own word that it has completed.
            (AnswerIs::None | AnswerIs::Unclaimed, _) if self.has_finished => Verdict::Unstored,
            (AnswerIs::None | AnswerIs::Unclaimed, _) => Verdict::NotStored,
        }
    }
}

impl ThreadIs {
    /// Returns the state of a thread. `has_read` says whether anything of our run was read. Statuses are an open set: once a run
    /// was read, only a status that explicitly ends it counts as an end.
    pub(super) fn of(status: &ThreadStatus, has_read: bool) -> Self {
        match status {
            ThreadStatus::Streaming => Self::GoingOn,
            ThreadStatus::Error | ThreadStatus::Failed => Self::Failed,
            ThreadStatus::Cancelled => Self::Cancelled,
            ThreadStatus::Completed => Self::Completed,
            // No run has started, so ours is not going on either.
            ThreadStatus::Idle => Self::Over,
            status if has_read && !status.is_end() => Self::GoingOn,
            _ => Self::Over,
        }
    }
}

impl Verdict {
    /// Returns the name of the row, to find out why a run ended as it did.
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

    /// Returns all facts with this verdict, in the order of the lists.
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
    fn an_answer_with_our_id_has_completed_whatever_its_thread_does_now() {
        let rows = rows(Verdict::Named);
        assert_eq!(rows.len(), THREADS.len() * 2);
        assert!(rows.iter().all(|facts| facts.answer == AnswerIs::Named));
    }

    #[test]
    fn a_failed_thread_fails_our_run_unless_its_answer_has_our_id() {
        let rows = rows(Verdict::Failed);
        assert_eq!(rows.len(), 3 * 2);
        assert!(rows.iter().all(|facts| facts.thread == ThreadIs::Failed));
    }

    #[test]
    fn a_cancelled_thread_cancels_our_run_unless_its_answer_has_our_id() {
        let rows = rows(Verdict::Cancelled);
        assert_eq!(rows.len(), 3 * 2);
        assert!(rows.iter().all(|facts| facts.thread == ThreadIs::Cancelled));
    }

    #[test]
    fn a_stream_after_our_answer_is_a_later_turn() {
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
    fn our_run_goes_on_while_its_thread_does() {
        let rows = rows(Verdict::GoesOn);
        assert_eq!(rows.len(), 2 * 2);
        assert!(rows.iter().all(|facts| facts.thread == ThreadIs::GoingOn));
    }

    #[test]
    fn an_unclaimed_answer_counts_only_if_the_thread_has_completed() {
        let rows = rows(Verdict::Unclaimed);
        assert_eq!(rows.len(), 2);
        let is_it = |facts: &Facts| {
            (facts.thread, facts.answer) == (ThreadIs::Completed, AnswerIs::Unclaimed)
        };
        assert!(rows.iter().all(is_it));
    }

    #[test]
    fn an_answer_in_our_position_is_ours_when_nothing_goes_on() {
        let rows = rows(Verdict::Found);
        assert_eq!(rows.len(), 2 * 2);
        assert!(rows.iter().all(|facts| facts.answer == AnswerIs::Found));
    }

    #[test]
    fn a_run_that_sent_its_end_has_completed_even_if_nothing_is_stored() {
        let rows = rows(Verdict::Unstored);
        // Completed without an answer, and over with none or with an unclaimed one.
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|facts| facts.has_finished));
    }

    #[test]
    fn without_an_answer_or_an_end_the_result_is_unknown() {
        assert_eq!(NOTHING.verdict(), Verdict::NotStored);
        let rows = rows(Verdict::NotStored);
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|facts| !facts.has_finished));
    }

    #[test]
    fn an_unknown_status_does_not_end_a_run_that_was_read() {
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
