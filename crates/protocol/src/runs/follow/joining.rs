//! Reads the thread before joining a run that was started elsewhere.

use super::verdict::ThreadIs;
use super::{Following, Transition};
use crate::flow::Now;

pub(super) fn poll(cx: &mut Following, now: Now) -> Transition {
    let thread = match cx.look(now) {
        Ok(thread) => thread,
        Err(no_result) => return cx.again(no_result, now),
    };
    let is_going_on = ThreadIs::of(&thread.status, cx.has_read()) == ThreadIs::GoingOn;
    // Without the id of the user's message, our answer can be recognized only by its position: it is none of the messages that are
    // stored now.
    if is_going_on && !cx.identity.has_turn() {
        cx.identity.joins_behind(&thread);
        return cx.reconnect("joining: it streams");
    }
    // The run may be over, even if a later turn streams in the thread.
    cx.settle(&thread).unwrap_or_else(|| cx.goes_on(now))
}
