use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment as the relay wrote it (`2026-02-26T12:00:00.000Z`).
///
/// The text is kept as it came, so that an unexpected form loses nothing; [`to_system_time`](Self::to_system_time)
/// reads it.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use twentyfirst_protocol::Timestamp;
///
/// let moment: Timestamp = serde_json::from_str("\"1970-01-01T00:00:01.500Z\"")?;
/// assert_eq!(moment.to_system_time(), Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(String);

impl Timestamp {
    /// The text as the relay wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The moment, or `None` where the text is not an RFC 3339 timestamp in UTC.
    pub fn to_system_time(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.0).ok()
    }
}

/// Milliseconds, as the relay writes them. What is before 1970 or after 9999 cannot be written and becomes the nearest that
/// can.
impl From<SystemTime> for Timestamp {
    fn from(moment: SystemTime) -> Self {
        let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let moment = moment.clamp(SystemTime::UNIX_EPOCH, latest);
        Self(humantime::format_rfc3339_millis(moment).to_string())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// For members such as `timeoutMs`: a duration as whole milliseconds, rounded up, since 0 has a meaning of its own.
pub(crate) mod milliseconds {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration
            .map(|duration| {
                u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
            })
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_that_cannot_be_written_become_the_nearest_that_can() {
        let written = |moment: SystemTime| Timestamp::from(moment).to_string();
        let day = Duration::from_secs(86_400);
        assert_eq!(
            written(SystemTime::UNIX_EPOCH - day),
            "1970-01-01T00:00:00.000Z"
        );
        assert_eq!(
            written(SystemTime::UNIX_EPOCH + day * 4_000_000),
            "9999-12-31T23:59:59.000Z"
        );
    }
}
