//! Retries: which requests, when, and which never. Time is an argument.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::response::Parts;
use proptest::prelude::*;
use twentyfirst_protocol::files::{ReadStream, RemoveFile, WriteFiles};
use twentyfirst_protocol::flow::{
    Event, ExchangeError, ExchangeErrorKind, ExecuteFlow, Failure, Flow, Now, OpenFlow,
    SendRequest, Sent, Slot, Step,
};
use twentyfirst_protocol::retry::{Attempt, Attempts, Decision, GiveUp, RetryPolicy};
use twentyfirst_protocol::runs::{CancelStream, ResumeStream, SendMessages};
use twentyfirst_protocol::sandboxes::{CreateSandbox, DeleteSandbox, Exec, GetSandbox};
use twentyfirst_protocol::vaults::UpdateVault;
use twentyfirst_protocol::{
    ApiError, CallOptions, Endpoint, Head, InvalidResponse, Operation, ResponseError, Route,
    SandboxId, StreamingOperation, Timeouts, VaultId, decode_json,
};

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

fn now() -> Now {
    Now {
        mono: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
    }
}

fn after(now: Now, delay: Duration) -> Now {
    Now {
        mono: now.mono + delay,
        wall: now.wall + delay,
    }
}

fn head(status: u16) -> Parts {
    http::Response::builder()
        .status(status)
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn api_error(status: u16, body: &str) -> ResponseError {
    ResponseError::Api(Box::new(ApiError::new(&head(status), body.as_bytes())))
}

fn code(status: u16, code: &str) -> ResponseError {
    api_error(
        status,
        &format!(r#"{{"error":{{"code":"{code}","message":"no"}}}}"#),
    )
}

/// Returns the decision after one attempt, in a word.
fn verdict<E: Endpoint>(endpoint: &E, attempt: Attempt<'_>) -> &'static str {
    let mut attempts = Attempts::new(endpoint, RetryPolicy::standard(), 7);
    match attempts.decide(attempt, now()) {
        Decision::Retry(_) => "again",
        Decision::Done => "done",
        Decision::GiveUp(GiveUp::Permanent) => "permanent",
        Decision::GiveUp(GiveUp::NotRepeatable) => "not repeatable",
        Decision::GiveUp(_) => "gives up",
        _ => "?",
    }
}

#[test]
fn every_row_of_the_table() {
    let get = GetSandbox::new(sandbox());
    let delete = DeleteSandbox::new(sandbox());
    let post = Exec::new(sandbox(), "ls");
    let patch = UpdateVault::new(VaultId::new("v").unwrap(), Default::default());
    let resume = ResumeStream::new("a", sandbox());
    let cancel = CancelStream::new("a", sandbox());
    let all = |attempt: Attempt<'_>| {
        [
            verdict(&get, attempt),
            verdict(&delete, attempt),
            verdict(&post, attempt),
            verdict(&patch, attempt),
            verdict(&resume, attempt),
            verdict(&cancel, attempt),
        ]
    };
    let never = "not repeatable";

    assert_eq!(
        all(Attempt::Failed(Sent::No)),
        ["again", "again", "again", "again", never, never]
    );
    assert_eq!(
        all(Attempt::Failed(Sent::Maybe)),
        ["again", "again", never, never, never, never]
    );
    assert_eq!(all(Attempt::Permanent(Sent::No)), ["permanent"; 6]);
    assert_eq!(all(Attempt::Permanent(Sent::Maybe)), ["permanent"; 6]);
    assert_eq!(
        all(Attempt::ErrorResponse(&api_error(429, ""))),
        ["again", "again", "again", "again", never, never]
    );
    for status in [408, 425, 500, 502, 503, 504] {
        let row = all(Attempt::ErrorResponse(&api_error(status, "<html>")));
        assert_eq!(
            row,
            ["again", "again", never, never, never, never],
            "{status}"
        );
    }
    for status in [300, 304, 400, 401, 402, 403, 404, 409, 413, 422, 501, 505] {
        assert_eq!(
            all(Attempt::ErrorResponse(&api_error(status, ""))),
            ["permanent"; 6],
            "{status}"
        );
    }
    for (status, name) in [
        (500, "internal_error"),
        (402, "billing_not_ready"),
        (429, "budget_exceeded"),
        (429, "monthly_quota_exceeded"),
        (503, "billing_not_ready"),
        (408, "command_timeout"),
        (500, "conflict"),
    ] {
        assert_eq!(
            all(Attempt::ErrorResponse(&code(status, name))),
            ["permanent"; 6],
            "{status} {name}"
        );
    }
    for name in ["rate_limit_exceeded", "sandbox_unavailable", "unheard_of"] {
        assert_eq!(
            all(Attempt::ErrorResponse(&code(429, name))),
            all(Attempt::ErrorResponse(&api_error(429, ""))),
            "{name}"
        );
    }
    for (status, name) in [
        (503, "sandbox_unavailable"),
        (502, "sandbox_error"),
        (500, "unheard_of"),
    ] {
        let row = all(Attempt::ErrorResponse(&code(status, name)));
        assert_eq!(
            row,
            ["again", "again", never, never, never, never],
            "{status} {name}"
        );
    }
    let strange = ResponseError::InvalidResponse(InvalidResponse::new(&head(200), "what", b""));
    assert_eq!(all(Attempt::ErrorResponse(&strange)), ["permanent"; 6]);
}

#[test]
fn a_deletion_that_finds_nothing_may_be_done() {
    let gone = code(404, "sandbox_not_found");
    let mut attempts = Attempts::new(&DeleteSandbox::new(sandbox()), RetryPolicy::standard(), 7);
    assert!(matches!(
        attempts.decide(Attempt::Failed(Sent::Maybe), now()),
        Decision::Retry(_)
    ));
    assert_eq!(
        attempts.decide(Attempt::ErrorResponse(&gone), now()),
        Decision::Done
    );

    // The first attempt certainly did not arrive, so the object never existed.
    let mut attempts = Attempts::new(&DeleteSandbox::new(sandbox()), RetryPolicy::standard(), 7);
    assert!(matches!(
        attempts.decide(Attempt::Failed(Sent::No), now()),
        Decision::Retry(_)
    ));
    assert_eq!(
        attempts.decide(Attempt::ErrorResponse(&gone), now()),
        Decision::GiveUp(GiveUp::Permanent)
    );

    // Reading is not deleting.
    let mut attempts = Attempts::new(&GetSandbox::new(sandbox()), RetryPolicy::standard(), 7);
    assert!(matches!(
        attempts.decide(Attempt::Failed(Sent::Maybe), now()),
        Decision::Retry(_)
    ));
    assert_eq!(
        attempts.decide(Attempt::ErrorResponse(&gone), now()),
        Decision::GiveUp(GiveUp::Permanent)
    );
}

#[test]
fn the_relay_determines_the_wait() {
    let get = GetSandbox::new(sandbox());
    let decide = |error: &ResponseError| {
        Attempts::new(&get, RetryPolicy::standard(), 7).decide(Attempt::ErrorResponse(error), now())
    };
    let asked = |seconds: &str| {
        let mut head = head(503);
        head.headers.insert("retry-after", seconds.parse().unwrap());
        decide(&ResponseError::Api(Box::new(ApiError::new(&head, b""))))
    };
    assert_eq!(asked("7"), Decision::Retry(Duration::from_secs(7)));
    assert_eq!(asked("60"), Decision::Retry(Duration::from_secs(60)));
    assert_eq!(
        asked("61"),
        Decision::GiveUp(GiveUp::RetryAfterTooLong(Duration::from_secs(61)))
    );
    // The clock that is passed in is at the beginning of 1970.
    assert_eq!(
        asked("Thu, 01 Jan 1970 00:00:09 GMT"),
        Decision::Retry(Duration::from_secs(9))
    );
    let in_body = api_error(
        429,
        r#"{"error":{"code":"rate_limit_exceeded","message":"slow","retryAfter":3}}"#,
    );
    assert_eq!(decide(&in_body), Decision::Retry(Duration::from_secs(3)));
}

#[test]
fn three_attempts_and_no_more() {
    let mut attempts = Attempts::new(&GetSandbox::new(sandbox()), RetryPolicy::standard(), 7);
    for _ in 0..2 {
        assert!(matches!(
            attempts.decide(Attempt::Failed(Sent::Maybe), now()),
            Decision::Retry(_)
        ));
    }
    let last = attempts.decide(Attempt::Failed(Sent::Maybe), now());
    assert_eq!(
        (last, attempts.made()),
        (Decision::GiveUp(GiveUp::LastAttempt), 3)
    );
    for policy in [RetryPolicy::never(), RetryPolicy::standard().attempts(0)] {
        let mut attempts = Attempts::new(&GetSandbox::new(sandbox()), policy, 7);
        let last = attempts.decide(Attempt::Failed(Sent::No), now());
        assert_eq!(last, Decision::GiveUp(GiveUp::LastAttempt));
    }
}

#[test]
fn a_possible_arrival_is_remembered() {
    let mut attempts = Attempts::new(&GetSandbox::new(sandbox()), RetryPolicy::standard(), 7);
    assert!(!attempts.may_have_arrived());
    attempts.decide(Attempt::Failed(Sent::No), now());
    assert!(!attempts.may_have_arrived());
    attempts.decide(Attempt::Failed(Sent::Maybe), now());
    assert!(attempts.may_have_arrived());
    attempts.decide(Attempt::Failed(Sent::No), now());
    assert!(attempts.may_have_arrived());
    let mut attempts = Attempts::new(&GetSandbox::new(sandbox()), RetryPolicy::standard(), 7);
    attempts.decide(Attempt::Permanent(Sent::No), now());
    assert!(!attempts.may_have_arrived());
    attempts.decide(Attempt::ErrorResponse(&api_error(429, "")), now());
    assert!(attempts.may_have_arrived());
}

#[test]
fn each_wait_of_a_policy_can_be_set() {
    let policy = RetryPolicy::standard()
        .first_delay(Duration::from_secs(1000))
        .longest_delay(Duration::from_secs(3))
        .longest_retry_after(Duration::from_secs(7));
    assert_eq!(policy.attempts, 3);
    assert_eq!(policy.first_delay, Duration::from_secs(1000));
    assert_eq!(policy.longest_delay, Duration::from_secs(3));
    assert_eq!(policy.longest_retry_after, Duration::from_secs(7));
    // No wait exceeds the longest, however long the first may be.
    for seed in 0..100 {
        let mut attempts = Attempts::new(&GetSandbox::new(sandbox()), policy, seed);
        match attempts.decide(Attempt::Failed(Sent::Maybe), now()) {
            Decision::Retry(delay) => assert!(delay < Duration::from_secs(3), "{delay:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_operation_has_its_timeouts() {
    fn times<E: Endpoint>(endpoint: E) -> Timeouts {
        endpoint.timeouts()
    }
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(times(GetSandbox::new(sandbox())).total, seconds(60));
    assert_eq!(times(GetSandbox::new(sandbox())).connect, seconds(10));
    assert_eq!(
        times(WriteFiles::new(sandbox(), [("a", "b")])).total,
        seconds(60)
    );
    assert_eq!(times(CreateSandbox::new("a")).total, seconds(600));
    let exec = || Exec::new(sandbox(), "ls");
    assert_eq!(times(exec()).total, seconds(75));
    assert_eq!(
        times(exec().timeout(Duration::ZERO)).total,
        seconds(75),
        "the relay takes its default for 0"
    );
    assert_eq!(
        times(exec().timeout(Duration::from_secs(600))).total,
        seconds(615)
    );
    let file = times(ReadStream::new(sandbox(), "a"));
    assert_eq!((file.silence, file.total), (seconds(60), None));
    let chat = times(SendMessages::new("a", sandbox(), "Hi"));
    assert_eq!(
        (chat.head, chat.silence, chat.total),
        (seconds(300), seconds(900), None)
    );
    assert_eq!(times(ResumeStream::new("a", sandbox())), chat);
}

/// Runs a flow: each request meets the next of `outcomes`, and every wait is over at once. Returns the number of requests and the
/// total wait.
fn play<F, T>(mut flow: F, outcomes: &[Outcome]) -> (Result<T, ExchangeError>, usize, Duration)
where
    F: Flow<Item = std::convert::Infallible, Output = Result<T, ExchangeError>>,
{
    let start = now();
    let mut time = start;
    let mut outcomes = outcomes.iter();
    let mut sent = 0;
    loop {
        match flow.poll(time) {
            Step::Send(SendRequest { slot, attempt, .. }) => {
                sent += 1;
                assert_eq!(attempt as usize, sent);
                match outcomes.next().expect("no more requests than outcomes") {
                    Outcome::Fails(state) => {
                        flow.handle(Event::Failure(slot, Failure::new(*state, "no luck")));
                    }
                    Outcome::Responds(status, body) => {
                        flow.handle(Event::Response {
                            slot,
                            head: head(*status),
                            body: Bytes::from_static(body.as_bytes()),
                        });
                        if slot == Slot::Stream {
                            flow.handle(Event::End);
                        }
                    }
                    Outcome::Hangs => {}
                }
            }
            Step::Wait { until: Some(until) } => {
                time = after(time, until.saturating_duration_since(time.mono));
            }
            Step::Wait { until: None } => panic!("it waits for ever"),
            Step::Close(_) => {}
            Step::Done(result) => return (result, sent, time.mono - start.mono),
            _ => panic!("an unknown step"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    Fails(Sent),
    Responds(u16, &'static str),
    Hangs,
}

const SANDBOX: Outcome = Outcome::Responds(200, r#"{"id":"sb_1","status":"active"}"#);
const BUSY: Outcome = Outcome::Responds(503, "");

#[test]
fn a_transient_failure_is_hidden() {
    let get = GetSandbox::new(sandbox());
    let options = CallOptions::new();
    let outcomes = [Outcome::Fails(Sent::Maybe), BUSY, SANDBOX];
    let (result, sent, waited) = play(ExecuteFlow::new(&get, &options, 1).unwrap(), &outcomes);
    assert_eq!((result.unwrap().id, sent), (sandbox(), 3));
    assert!(
        waited > Duration::ZERO && waited <= Duration::from_millis(1500),
        "{waited:?}"
    );

    let read = ReadStream::new(sandbox(), "a");
    let (result, sent, _) = play(
        OpenFlow::new(&read, &options, 1).unwrap(),
        &[BUSY, Outcome::Responds(200, "")],
    );
    assert_eq!((result.unwrap(), sent), ((), 2));

    let delete = RemoveFile::new(sandbox(), "a");
    let gone = Outcome::Responds(
        404,
        r#"{"error":{"code":"file_not_found","message":"gone"}}"#,
    );
    let (result, sent, _) = play(
        ExecuteFlow::new(&delete, &options, 1).unwrap(),
        &[Outcome::Fails(Sent::Maybe), gone],
    );
    result.unwrap();
    assert_eq!(sent, 2);
}

/// An operation of a user, whose response streams and whose method deletes.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct DrainLog {}

impl Endpoint for DrainLog {
    const ROUTE: Route = Route::delete("/v1/log");
}

impl StreamingOperation for DrainLog {
    type Output = &'static str;

    fn decode_head(&self, head: &Parts) -> Head<&'static str> {
        match head.status.as_u16() {
            200 => Head::Open("drained"),
            204 => Head::Open("gone"),
            _ => Head::Read,
        }
    }

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<&'static str, ResponseError> {
        decode_json::<_, ()>(self, head, body).map(|()| "read")
    }
}

#[test]
fn a_streaming_deletion_can_be_done_too() {
    let outcomes = [Outcome::Fails(Sent::Maybe), Outcome::Responds(404, "")];
    let flow = OpenFlow::new(&DrainLog {}, &CallOptions::new(), 1).unwrap();
    let (result, sent, _) = play(flow, &outcomes);
    assert_eq!((result.unwrap(), sent), ("gone", 2));
}

#[test]
fn an_error_whose_body_stalls_is_decided_by_its_status() {
    let resume = ResumeStream::new("my-agent", sandbox());
    let mut flow = OpenFlow::new(&resume, &CallOptions::new(), 1).unwrap();
    let start = now();
    assert!(matches!(flow.poll(start), Step::Send(_)));
    flow.handle(Event::Response {
        slot: Slot::Stream,
        head: head(404),
        body: Bytes::new(),
    });
    let limit = Duration::from_secs(10);
    match flow.poll(start) {
        Step::Wait { until } => assert_eq!(until, Some(start.mono + limit)),
        other => panic!("{other:?}"),
    }
    flow.handle(Event::Data(Bytes::from_static(b"not he")));
    let just_before = after(start, limit.saturating_sub(Duration::from_nanos(1)));
    assert!(matches!(flow.poll(just_before), Step::Wait { .. }));
    match flow.poll(after(start, limit)) {
        Step::Done(Err(error)) => {
            assert_eq!(error.to_string(), "the relay responded with 404: not he");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lasting_failure_reports_the_last_error() {
    let get = GetSandbox::new(sandbox());
    let outcomes = [Outcome::Fails(Sent::No), Outcome::Fails(Sent::Maybe), BUSY];
    let (result, sent, _) = play(
        ExecuteFlow::new(&get, &CallOptions::new(), 1).unwrap(),
        &outcomes,
    );
    let error = result.unwrap_err();
    assert_eq!(
        (sent, error.attempts(), error.give_up()),
        (3, 3, Some(GiveUp::LastAttempt))
    );
    assert!(matches!(error.kind(), ExchangeErrorKind::Response(error) if error.status() == 503));
}

#[test]
fn a_deadline_ends_attempts_and_waits() {
    let get = GetSandbox::new(sandbox());
    let options = CallOptions::new().deadline(Duration::from_secs(5));

    let (result, sent, waited) = play(
        ExecuteFlow::new(&get, &options, 1).unwrap(),
        &[Outcome::Hangs],
    );
    let error = result.unwrap_err();
    assert_eq!(
        (sent, error.attempts(), waited),
        (1, 1, Duration::from_secs(5))
    );
    assert_eq!(error.to_string(), "the call exceeded its 5s deadline");
    assert!(matches!(error.kind(), ExchangeErrorKind::Deadline { .. }));
    assert_eq!(error.sent(), Sent::Maybe);

    // A wait that would end after the deadline is not begun: the last error is more informative.
    let slow = Outcome::Responds(
        503,
        r#"{"error":{"code":"sandbox_unavailable","message":"busy","retryAfter":6}}"#,
    );
    let (result, sent, waited) = play(ExecuteFlow::new(&get, &options, 1).unwrap(), &[slow]);
    assert_eq!((sent, waited), (1, Duration::ZERO));
    assert!(matches!(
        result.unwrap_err().kind(),
        ExchangeErrorKind::Response(_)
    ));

    let (result, ..) = play(
        ExecuteFlow::new(&get, &CallOptions::new().deadline(Duration::ZERO), 1).unwrap(),
        &[],
    );
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ExchangeErrorKind::Deadline { .. }));
    assert_eq!((error.sent(), error.attempts()), (Sent::No, 0));
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Fails(Sent::No)),
        Just(Outcome::Fails(Sent::Maybe)),
        Just(Outcome::Responds(429, "")),
        Just(BUSY),
        Just(Outcome::Responds(500, "<html>")),
        Just(Outcome::Responds(404, "")),
        Just(Outcome::Responds(200, "{}")),
        Just(SANDBOX),
    ]
}

fn requests<O: Operation>(
    operation: &O,
    options: &CallOptions,
    seed: u64,
    outcomes: &[Outcome],
) -> usize {
    play(
        ExecuteFlow::new(operation, options, seed).unwrap(),
        outcomes,
    )
    .1
}

proptest! {
    #[test]
    fn a_request_that_may_have_acted_is_never_retried(
        outcomes in prop::collection::vec(outcome(), 8), attempts in 0_u32..9, seed in any::<u64>(),
    ) {
        let options = CallOptions::new().retry(RetryPolicy::standard().attempts(attempts));
        // Up to and including the first attempt that may have acted. A 429 has not acted.
        let harmless = |outcome: &Outcome| matches!(outcome, Outcome::Fails(Sent::No) | Outcome::Responds(429, _));
        let allowed = outcomes.iter().take_while(|outcome| harmless(outcome)).count() + 1;
        let allowed = allowed.min(attempts.max(1) as usize);
        prop_assert!(requests(&CreateSandbox::new("a"), &options, seed, &outcomes) <= allowed);
        prop_assert!(requests(&Exec::new(sandbox(), "ls"), &options, seed, &outcomes) <= allowed);
        prop_assert!(requests(&WriteFiles::new(sandbox(), [("a", "b")]), &options, seed, &outcomes) <= allowed);
        prop_assert_eq!(requests(&CancelStream::new("a", sandbox()), &options, seed, &outcomes), 1);
        let send = SendMessages::new("a", sandbox(), "Hi");
        prop_assert!(play(OpenFlow::new(&send, &options, seed).unwrap(), &outcomes).1 <= allowed);
    }

    #[test]
    fn delays_double_up_to_the_longest_with_full_jitter(seed in any::<u64>()) {
        let mut attempts = Attempts::new(&GetSandbox::new(sandbox()), RetryPolicy::standard().attempts(99), seed);
        for longest in [500, 1000, 2000, 4000, 8000, 8000, 8000_u64] {
            match attempts.decide(Attempt::Failed(Sent::Maybe), now()) {
                Decision::Retry(delay) => prop_assert!(delay < Duration::from_millis(longest), "{delay:?}"),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}

#[test]
fn jitter_is_spread_over_the_whole_delay() {
    let delays: Vec<_> = (0..1000)
        .map(|seed| {
            let mut attempts =
                Attempts::new(&GetSandbox::new(sandbox()), RetryPolicy::standard(), seed);
            match attempts.decide(Attempt::Failed(Sent::Maybe), now()) {
                Decision::Retry(delay) => delay.as_secs_f64(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    let mean = delays.iter().sum::<f64>() / 1000.0;
    assert!((0.23..0.27).contains(&mean), "{mean}");
    assert!(delays.iter().any(|delay| *delay < 0.01) && delays.iter().any(|delay| *delay > 0.49));
}
