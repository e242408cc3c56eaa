use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{InvalidRequest, Problem};

/// How long a token is valid: whole seconds, from one second to 24 hours.
///
/// The relay silently takes one hour for what it cannot read and cuts anything longer than a day, so neither can be
/// said here.
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

    /// A lifetime.
    ///
    /// # Errors
    /// Where it is not a whole number of seconds, zero, or longer than 24 hours.
    pub fn new(lifetime: Duration) -> Result<Self, InvalidRequest> {
        let rule = InvalidRequest::new(
            "expiresIn",
            Problem::MustBe("a number of whole seconds, from 1 second to 24 hours"),
        );
        match u32::try_from(lifetime.as_secs()) {
            Ok(seconds @ 1..) if u64::from(seconds) <= LONGEST && lifetime.subsec_nanos() == 0 => {
                Ok(Self(seconds))
            }
            _ => Err(rule),
        }
    }

    /// The lifetime.
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

/// As the relay writes it: `30s`, `15m`, `1h`.
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

/// Reads `<digits><s|m|h|d>`.
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
                digits.parse::<u64>().ok()?.checked_mul(unit)
            });
        let rule = Problem::MustBe("a number and one of `s`, `m`, `h` and `d`, such as `15m`");
        let seconds = seconds.ok_or_else(|| InvalidRequest::new("expiresIn", rule))?;
        Self::new(Duration::from_secs(seconds))
    }
}

impl<'de> Deserialize<'de> for TokenLifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
