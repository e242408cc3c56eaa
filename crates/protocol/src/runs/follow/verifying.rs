//! A stream was opened, and nothing is taken from it until it is known to be ours.
//!
//! A request to resume names a sandbox and gets the newest thread that streams. A newer run may have begun between the list that
//! showed ours and the opening of the stream. So the threads are listed again, and the thread is checked for our answer: if it is
//! stored, the stream belongs to a later turn.

use super::reading::Reading;
use super::stream::Stream;
use super::{Following, Phase, Transition};
use crate::flow::Now;
use crate::runs::RunEvent;
use crate::threads::StreamTarget;

#[derive(Debug)]
pub(super) struct Verifying {
    pub(super) stream: Stream,
    /// The list that showed ours as the newest, before the stream was opened.
    before: StreamTarget,
    /// Whether the list after that shows the same. Then the stream is ours, unless our answer is stored already.
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

    pub(super) fn poll(&mut self, cx: &mut Following, now: Now) -> Transition {
        if !self.is_listed {
            let target = match cx.list(None, now) {
                Ok(target) => target,
                Err(no_result) => return cx.again(no_result, now),
            };
            if !target.is_still_ours(&self.before) {
                cx.drop_all();
                return cx.reconnect_later("verifying: not ours", now);
            }
            // Our answer could not be recognized among the stored messages, so the list alone decides.
            if !cx.can_look() {
                let goes_on = target.status().is_some_and(|status| !status.is_end());
                return self.ours(goes_on, cx, now);
            }
            self.is_listed = true;
        }
        match cx.check_stored(now) {
            Ok(()) => self.ours(true, cx, now),
            Err(transition) => transition,
        }
    }

    fn ours(&mut self, goes_on: bool, cx: &mut Following, now: Now) -> Transition {
        // Bytes beyond the limit were dropped, so the stream has a hole and is of no use.
        if self.stream.is_too_long() {
            cx.resumes.failed += 1;
            cx.drop_all();
            return cx.reconnect_later("verifying: too much came meanwhile", now);
        }
        cx.resumes.has_read = true;
        cx.transcript.emit(RunEvent::Resumed);
        let stream = self.stream.hand_over();
        // A run that has ended meanwhile is still read: what it sent last is on its way.
        let reading = match goes_on {
            true => Reading::of(stream),
            false => Reading::ending(stream, now),
        };
        cx.go("verifying: ours", Phase::Reading(reading))
    }
}
