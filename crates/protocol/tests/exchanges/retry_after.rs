//! The waits that the relay, or a proxy in front of it, asks for.

use std::time::{Duration, Instant, SystemTime};

use http::response::Parts;
use proptest::prelude::*;
use twentyfirst_protocol::flow::Now;
use twentyfirst_protocol::retry::{Attempt, Attempts, Decision, GiveUp, Prospect, RetryPolicy};
use twentyfirst_protocol::sandboxes::GetSandbox;
use twentyfirst_protocol::{ApiError, ResponseError, RetryAfter, SandboxId};

/// Returns a 429 with these headers.
fn head(headers: &[(&'static str, &str)]) -> Parts {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = http::StatusCode::TOO_MANY_REQUESTS;
    for (name, value) in headers {
        head.headers.append(*name, value.parse().unwrap());
    }
    head
}

fn asked(headers: &[(&'static str, &str)], body: &str) -> Option<RetryAfter> {
    ApiError::new(&head(headers), body.as_bytes()).retry_after()
}

fn seconds(seconds: f64) -> Option<RetryAfter> {
    Some(RetryAfter::Delay(Duration::from_secs_f64(seconds)))
}

const LONGEST: f64 = 2_147_483_648.0;

#[test]
fn a_number_of_seconds_is_read_in_any_notation() {
    for (value, expected) in [
        ("7", seconds(7.0)),
        (" 7\t", seconds(7.0)),
        ("007", seconds(7.0)),
        ("0", seconds(0.0)),
        ("1.5", seconds(1.5)),
        ("0.001", seconds(0.001)),
        ("2147483648", seconds(LONGEST)),
        ("2147483649", seconds(LONGEST)),
        ("18446744073709551616", seconds(LONGEST)),
        (&"9".repeat(400), seconds(LONGEST)),
        ("99999999999999999999.9", seconds(LONGEST)),
        ("-1", None),
        ("-0", None),
        ("+1", None),
        ("", None),
        ("  ", None),
        (".5", None),
        ("1.", None),
        ("1.2.3", None),
        ("1e3", None),
        ("0x10", None),
        ("inf", None),
        ("NaN", None),
        ("soon", None),
        ("7 s", None),
    ] {
        assert_eq!(asked(&[("retry-after", value)], ""), expected, "{value:?}");
    }
}

#[test]
fn a_date_counts_from_the_date_of_the_response() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    for value in [
        "Sun, 06 Nov 1994 08:50:00 GMT",
        "Sunday, 06-Nov-94 08:50:00 GMT",
        "Sun Nov  6 08:50:00 1994",
    ] {
        assert_eq!(asked(&[date, ("retry-after", value)], ""), seconds(23.0));
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_800);
        assert_eq!(
            asked(&[("retry-after", value)], ""),
            Some(RetryAfter::At(moment)),
            "without a date"
        );
        assert_eq!(
            asked(&[("date", "today"), ("retry-after", value)], ""),
            Some(RetryAfter::At(moment)),
            "with none that can be read"
        );
        let now = moment - Duration::from_secs(5);
        assert_eq!(RetryAfter::At(moment).delay(now), Duration::from_secs(5));
        assert_eq!(RetryAfter::At(now).delay(moment), Duration::ZERO);
    }
    let asked = |value| asked(&[date, ("retry-after", value)], "");
    assert_eq!(asked("Sun, 06 Nov 1994 08:49:36 GMT"), seconds(0.0));
    assert_eq!(asked("Fri, 31 Dec 9999 23:59:59 GMT"), seconds(LONGEST));
    for value in [
        "Sun, 06 Nov 1994",
        "1994-11-06T08:50:00Z",
        "Sun, 32 Nov 1994 08:50:00 GMT",
    ] {
        assert_eq!(asked(value), None, "{value}");
    }
}

#[test]
fn the_first_readable_header_counts_and_otherwise_the_member() {
    let error = r#"{"error":{"code":"rate_limit_exceeded","message":"slow","retryAfter":1.5}}"#;
    assert_eq!(asked(&[], error), seconds(1.5));
    assert_eq!(asked(&[("retry-after", "7")], error), seconds(7.0));
    assert_eq!(asked(&[("retry-after", "soon")], error), seconds(1.5));
    let headers = [
        ("retry-after", "soon"),
        ("retry-after", "2"),
        ("retry-after", "3"),
    ];
    assert_eq!(asked(&headers, error), seconds(2.0));

    let member = |value: &str| asked(&[], &format!(r#"{{"error":"x","retryAfter":{value}}}"#));
    assert_eq!(member("\"30\""), seconds(30.0));
    assert_eq!(member("1e300"), seconds(LONGEST));
    assert_eq!(member("-1"), None);
    assert_eq!(member("null"), None);
    assert_eq!(asked(&[], "{}"), None);
}

#[test]
fn a_longer_wait_than_allowed_fails_at_once() {
    let sandbox = GetSandbox::new(SandboxId::new("sb_1").unwrap());
    let decide = |value: &str| {
        let error = ApiError::new(&head(&[("retry-after", value)]), b"");
        let error = ResponseError::from(Box::new(error));
        let now = Now {
            mono: Instant::now(),
            wall: SystemTime::now(),
        };
        Attempts::new(&sandbox, RetryPolicy::standard(), 1)
            .decide(Attempt::ErrorResponse(&error), now)
    };
    assert_eq!(decide("1.5"), Decision::Retry(Duration::from_millis(1500)));
    let Decision::GiveUp(why) = decide("60.5") else {
        panic!("the request is retried")
    };
    assert_eq!(
        why.to_string(),
        "the relay asks for a wait of 60.5 s, longer than allowed"
    );
    assert_eq!(
        decide("18446744073709551616"),
        Decision::GiveUp(GiveUp::RetryAfterTooLong(Duration::from_secs(1 << 31)))
    );
}

proptest! {
    #[test]
    fn any_requested_wait_is_possible(value in "[ -~]{0,30}|[0-9]{1,40}(\\.[0-9]{1,40})?", date in "[ -~]{0,30}") {
        let headers = head(&[("retry-after", &value), ("date", &date)]).headers;
        if let Some(after) = RetryAfter::from_headers(&headers) {
            let delay = after.delay(SystemTime::UNIX_EPOCH);
            prop_assert!(Instant::now().checked_add(delay).is_some());
        }
    }

    #[test]
    fn the_clock_of_the_relay_may_be_wrong(skew in 0_u64..100_000_000_000, wait in 0_u64..100_000) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(skew);
        let date = httpdate::fmt_http_date(now);
        let value = httpdate::fmt_http_date(now + Duration::from_secs(wait));
        let headers = [("date", date.as_str()), ("retry-after", value.as_str())];
        prop_assert_eq!(asked(&headers, ""), Some(RetryAfter::Delay(Duration::from_secs(wait))));
    }
}

#[test]
fn an_error_has_the_rate_limit() {
    let rate = |headers: &[(&'static str, &str)]| {
        let rate = ApiError::new(&head(headers), b"").rate_limit()?;
        Some((rate.limit, rate.remaining))
    };
    let limit = ("x-ratelimit-limit", "60");
    assert_eq!(
        rate(&[limit, ("x-ratelimit-remaining", "0")]),
        Some((60, Some(0)))
    );
    assert_eq!(
        rate(&[limit, ("x-ratelimit-remaining", "some")]),
        Some((60, None))
    );
    assert_eq!(rate(&[limit]), Some((60, None)));
    assert_eq!(rate(&[("x-ratelimit-limit", "-1")]), None);
    assert_eq!(rate(&[]), None);
}

#[test]
fn a_429_with_retry_after_does_not_mean_a_used_up_quota() {
    for (headers, improves) in [
        (&[("x-ratelimit-limit", "0")][..], false),
        (&[("x-ratelimit-limit", "0"), ("retry-after", "3")], true),
        (
            &[("x-ratelimit-limit", "60"), ("x-ratelimit-remaining", "0")],
            true,
        ),
    ] {
        let error = ApiError::new(&head(headers), b"");
        let prospect = Prospect::of_response(&error);
        assert_eq!(prospect == Prospect::Improves, improves, "{headers:?}");
    }
}
