use std::time::Duration;

use crate::ResponseError;
use crate::flow::{ExchangeError, ExchangeErrorKind, Now};
use crate::options::CallOptions;
use crate::retry::Jitter;

/// The delay before the next attempt. It starts at 0.25 s and doubles up to 5 s. Each delay is drawn between half of that and all
/// of it, so that clients that were cut off together do not reconnect together.
#[derive(Debug)]
pub(super) struct Backoff {
    delay: Duration,
    longest: Duration,
    longest_retry_after: Duration,
    jitter: Jitter,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(5);

    pub(super) fn new(seed: u64, options: &CallOptions) -> Self {
        Self {
            delay: Self::FIRST,
            longest: Self::LONGEST,
            longest_retry_after: options.retry_policy().longest_retry_after,
            jitter: Jitter(seed),
        }
    }

    /// Caps the delay at `longest`.
    pub(super) fn up_to(mut self, longest: Duration) -> Self {
        self.longest = self.longest.min(longest);
        self
    }

    pub(super) fn next(&mut self) -> Duration {
        let delay = self.delay.min(self.longest);
        // Doubles the capped delay, so that it cannot overflow.
        self.delay = delay * 2;
        delay.mul_f64(0.5 + 0.5 * self.jitter.next())
    }

    /// Returns the same delay as [`next`](Self::next), or the relay's `retry-after` if that is longer. The options limit the
    /// latter.
    pub(super) fn after(&mut self, error: &ExchangeError, now: Now) -> Duration {
        let asked = match error.kind() {
            ExchangeErrorKind::Response(ResponseError::Api(error)) => error.retry_after(),
            _ => None,
        };
        let asked = asked.map_or(Duration::ZERO, |after| after.delay(now.wall));
        // A short `retry-after`, such as 0, must not speed up the queries.
        self.next().max(asked.min(self.longest_retry_after))
    }

    /// Starts again from the first delay.
    pub(super) fn reset(&mut self) {
        self.delay = Self::FIRST;
    }
}
