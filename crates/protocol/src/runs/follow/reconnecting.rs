//! No stream is open and the run may go on: queries the relay, and opens the stream again if that is allowed.

use super::resuming::Resuming;
use super::verdict::ThreadIs;
use super::{Following, Phase, Transition};
use crate::flow::Now;
use crate::runs::LostReason;

pub(super) fn poll(cx: &mut Following, now: Now) -> Transition {
    // If our answer is stored, the stream in our thread belongs to a later turn.
    if cx.wants_look(now) {
        return match cx.check_stored(now) {
            Ok(()) => cx.goes_on(now),
            Err(transition) => transition,
        };
    }
    let target = match cx.list(None, now) {
        Ok(target) => target,
        Err(no_result) => return cx.again(no_result, now),
    };
    // The list contains all threads of the sandbox, so a missing one is deleted.
    let Some(status) = target.status() else {
        return cx.lose(LostReason::Deleted);
    };
    if ThreadIs::of(status, cx.has_read()) != ThreadIs::GoingOn {
        return cx.go("reconnecting: over", Phase::Settling);
    }
    // A request to resume would open the stream of the newest thread, so it is not sent for ours.
    if !cx.may_resume() || !target.is_ours() {
        return cx.reconnect_later("reconnecting: it goes on", now);
    }
    match Resuming::new(target, cx) {
        Ok(resuming) => cx.go("reconnecting: resumes", Phase::Resuming(Box::new(resuming))),
        Err(error) => cx.again(error.into(), now),
    }
}
