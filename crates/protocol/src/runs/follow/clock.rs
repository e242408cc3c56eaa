use std::time::{Duration, Instant};

use super::policy::FollowPolicy;
use crate::flow::{Now, Step};
use crate::runs::LostReason;

/// How long a run is followed, and since when nothing has come of it.
#[derive(Debug, Default)]
pub(super) struct Clock {
    deadline: Option<Duration>,
    lost_after: Option<Duration>,
    begin: Option<Instant>,
    /// When something last came of a stream; while none was opened, when the relay last responded.
    news: Option<Instant>,
    /// When the driver was last told to wait.
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

    /// Waits for what is under way, until the first of these moments or of the clock's own.
    pub(super) fn wait<I, O, const N: usize>(
        &mut self,
        moments: [Option<Instant>; N],
        now: Now,
    ) -> Step<I, O> {
        self.waited = Some(now.mono);
        let limits = [self.deadline(), self.lost_at()];
        Step::Wait {
            until: moments.into_iter().chain(limits).flatten().min(),
        }
    }

    /// Whether a moment has come, and the driver has waited since: one that was not polled for an hour may find bytes that came
    /// within the first second, and they are looked at before silence is judged.
    pub(super) fn has_come(&self, at: Option<Instant>, now: Now) -> bool {
        let has_waited = |at| self.waited.is_some_and(|waited| at <= waited);
        at.is_some_and(|at| at <= now.mono && has_waited(at))
    }

    /// Why the run is lost, if its time is over.
    pub(super) fn is_over(&self, now: Now) -> Option<LostReason> {
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
        self.news.or(self.begin)?.checked_add(self.lost_after?)
    }
}
