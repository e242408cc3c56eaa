//! Refusals: what a browser may know of a call that failed.

use std::time::Duration;

use http::Response;
use twentyfirst_client::backend::Refusal;
use twentyfirst_client::transport::{Body, Error};
use twentyfirst_client::{CallOptions, RetryPolicy, SandboxId};

use crate::support::{KEY, Sent, json, server};

async fn refusal(
    respond: impl Fn(&Sent) -> Result<Response<Body>, Error> + Send + Sync + 'static,
) -> Refusal {
    Refusal::from(failure(respond).await)
}

async fn failure(
    respond: impl Fn(&Sent) -> Result<Response<Body>, Error> + Send + Sync + 'static,
) -> twentyfirst_client::Error {
    let (client, _) = server(respond);
    let once = CallOptions::new()
        .retry(RetryPolicy::never())
        .deadline(Duration::from_secs(5));
    let id = SandboxId::new("sb_1").unwrap();
    let result = client.with_options(once).sandboxes().get(&id).await;
    result.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn refusals_of_the_relay_are_passed_on_or_hidden() {
    let relay = |status: u16, body: &str| {
        let body = body.to_owned();
        refusal(move |_| Ok(json(status, &body)))
    };
    let mut told = String::new();
    for (status, body) in [
        (
            400,
            r#"{"error":{"code":"invalid_request","message":"no text"}}"#,
        ),
        (401, r#"{"error":"Invalid API key"}"#),
        (
            402,
            r#"{"error":{"code":"budget_exceeded","message":"5 of 5 dollars spent"}}"#,
        ),
        (403, r#"{"error":"API key has expired"}"#),
        (
            404,
            r#"{"error":{"code":"sandbox_not_found","message":"Sandbox not found"}}"#,
        ),
        (
            408,
            r#"{"error":{"code":"command_timeout","message":"60 s"}}"#,
        ),
        (
            409,
            r#"{"error":{"code":"session_expired","message":"line\nbreak"}}"#,
        ),
        (413, "<html>too large</html>"),
        (418, "teapot"),
        (
            422,
            r#"{"error":"vault_coverage_missing","message":"github.com","status":422}"#,
        ),
        (
            429,
            r#"{"error":{"code":"rate_limit_exceeded","message":"slow down"}}"#,
        ),
        (
            500,
            r#"{"error":{"code":"internal_error","message":"SELECT secret"}}"#,
        ),
        (
            503,
            r#"{"error":{"code":"sandbox_unavailable","message":"10.0.0.7 is down"}}"#,
        ),
        (504, "gateway 10.0.0.7"),
        (200, "not json"),
    ] {
        let refusal = relay(status, body).await;
        told += &format!(
            "{status} -> {} {}\n",
            refusal.status().as_u16(),
            refusal.message()
        );
    }
    insta::assert_snapshot!(told, @r"
    400 -> 400 no text
    401 -> 502 the relay does not accept this server
    402 -> 402 5 of 5 dollars spent
    403 -> 502 the relay does not accept this server
    404 -> 404 Sandbox not found
    408 -> 504 the relay did not respond in time
    409 -> 409 line break
    413 -> 413 Payload Too Large
    418 -> 502 the relay failed
    422 -> 422 github.com
    429 -> 429 slow down
    500 -> 502 the relay failed
    503 -> 503 the relay is not available
    504 -> 504 the relay did not respond in time
    200 -> 502 the relay failed
    ");
}

#[tokio::test(start_paused = true)]
async fn transport_failures_are_reported_without_their_causes() {
    let reset = refusal(|_| Err(Error::new("connection to 10.0.0.7 reset"))).await;
    assert_eq!(reset, Refusal::new(reset.status(), "the relay failed"));
    assert_eq!(reset.status(), 502);

    let (client, _) = server(|_| Ok(json(200, "{}")));
    let id = SandboxId::new("sb_1").unwrap();
    let none = CallOptions::new().deadline(Duration::from_millis(1));
    let error = client
        .with_options(none)
        .sandboxes()
        .get(&id)
        .await
        .unwrap_err();
    assert_eq!(Refusal::from(&error).status(), 504);

    let error = client
        .threads()
        .start(twentyfirst_client::StartRun::new("", "Hi"))
        .await;
    let refusal = Refusal::from(error.unwrap_err());
    assert_eq!(refusal.status(), 400);
    assert_eq!(
        refusal.message(),
        "the request is invalid: `agent` must not be empty"
    );

    let error = SandboxId::new("").unwrap_err();
    let refusal = Refusal::from(error);
    assert_eq!(
        refusal.to_string(),
        "refused with 400: the request is invalid: `sandbox_id` must not be empty"
    );
}

#[tokio::test(start_paused = true)]
async fn the_key_is_masked_and_retry_after_is_passed_on() {
    let refusal = refusal(|sent| {
        let mut response = json(429, format!(r#"{{"error":"{} is busy"}}"#, sent.bearer()));
        response.headers_mut().insert("retry-after", 7.into());
        Ok(response)
    })
    .await;
    assert!(!refusal.to_string().contains(KEY));
    assert_eq!(refusal.to_string(), "refused with 429: *** is busy");
    let response = Response::from(refusal);
    assert_eq!(response.headers()["retry-after"], "7");
}

#[tokio::test(start_paused = true)]
async fn a_date_in_retry_after_is_the_same_delay_for_server_and_browser() {
    for (value, wait, header) in [
        // By a clock that is wrong by decades.
        (
            "Sun, 06 Nov 1994 08:50:00 GMT",
            Duration::from_secs(23),
            "23",
        ),
        ("1.5", Duration::from_millis(1500), "2"),
        (
            "18446744073709551616",
            Duration::from_secs(1 << 31),
            "2147483648",
        ),
    ] {
        let respond = move |_: &Sent| {
            let mut response = json(429, r#"{"error":"busy"}"#);
            let headers = response.headers_mut();
            headers.insert("date", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
            headers.insert("retry-after", value.parse().unwrap());
            Ok(response)
        };
        let error = failure(respond).await;
        assert_eq!(error.retry_after(), Some(wait));
        let response = Response::from(error);
        assert_eq!(response.headers()["retry-after"], header, "{value}");
    }
}
