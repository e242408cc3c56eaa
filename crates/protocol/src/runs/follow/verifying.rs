//! A stream was opened, and nothing of it is taken until it is known to be ours.
//!
//! Resuming names a sandbox and means its newest thread that streams. Between the list that said it is ours and the stream, a newer
//! run may have begun: so the threads are listed once more, and it is looked whether our answer is stored already, in which case what
//! streams in our thread is a later turn.

use super::reading::Reading;
use super::stream::Stream;
use super::{Following, Phase, Turn};
use crate::flow::Now;
use crate::runs::RunEvent;
use crate::threads::StreamTarget;

#[derive(Debug)]
pub(super) struct Verifying {
    pub(super) stream: Stream,
    before: StreamTarget,
    /// Whether the list says that it is ours. Then it is, unless our answer is stored.
    is_listed: bool,
}

impl Verifying {
    pub(super) fn new(stream: Stream, before: StreamTarget) -> Self {
        Self {
            stream,
            before,
            is_listed: false,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Following, now: Now) -> Turn {
        if !self.is_listed {
            let target = match cx.list(None, now) {
                Ok(target) => target,
                Err(unanswered) => return cx.again(unanswered, now),
            };
            if !target.is_still_ours(&self.before) {
                cx.drop_all();
                return cx.reconnect_later("verifying: not ours", now);
            }
            if !cx.can_look() {
                let goes_on = target.status().is_some_and(|status| !status.is_end());
                return self.ours(goes_on, cx, now);
            }
            self.is_listed = true;
        }
        match cx.glance(now) {
            Ok(()) => self.ours(true, cx, now),
            Err(turn) => turn,
        }
    }

    fn ours(&mut self, goes_on: bool, cx: &mut Following, now: Now) -> Turn {
        if self.stream.is_too_long() {
            cx.resumes.failed += 1;
            cx.drop_all();
            return cx.reconnect_later("verifying: too much came meanwhile", now);
        }
        cx.resumes.has_read = true;
        cx.transcript.say(RunEvent::Resumed);
        let stream = self.stream.hand_over();
        let reading = match goes_on {
            true => Reading::of(stream),
            false => Reading::ending(stream, now),
        };
        cx.go("verifying: ours", Phase::Reading(reading))
    }
}
