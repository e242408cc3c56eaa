use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use serde_json::Value;

/// The time that the relay asks a client to wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryAfter {
    /// Wait this long after the response.
    Delay(Duration),
    /// Wait until this time, by the server's clock. The response had no `date` to compare it with.
    At(SystemTime),
}

/// The longest delay, 2^31 s: RFC 9111, section 1.2.2, gives larger numbers this value. Adding it to a `SystemTime` cannot
/// overflow.
const LONGEST: Duration = Duration::from_secs(1 << 31);

impl RetryAfter {
    /// Reads the header `retry-after` (RFC 9110, section 10.2.3): seconds, with or without a fraction, or an HTTP date in any of
    /// its three forms.
    ///
    /// A date is compared with the response's own `date`, so neither clock has to be right. If there are several such headers,
    /// the first readable one counts. A delay over 2^31 s is capped at 2^31 s, and a negative one is ignored.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::HeaderMap;
    /// use twentyfirst_protocol::RetryAfter;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert("date", "Sun, 06 Nov 1994 08:49:37 GMT".parse()?);
    /// headers.insert("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT".parse()?);
    /// assert_eq!(RetryAfter::from_headers(&headers), Some(RetryAfter::Delay(Duration::from_secs(23))));
    /// # Ok::<(), http::header::InvalidHeaderValue>(())
    /// ```
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        headers
            .get_all(header::RETRY_AFTER)
            .iter()
            .find_map(|value| Self::from_text(value.to_str().ok()?, headers))
    }

    /// Reads the header `retry-after`. If there is none, reads the member `retryAfter` of the error.
    pub(crate) fn of_error(headers: &HeaderMap, member: Option<&Value>) -> Option<Self> {
        Self::from_headers(headers).or_else(|| match member? {
            Value::Number(seconds) => Self::from_seconds(seconds.as_f64()?),
            Value::String(text) => Self::from_text(text, headers),
            _ => None,
        })
    }

    /// Returns the time to wait, for a response that arrived at `now`.
    pub fn delay(self, now: SystemTime) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::At(moment) => until(moment, now),
        }
    }

    fn from_text(text: &str, headers: &HeaderMap) -> Option<Self> {
        let text = text.trim();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_number(whole) && is_number(fraction) {
            return Self::from_seconds(text.parse().ok()?);
        }
        let moment = httpdate::parse_http_date(text).ok()?;
        let date = headers
            .get(header::DATE)
            .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?.trim()).ok());
        Some(match date {
            Some(date) => Self::Delay(until(moment, date)),
            None => Self::At(moment),
        })
    }

    fn from_seconds(seconds: f64) -> Option<Self> {
        (seconds >= 0.0)
            .then(|| Duration::try_from_secs_f64(seconds).map_or(LONGEST, |it| it.min(LONGEST)))
            .map(Self::Delay)
    }
}

fn until(moment: SystemTime, now: SystemTime) -> Duration {
    moment.duration_since(now).unwrap_or_default().min(LONGEST)
}
