//! When an exchange is tried again, and how long is waited before: pure decisions.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::error::ResponseError;
use crate::flow::{Now, Sent};
use crate::operation::{Endpoint, Safety};
pub use crate::prospect::Prospect;

/// How often an exchange is tried, and how long is waited in between.
///
/// What may be tried again at all is not a setting: see [`Attempts`].
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_protocol::retry::RetryPolicy;
///
/// assert_eq!(RetryPolicy::standard().attempts, 3);
/// assert_eq!(RetryPolicy::never().attempts, 1);
/// let patient = RetryPolicy::standard().attempts(6).longest_delay(Duration::from_secs(30));
/// # let _ = patient;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct RetryPolicy {
    /// How often in all, the first time included: 3.
    pub attempts: u32,
    /// The longest wait before the second attempt: 0.5 s. It doubles with each further one.
    pub first_delay: Duration,
    /// The longest wait before any attempt: 8 s.
    pub longest_delay: Duration,
    /// The longest wait that the relay may ask for: 60 s. If it asks for more, the call fails at once.
    pub longest_retry_after: Duration,
}

impl RetryPolicy {
    /// Three attempts; the delays double from 0.5 s to 8 s, with full jitter.
    pub const fn standard() -> Self {
        Self {
            attempts: 3,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(8),
            longest_retry_after: Duration::from_secs(60),
        }
    }

    /// One attempt.
    pub const fn never() -> Self {
        Self {
            attempts: 1,
            ..Self::standard()
        }
    }

    /// How often in all, the first time included. 0 counts as 1.
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The longest wait before the second attempt.
    pub const fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// The longest wait before any attempt.
    pub const fn longest_delay(mut self, delay: Duration) -> Self {
        self.longest_delay = delay;
        self
    }

    /// The longest wait that the relay may ask for.
    pub const fn longest_retry_after(mut self, delay: Duration) -> Self {
        self.longest_retry_after = delay;
        self
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::standard()
    }
}

/// The attempts of one exchange, and the decision after each.
///
/// | what happened | GET, DELETE | POST, PATCH |
/// |---|---|---|
/// | surely [not sent](Sent::No), or refused before it was processed | again | again |
/// | maybe sent, no answer | again | |
/// | either, and [another attempt would fail the same way](crate::flow::Failure::permanent) | | |
/// | 429 | again | again |
/// | 408, 425, 502, 503, 504 | again | |
/// | 500 | again, unless its code is `internal_error`: so the relay answers to missing files and malformed ids | |
/// | 404 to a DELETE that may have arrived before | it is done | |
/// | what [cannot get better](Prospect): a code such as `billing_not_ready`, a 429 because a quota is used up | | |
///
/// A POST creates a sandbox, runs a command or starts a run, and a second one costs a second time. Resuming and cancelling
/// ([`Safety::FlowOnly`]) are never tried again here.
#[derive(Debug, Clone)]
pub struct Attempts {
    policy: RetryPolicy,
    method: Method,
    safety: Safety,
    made: u32,
    may_have_arrived: bool,
    jitter: Jitter,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Attempt<'a> {
    /// There is no answer.
    Failed(Sent),
    /// There is none, or none that can be read, and another attempt would bring no other.
    Permanent(Sent),
    /// There is one, which is no result.
    Answered(&'a ResponseError),
}

/// What follows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Try again after this delay.
    Retry(Duration),
    /// It is done: what was to be deleted is gone.
    Done,
    /// It has failed.
    GiveUp(GiveUp),
}

/// Why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GiveUp {
    /// As many as allowed were made.
    #[error("it was the last attempt")]
    LastAttempt,
    /// Another one could act, and cost, a second time.
    #[error("another attempt could act twice")]
    NotRepeatable,
    /// Another one would fail the same way.
    #[error("another attempt would fail the same way")]
    Permanent,
    /// The relay asks to wait for longer than allowed.
    #[error("the relay asks to wait for {} s", .0.as_secs_f64())]
    RetryAfterTooLong(Duration),
}

impl Attempts {
    /// The attempts of this exchange. `seed` spreads the delays of many clients: take any random number.
    pub fn new<E: Endpoint>(endpoint: &E, policy: RetryPolicy, seed: u64) -> Self {
        Self {
            policy,
            method: E::ROUTE.method,
            safety: endpoint.safety(),
            made: 0,
            may_have_arrived: false,
            jitter: Jitter(seed),
        }
    }

    /// How many were made.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// Whether one of them may have reached the relay.
    pub fn may_have_arrived(&self) -> bool {
        self.may_have_arrived
    }

    /// What follows of the attempt that was just made.
    pub fn decide(&mut self, attempt: Attempt<'_>, now: Now) -> Decision {
        self.made += 1;
        let decision = self.rule(attempt, now);
        self.may_have_arrived |= !matches!(
            attempt,
            Attempt::Failed(Sent::No) | Attempt::Permanent(Sent::No)
        );
        decision
    }

    fn rule(&mut self, attempt: Attempt<'_>, now: Now) -> Decision {
        let repeatable = self.safety == Safety::Repeatable;
        let mut asked = None;
        let again = match attempt {
            Attempt::Failed(sent) => repeatable || sent == Sent::No,
            // Half an answer, one of something else than the relay, or too long a one: it would be the same again.
            Attempt::Permanent(_) | Attempt::Answered(ResponseError::InvalidResponse(_)) => {
                return Decision::GiveUp(GiveUp::Permanent);
            }
            Attempt::Answered(ResponseError::Api(error)) => {
                let gone = error.status() == StatusCode::NOT_FOUND && self.method == Method::DELETE;
                if gone && repeatable && self.may_have_arrived {
                    return Decision::Done;
                }
                if Prospect::of_response(error) != Prospect::Improves {
                    return Decision::GiveUp(GiveUp::Permanent);
                }
                asked = error.retry_after().map(|after| after.delay(now.wall));
                repeatable || error.status() == StatusCode::TOO_MANY_REQUESTS
            }
        };
        if !again || self.safety == Safety::FlowOnly {
            return Decision::GiveUp(GiveUp::NotRepeatable);
        }
        if self.made >= self.policy.attempts {
            return Decision::GiveUp(GiveUp::LastAttempt);
        }
        match asked {
            Some(delay) if delay > self.policy.longest_retry_after => {
                Decision::GiveUp(GiveUp::RetryAfterTooLong(delay))
            }
            Some(delay) => Decision::Retry(delay),
            None => Decision::Retry(self.backoff()),
        }
    }

    /// Full jitter: anything from nothing to the whole delay, so that clients that failed together do not return together.
    fn backoff(&mut self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.made.saturating_sub(1));
        let longest = self
            .policy
            .first_delay
            .saturating_mul(doubled)
            .min(self.policy.longest_delay);
        longest.mul_f64(self.jitter.next())
    }
}

/// Numbers from 0 up to 1, from a seed: `SplitMix64`, by Steele, Lea and Flood.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(pub(crate) u64);

impl Jitter {
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are what a double holds"
    )]
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_the_sequence_of_split_mix_64() {
        let mut jitter = Jitter(1_234_567);
        // The first numbers from this seed, as the authors' program prints them.
        for number in [
            6_457_827_717_110_365_317_u64,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ] {
            let expected = (number >> 11) as f64 / 2_f64.powi(53);
            assert_eq!(jitter.next().to_bits(), expected.to_bits());
        }
    }
}
