use std::time::{Duration, Instant};

use super::policy::FollowPolicy;
use crate::flow::{Now, Step};
use crate::runs::LostReason;

/// The time limits of following: for the whole run, and for silence.
#[derive(Debug, Default)]
pub(super) struct Clock {
    deadline: Option<Duration>,
    lost_after: Option<Duration>,
    begin: Option<Instant>,
    /// The time of the last data on a stream or, while no stream was ever opened, of the last response of the relay.
    news: Option<Instant>,
    /// The time at which the driver was last told to wait.
    waited: Option<Instant>,
}

impl Clock {
    pub(super) fn new(policy: &FollowPolicy) -> Self {
        Self {
            deadline: policy.deadline,
            lost_after: policy.lost_after,
            ..Self::default()
        }
    }

    pub(super) fn begin(&mut self, now: Now) {
        self.begin.get_or_insert(now.mono);
    }

    pub(super) fn news(&mut self, now: Now) {
        self.news = Some(now.mono);
    }

    pub(super) fn last_news(&self) -> Option<Instant> {
        self.news
    }

    /// Returns the step that waits for what is under way, until the first of these instants or of the clock's own limits.
    pub(super) fn wait<I, O, const N: usize>(
        &mut self,
        events: [Option<Instant>; N],
        now: Now,
    ) -> Step<I, O> {
        // When a wait is returned after a limit, the driver has handed over everything that had arrived by then: see `has_come`.
        self.waited = Some(now.mono);
        // The clock's own limits always count: a relay that sends nothing would never wake the flow.
        let limits = [self.deadline(), self.lost_at()];
        Step::Wait {
            until: events.into_iter().chain(limits).flatten().min(),
        }
    }

    /// Returns whether an instant has passed and the driver has waited since. A driver that did not poll for an hour may hold
    /// bytes that arrived within the first second; they are read before silence is judged.
    pub(super) fn has_come(&self, at: Option<Instant>, now: Now) -> bool {
        let has_waited = |at| self.waited.is_some_and(|waited| at <= waited);
        at.is_some_and(|at| at <= now.mono && has_waited(at))
    }

    /// Returns the reason why the run is lost, if a time limit has passed.
    pub(super) fn expired(&self, now: Now) -> Option<LostReason> {
        if self.has_come(self.deadline(), now) {
            Some(LostReason::Deadline)
        } else if self.has_come(self.lost_at(), now) {
            Some(LostReason::Silence)
        } else {
            None
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.begin?.checked_add(self.deadline?)
    }

    fn lost_at(&self) -> Option<Instant> {
        // Before any news, the time counts from the beginning.
        self.news.or(self.begin)?.checked_add(self.lost_after?)
    }
}
