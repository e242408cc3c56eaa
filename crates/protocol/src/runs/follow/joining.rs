//! Before a run is joined that was started elsewhere: a look at what is stored.

use std::time::Instant;

use super::reconnecting::Reconnecting;
use super::verdict::ThreadIs;
use super::{Following, Turn, refusal};
use crate::flow::{Call, Now, UnderWay};
use crate::runs::LostReason;
use crate::threads::{GetThread, Thread};

#[derive(Debug)]
pub(super) struct Joining {
    at: Option<Instant>,
    look: Option<Call<GetThread>>,
}

impl Joining {
    pub(super) fn new() -> Self {
        Self {
            at: None,
            look: None,
        }
    }

    pub(super) fn call(&mut self) -> Option<&mut dyn UnderWay> {
        self.look.as_mut().map(|look| look as _)
    }

    pub(super) fn poll(mut self: Box<Self>, cx: &mut Following, now: Now) -> Turn {
        if let Some(at) = self.at.filter(|at| now.mono < *at) {
            let wait = cx.clock.wait([Some(at)], now);
            return Turn::Stay(self.into(), wait);
        }
        let mut look = match self.look.take().map_or_else(|| cx.look(), Ok) {
            Ok(look) => look,
            Err(error) => return cx.refused(LostReason::Refused, error),
        };
        match cx.go_on(&mut look, [], now) {
            Err(step) => {
                self.look = Some(look);
                Turn::Stay(self.into(), step)
            }
            Ok(Ok(thread)) => Self::looked(&thread, cx, now),
            Ok(Err(error)) => match refusal(&error) {
                Some(reason) => cx.refused(reason, error),
                None => {
                    self.at = cx.after(&error, now);
                    cx.cause = Some(std::sync::Arc::new(error));
                    Turn::Go(self.into())
                }
            },
        }
    }

    fn looked(thread: &Thread, cx: &mut Following, now: Now) -> Turn {
        let is_going_on = ThreadIs::of(&thread.status, cx.has_read()) == ThreadIs::GoingOn;
        // Known by its place alone, our answer is none of those that are there already.
        if is_going_on && !cx.identity.has_turn() {
            cx.identity.joins_behind(thread);
            cx.looked(&thread.status, now);
            return cx.go("joining: it streams", Reconnecting::at_once());
        }
        cx.settle(thread, now)
            .unwrap_or_else(|| Reconnecting::again(cx, now))
    }
}
