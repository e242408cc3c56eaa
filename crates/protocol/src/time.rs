use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time as the relay wrote it (`2026-02-26T12:00:00.000Z`).
///
/// The text is kept unchanged, so that nothing of an unexpected form is lost. [`to_system_time`](Self::to_system_time) parses it.
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
    /// Returns the text as the relay wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the time, in any form of RFC 3339: with an offset, with a space or a `t` between date and time, with any number of
    /// fractional digits. A leap second is read as the second before it.
    ///
    /// Returns `None` for any other text and for times before 1970. A time without a zone is such a text: it could mean times up
    /// to a day apart.
    pub fn to_system_time(&self) -> Option<SystemTime> {
        let (date, rest) = self.0.trim().split_at_checked("2026-02-26".len())?;
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let (time, zone) = rest.split_at_checked(rest.find(['Z', 'z', '+', '-'])?)?;
        let local = humantime::parse_rfc3339(&format!("{date}T{time}Z")).ok()?;
        let (sign, offset) = zone.split_at_checked(1)?;
        if sign.eq_ignore_ascii_case("z") {
            return offset.is_empty().then_some(local);
        }
        let (hours, minutes) = offset.split_once(':')?;
        let two_digits = |text: &str, limit| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>()
                .ok()
                .filter(|number| digits && *number < limit)
        };
        let seconds = (two_digits(hours, 24)? * 60 + two_digits(minutes, 60)?) * 60;
        let offset = Duration::from_secs(seconds);
        if sign == "-" {
            local.checked_add(offset)
        } else {
            local
                .checked_sub(offset)
                .filter(|moment| *moment >= SystemTime::UNIX_EPOCH)
        }
    }
}

/// Writes the time with milliseconds, as the relay does. A time before 1970 or after 9999 cannot be written: it becomes the
/// nearest one that can.
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

/// Reads and writes a duration as whole milliseconds, for members such as `timeoutMs`. It is rounded up, because 0 has a meaning
/// of its own.
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
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<SystemTime> {
        Timestamp(text.to_owned()).to_system_time()
    }

    #[test]
    fn every_form_of_a_time_is_parsed() {
        let moment = read("2026-02-26T12:00:00Z");
        assert!(moment.is_some());
        for same in [
            "2026-02-26t12:00:00z",
            "2026-02-26 12:00:00Z",
            "2026-02-26T12:00:00.000000000000Z",
            "2026-02-26T12:00:00+00:00",
            "2026-02-26T12:00:00-00:00",
            "2026-02-26T14:30:00+02:30",
            "2026-02-26 07:00:00.0-05:00",
            "2026-02-27T11:59:00+23:59",
            " 2026-02-26T12:00:00Z\n",
        ] {
            assert_eq!(read(same), moment, "{same:?}");
        }
        assert_eq!(read("2016-12-31T23:59:60Z"), read("2016-12-31T23:59:59Z"));
        for other in [
            "",
            "2026-02-26",
            "2026-02-26T12:00:00",
            "2026-02-26 12:00:00",
            "2026-02-26T12:00Z",
            "2026-02-26T12:00:00.Zz",
            "2026-02-26T12:00:00ZZ",
            "2026-02-26T12:00:00+2:00",
            "2026-02-26T12:00:00+02",
            "2026-02-26T12:00:00+0200",
            "2026-02-26T12:00:00+02:60",
            "2026-02-26T12:00:00+24:00",
            "2026-02-26T12:00:00++2:00",
            "2026-02-30T12:00:00Z",
            "2026-02-26T24:00:00Z",
            "1970-01-01T00:00:00+00:01",
            "2026-02-2\u{e9}T12:00:00Z",
            "tomorrow",
        ] {
            assert_eq!(read(other), None, "{other:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_time_is_the_same_in_every_zone(
            seconds in 100_000..253_402_000_000_u64,
            nanos in 0..1_000_000_000_u32,
            zone in -1439..=1439_i64,
            between in "[Tt ]",
        ) {
            let moment = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
            let shift = Duration::from_secs(zone.unsigned_abs() * 60);
            let local = if zone < 0 { moment - shift } else { moment + shift };
            let local = humantime::format_rfc3339_nanos(local).to_string();
            let sign = if zone < 0 { '-' } else { '+' };
            let (hours, minutes) = (zone.abs() / 60, zone.abs() % 60);
            let text = local.replace('Z', &format!("{sign}{hours:02}:{minutes:02}"));
            prop_assert_eq!(read(&text.replace('T', &between)), Some(moment));
        }

        #[test]
        fn no_text_makes_parsing_panic(text in "\\PC*|[0-9]{4}-[0-9]{2}-[0-9]{2}.[0-9:.+-é]*") {
            let _ = read(&text);
        }
    }

    #[test]
    fn unwritable_times_become_the_nearest_writable_ones() {
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
