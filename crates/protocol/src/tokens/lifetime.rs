use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{InvalidRequest, Problem};

/// The lifetime of a token: whole seconds, from one second to 24 hours.
///
/// The relay silently replaces an unreadable lifetime by one hour, and one of more than a day by a day. So this type allows
/// neither.
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_protocol::tokens::TokenLifetime;
///
/// let lifetime = TokenLifetime::new(Duration::from_secs(15 * 60))?;
/// assert_eq!(lifetime.to_string(), "15m");
/// assert_eq!("15m".parse(), Ok(lifetime));
/// assert!(TokenLifetime::new(Duration::from_secs(48 * 3600)).is_err());
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenLifetime(u32);

const LONGEST: u64 = 24 * 3600;

impl TokenLifetime {
    /// One hour, the relay's default.
    pub const HOUR: Self = Self(3600);

    /// Creates a lifetime.
    ///
    /// # Errors
    /// The duration is not a whole number of seconds, is zero, or exceeds 24 hours.
    pub fn new(lifetime: Duration) -> Result<Self, InvalidRequest> {
        let rule = InvalidRequest::new(
            "expires_in",
            Problem::MustBe("from 1 second to 24 hours, in whole seconds"),
        );
        match u32::try_from(lifetime.as_secs()) {
            Ok(seconds @ 1..) if u64::from(seconds) <= LONGEST && lifetime.subsec_nanos() == 0 => {
                Ok(Self(seconds))
            }
            _ => Err(rule),
        }
    }

    /// Returns the lifetime as a duration.
    pub fn as_duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl TryFrom<Duration> for TokenLifetime {
    type Error = InvalidRequest;

    fn try_from(lifetime: Duration) -> Result<Self, InvalidRequest> {
        Self::new(lifetime)
    }
}

/// Prints the relay's form: `30s`, `15m`, `1h`.
impl fmt::Display for TokenLifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
            seconds if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            seconds => write!(f, "{seconds}s"),
        }
    }
}

impl Serialize for TokenLifetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Parses `<digits><s|m|h|d>`.
impl FromStr for TokenLifetime {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<Self, InvalidRequest> {
        let seconds = text
            .split_at_checked(text.len().saturating_sub(1))
            .and_then(|(digits, unit)| {
                let unit = match unit {
                    "s" => 1,
                    "m" => 60,
                    "h" => 3600,
                    "d" => 24 * 3600,
                    _ => return None,
                };
                // The number parser accepts a sign, which the relay does not.
                let digits = digits
                    .bytes()
                    .all(|byte| byte.is_ascii_digit())
                    .then_some(digits)?;
                digits.parse::<u64>().ok()?.checked_mul(unit)
            });
        let rule = Problem::MustBe("a number and one of `s`, `m`, `h` and `d`, such as `15m`");
        let seconds = seconds.ok_or_else(|| InvalidRequest::new("expires_in", rule))?;
        Self::new(Duration::from_secs(seconds))
    }
}

impl<'de> Deserialize<'de> for TokenLifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_lifetime_is_read_back_unchanged(seconds in 1..=LONGEST) {
            let lifetime = TokenLifetime::new(Duration::from_secs(seconds)).unwrap();
            prop_assert_eq!(lifetime.as_duration().as_secs(), seconds);
            prop_assert_eq!(lifetime.to_string().parse(), Ok(lifetime));
        }

        #[test]
        fn lifetimes_that_the_relay_would_misread_are_refused(
            text in prop_oneof!["[+-]?[0-9]{0,6}[smhdSMw]?", "[0-9]{1,25}[smhd]", ".{0,6}"],
        ) {
            let read_by_relay = text
                .strip_suffix(['s', 'm', 'h', 'd'])
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| digits.parse::<u64>().ok())
                .and_then(|count| count.checked_mul(match text.as_bytes().last() {
                    Some(b's') => 1,
                    Some(b'm') => 60,
                    Some(b'h') => 3600,
                    _ => 86400,
                }))
                .filter(|seconds| (1..=86400).contains(seconds));
            let lifetime = text.parse::<TokenLifetime>().ok();
            prop_assert_eq!(lifetime.map(|it| it.as_duration().as_secs()), read_by_relay);
        }
    }
}
