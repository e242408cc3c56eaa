//! The run is over, or its thread was read: the verdict, and what follows of it.

use super::identity::{Answer, Stored};
use super::verdict::{AnswerIs, Facts, ThreadIs, Verdict};
use super::{Following, Turn};
use crate::flow::Now;
use crate::runs::{LostReason, MessageState, RunEnd};
use crate::threads::{Thread, ThreadStatus};

/// Reads the thread until it tells what became of the run.
pub(super) fn poll(cx: &mut Following, now: Now) -> Turn {
    let turn = match cx.look(now) {
        Ok(thread) => cx.settle(&thread),
        Err(unanswered) => return cx.again(unanswered, now),
    };
    turn.unwrap_or_else(|| {
        cx.pause(now);
        Turn::Again
    })
}

impl Following {
    /// What follows of what the thread says; `None` if the run goes on.
    pub(super) fn settle(&mut self, thread: &Thread) -> Option<Turn> {
        let answer = self.identity.find(thread);
        let facts = Facts {
            thread: ThreadIs::of(&thread.status, self.has_read()),
            answer: match &answer {
                Answer::None => AnswerIs::None,
                Answer::Unclaimed(_) => AnswerIs::Unclaimed,
                Answer::Found(_) => AnswerIs::Found,
                Answer::Named(_) => AnswerIs::Named,
            },
            has_finished: self.transcript.has_finished(),
        };
        let verdict = facts.verdict();
        let why = verdict.name();
        let is_completed = thread.status == ThreadStatus::Completed;
        Some(match (verdict, answer) {
            (Verdict::GoesOn, _) => return None,
            (Verdict::Failed, _) => {
                let text = thread.error.clone().unwrap_or_default();
                self.end(why, RunEnd::Failed(text), MessageState::Partial)
            }
            (Verdict::Cancelled, _) => self.end(why, RunEnd::Cancelled, MessageState::Partial),
            (
                Verdict::Named | Verdict::LaterTurn | Verdict::Found,
                Answer::Named(stored) | Answer::Found(stored),
            ) => {
                if is_completed && stored.is_last {
                    self.transcript.note_usage(thread.usage);
                }
                self.complete(why, stored)
            }
            (Verdict::Unclaimed, Answer::Unclaimed(message)) => {
                self.transcript.note_usage(thread.usage);
                // Nothing says that it is ours but that nobody else's is there, and that it holds what was delivered.
                if self.transcript.is_within(&message) {
                    let unclaimed = Stored {
                        message,
                        has_question: false,
                        is_last: true,
                        is_first_readers: false,
                        may_be_tail: true,
                    };
                    self.complete(why, unclaimed)
                } else {
                    self.complete_unstored(why)
                }
            }
            (Verdict::NotStored, _) => {
                self.transition = why;
                self.lose(LostReason::NotStored)
            }
            _ => self.complete_unstored(why),
        })
    }

    /// The run has completed, and nothing of it is stored.
    fn complete_unstored(&mut self, why: &'static str) -> Turn {
        let state = match self.is_whole() {
            true => MessageState::Whole,
            false => MessageState::StoredIncompletely,
        };
        if !self.transcript.has_finished() {
            self.transcript.gap();
            self.transcript.finish();
        }
        self.end(why, RunEnd::Completed, state)
    }

    /// The run has completed, and this is its stored answer.
    fn complete(&mut self, why: &'static str, stored: Stored) -> Turn {
        self.transcript
            .note_metadata(stored.message.metadata.as_ref());
        // Nothing replaces a message that is whole.
        if self.is_whole() {
            return self.end(why, RunEnd::Completed, MessageState::Whole);
        }
        // Whoever has joined in the middle stores what it saw. Where nothing was delivered before, or something is missing, only the
        // first reader vouches for what came before.
        let is_unsure = self.identity.is_joined() || self.transcript.has_gap();
        let may_be_tail = !stored.has_question || (stored.may_be_tail && is_unsure);
        // Behind a gap the pieces cannot be compared for certain, and the first reader's answer takes their place whatever its parts look
        // like. Without one they can: where they are not all there, they stay.
        let is_vouched = stored.is_first_readers && self.transcript.has_gap();
        let holds_all = self.transcript.settle(stored.message, is_vouched);
        let state = match is_vouched || (holds_all && !may_be_tail) {
            true => MessageState::Whole,
            false => MessageState::StoredIncompletely,
        };
        self.end(why, RunEnd::Completed, state)
    }
}
