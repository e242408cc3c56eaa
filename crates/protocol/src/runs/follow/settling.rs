//! The run is over, or its thread was read: the verdict, and what follows of it.

use super::identity::Stored;
use super::verdict::{Facts, ThreadIs, Verdict};
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
        let (answer, stored) = self.identity.find(thread);
        let facts = Facts {
            thread: ThreadIs::of(&thread.status, self.has_read()),
            answer,
            has_finished: self.transcript.said.has_finished,
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
                if thread.status == ThreadStatus::Completed && stored.is_last {
                    self.transcript.said.note_usage(thread.usage);
                }
                // Nothing says that it is ours but that nobody else's is there, and that it holds what was delivered.
                match verdict == Verdict::Unclaimed && !self.transcript.is_within(&stored.message) {
                    true => self.complete_unstored(why),
                    false => self.complete(why, stored),
                }
            }
            (Verdict::Unstored | Verdict::NotStored, _) => match self.transcript.said.end() {
                // It was delivered before, with the end that was known there.
                Some(end) => self.end(why, end, MessageState::Partial),
                None if verdict == Verdict::Unstored => self.complete_unstored(why),
                None => {
                    self.transition = why;
                    self.lose(LostReason::NotStored)
                }
            },
            _ => self.complete_unstored(why),
        })
    }

    /// The run has completed, and nothing of it is stored.
    fn complete_unstored(&mut self, why: &'static str) -> Turn {
        let state = match self.is_whole() {
            true => MessageState::Whole,
            false => MessageState::StoredIncompletely,
        };
        if !self.transcript.said.has_finished {
            self.transcript.gap();
            self.transcript.finish();
        }
        self.end(why, RunEnd::Completed, state)
    }

    /// The run has completed, and this is its stored answer.
    fn complete(&mut self, why: &'static str, stored: Stored) -> Turn {
        self.transcript
            .said
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
