//! Retry rules and delays, as pure functions.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::error::ResponseError;
use crate::flow::{Now, Sent};
use crate::operation::{Endpoint, Safety};
pub use crate::prospect::Prospect;

/// The number of attempts and the delays between them.
///
/// It is not configurable whether a request may be retried at all: see [`Attempts`].
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
    /// The number of attempts, including the first. Default: 3.
    pub attempts: u32,
    /// The longest wait before the second attempt. It doubles with each further attempt. Default: 0.5 s.
    pub first_delay: Duration,
    /// The longest wait before any attempt. Default: 8 s.
    pub longest_delay: Duration,
    /// The longest wait that the relay may ask for. If it asks for more, the call fails at once. Default: 60 s.
    pub longest_retry_after: Duration,
}

impl RetryPolicy {
    /// Returns the standard policy: three attempts, with delays that double from 0.5 s to 8 s and have full jitter.
    pub const fn standard() -> Self {
        Self {
            attempts: 3,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(8),
            longest_retry_after: Duration::from_secs(60),
        }
    }

    /// Returns the policy with a single attempt.
    pub const fn never() -> Self {
        Self {
            attempts: 1,
            ..Self::standard()
        }
    }

    /// Sets the number of attempts, including the first. 0 counts as 1.
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the longest wait before the second attempt.
    pub const fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// Sets the longest wait before any attempt.
    pub const fn longest_delay(mut self, delay: Duration) -> Self {
        self.longest_delay = delay;
        self
    }

    /// Sets the longest wait that the relay may ask for.
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

/// The attempts of one request, and the decision after each.
///
/// | result of the attempt | GET, DELETE | POST, PATCH |
/// |---|---|---|
/// | certainly [not sent](Sent::No), or refused before it was processed | retry | retry |
/// | maybe sent, no response | retry | give up |
/// | one of these, marked as [permanent](crate::flow::Failure::permanent) | give up | give up |
/// | 429 | retry | retry |
/// | 408, 425, 502, 503, 504 | retry | give up |
/// | 500 | retry, unless its code is `internal_error`: the relay's response to missing files and malformed ids | give up |
/// | 404 to a DELETE, if an earlier attempt may have arrived | success | |
/// | an error that is [not transient](Prospect): a code such as `billing_not_ready`, a 429 because a quota is used up | give up | give up |
///
/// A POST creates a sandbox, runs a command or starts a run, and a second one costs a second time. Requests to resume or cancel a
/// run ([`Safety::FlowOnly`]) are never retried here.
#[derive(Debug, Clone)]
pub struct Attempts {
    policy: RetryPolicy,
    method: Method,
    safety: Safety,
    made: u32,
    may_have_arrived: bool,
    jitter: Jitter,
}

/// The result of an attempt.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Attempt<'a> {
    /// No response.
    Failed(Sent),
    /// No response, or one that could not be read, and another attempt would fail the same way.
    Permanent(Sent),
    /// An error response, or an invalid one.
    ErrorResponse(&'a ResponseError),
}

/// The decision after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Retry after this delay.
    Retry(Duration),
    /// Success: the object to delete is gone.
    Done,
    /// Failure.
    GiveUp(GiveUp),
}

/// The reason why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GiveUp {
    /// The allowed number of attempts is used up.
    #[error("it was the last attempt")]
    LastAttempt,
    /// Another attempt could act, and cost, a second time.
    #[error("another attempt could act twice")]
    NotRepeatable,
    /// Another attempt would fail the same way.
    #[error("another attempt would fail the same way")]
    Permanent,
    /// The relay asks for a longer wait than allowed.
    #[error("the relay asks for a wait of {} s, longer than allowed", .0.as_secs_f64())]
    RetryAfterTooLong(Duration),
}

impl Attempts {
    /// Creates the attempts of one request. Pass a random number as `seed`, so that many clients do not retry at the same time.
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

    /// Returns the number of attempts made.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// Returns whether one of the attempts may have reached the relay.
    pub fn may_have_arrived(&self) -> bool {
        self.may_have_arrived
    }

    /// Decides what follows the attempt that was just made.
    pub fn decide(&mut self, attempt: Attempt<'_>, now: Now) -> Decision {
        self.made += 1;
        // Decide first: a 404 to the first DELETE is an error, because no earlier attempt can have deleted the object.
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
            // A response that is truncated, not the relay's, or over the size limit would be the same again.
            Attempt::Permanent(_) | Attempt::ErrorResponse(ResponseError::InvalidResponse(_)) => {
                return Decision::GiveUp(GiveUp::Permanent);
            }
            Attempt::ErrorResponse(ResponseError::Api(error)) => {
                // Before the prospect, for which a 404 is a failure.
                let gone = error.status() == StatusCode::NOT_FOUND && self.method == Method::DELETE;
                if gone && repeatable && self.may_have_arrived {
                    return Decision::Done;
                }
                if Prospect::of_response(error) != Prospect::Improves {
                    return Decision::GiveUp(GiveUp::Permanent);
                }
                asked = error.retry_after().map(|after| after.delay(now.wall));
                // The relay refuses a request with 429 before it processes it, so a POST has not acted.
                repeatable || error.status() == StatusCode::TOO_MANY_REQUESTS
            }
        };
        // Not even a 429 or an unsent request: by the time of another attempt, a later run may be the one it reaches.
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

    /// Returns a delay with full jitter, anything from zero to the whole delay, so that clients that failed together do not
    /// return together.
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
        // The first numbers from this seed, as printed by the authors' program.
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
