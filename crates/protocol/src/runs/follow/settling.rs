//! The run is over or its thread was read: applies the verdict.

use super::identity::Stored;
use super::verdict::{Facts, ThreadIs, Verdict};
use super::{Following, Transition};
use crate::flow::Now;
use crate::runs::{LostReason, MessageState, RunEnd};
use crate::threads::{Thread, ThreadStatus};

/// Reads the thread until it shows the end of the run.
pub(super) fn poll(cx: &mut Following, now: Now) -> Transition {
    let transition = match cx.look(now) {
        Ok(thread) => cx.settle(&thread),
        Err(no_result) => return cx.again(no_result, now),
    };
    transition.unwrap_or_else(|| {
        cx.pause(now);
        Transition::Again
    })
}

impl Following {
    /// Returns the transition that a thread implies, or `None` if the run goes on.
    pub(super) fn settle(&mut self, thread: &Thread) -> Option<Transition> {
        let (answer, stored) = self.identity.find(thread);
        let facts = Facts {
            thread: ThreadIs::of(&thread.status, self.has_read()),
            answer,
            has_finished: self.transcript.reported.has_finished,
        };
        let verdict = facts.verdict();
        let why = verdict.name();
        Some(match (verdict, stored) {
            (Verdict::GoesOn, _) => return None,
            (Verdict::Failed, _) => {
                let text = thread.error.clone().unwrap_or_default();
                self.end(why, RunEnd::Failed(text), MessageState::Partial)
            }
            (Verdict::Cancelled, _) => self.end(why, RunEnd::Cancelled, MessageState::Partial),
            (
                Verdict::Named | Verdict::LaterTurn | Verdict::Found | Verdict::Unclaimed,
                Some(stored),
            ) => {
                // The thread knows the usage of its last run only.
                if thread.status == ThreadStatus::Completed && stored.is_last {
                    self.transcript.reported.note_usage(thread.usage);
                }
                // The answer has no id of ours. It counts as ours only because nobody else claims it and it contains everything
                // that was delivered.
                match verdict == Verdict::Unclaimed && !self.transcript.is_within(&stored.message) {
                    true => self.complete_unstored(why),
                    false => self.complete(why, stored),
                }
            }
            (Verdict::Unstored | Verdict::NotStored, _) => match self.transcript.reported.end() {
                // The end was among the chunks that were delivered elsewhere.
                Some(end) => self.end(why, end, MessageState::Partial),
                None if verdict == Verdict::Unstored => self.complete_unstored(why),
                None => {
                    self.transition = why;
                    self.lose(LostReason::NotStored)
                }
            },
            // Not reached: these verdicts come with a stored answer.
            _ => self.complete_unstored(why),
        })
    }

    /// Ends a completed run whose answer is not stored.
    fn complete_unstored(&mut self, why: &'static str) -> Transition {
        let state = match self.is_whole() {
            true => MessageState::Whole,
            false => MessageState::StoredIncompletely,
        };
        // The reader of the chunks learns that something is missing, and that nothing more comes.
        if !self.transcript.reported.has_finished {
            self.transcript.gap();
            self.transcript.finish();
        }
        self.end(why, RunEnd::Completed, state)
    }

    /// Ends a completed run with its stored answer.
    fn complete(&mut self, why: &'static str, stored: Stored) -> Transition {
        self.transcript
            .reported
            .note_metadata(stored.message.metadata.as_ref());
        // A whole message is never replaced.
        if self.is_whole() {
            return self.end(why, RunEnd::Completed, MessageState::Whole);
        }
        // A reader that joined in the middle stores only what it saw. If nothing was delivered before, or something is missing,
        // only an answer stored by the first reader is known to contain the beginning.
        let is_unsure = self.identity.is_joined() || self.transcript.has_gap();
        let may_be_tail = !stored.has_question || (stored.may_be_tail && is_unsure);
        // After a gap the pieces cannot be compared reliably, so the first reader's answer replaces them whatever its parts look
        // like. Without a gap they can be: if the stored answer lacks some of them, they stay.
        let is_vouched = stored.is_first_readers && self.transcript.has_gap();
        let holds_all = self.transcript.settle(stored.message, is_vouched);
        let state = match is_vouched || (holds_all && !may_be_tail) {
            true => MessageState::Whole,
            false => MessageState::StoredIncompletely,
        };
        self.end(why, RunEnd::Completed, state)
    }
}
