//! Reading files as bytes and as streams where the relay responds with 500: empty ones, missing ones, and those that change meanwhile.

use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use twentyfirst_protocol::files::{ReadBytes, ReadStream};
use twentyfirst_protocol::flow::{Event, ExchangeError, Failure, Flow, Now, Sent, Slot, Step};
use twentyfirst_protocol::retry::RetryPolicy;
use twentyfirst_protocol::{CallOptions, SandboxId, http};

const FELL_OVER: (u16, &str) = (
    500,
    r#"{"error":{"code":"internal_error","message":"blob.arrayBuffer is not a function"}}"#,
);
const MISSING: (u16, &str) = (
    500,
    r#"{"error":{"code":"internal_error","message":"path 'a' does not exist"}}"#,
);
const TEXT: (u16, &str) = (200, r#"{"path":"a","content":"now"}"#);
const EMPTY: (u16, &str) = (200, r#"{"path":"a","content":""}"#);

/// Plays a flow against these responses; one with the status 0 fails. What was asked for in which format, and the result, with the
/// content of the stream that is open in the end.
fn play<T, F>(
    mut flow: F,
    responses: &[(u16, &'static str)],
) -> (Vec<String>, Result<(T, String), String>)
where
    F: Flow<Item = Infallible, Output = Result<T, ExchangeError>>,
{
    let now = Now {
        mono: Instant::now(),
        wall: SystemTime::now(),
    };
    let mut responses = responses.iter();
    let (mut asked, mut open, mut pending) = (Vec::new(), String::new(), None);
    for _ in 0..100 {
        match flow.poll(now) {
            Step::Send(send) => {
                let query = send.request.uri().query().unwrap().to_owned();
                asked.push(query.strip_prefix("path=a").unwrap().to_owned());
                let (status, body) = *responses.next().expect("no further request");
                if status == 0 {
                    let cut = Failure::new(Sent::Maybe, std::io::Error::other("cut"));
                    flow.handle(Event::Failure(send.slot, cut));
                    continue;
                }
                let (mut head, ()) = http::Response::new(()).into_parts();
                head.status = http::StatusCode::from_u16(status).unwrap();
                let body = Bytes::from_static(body.as_bytes());
                if send.slot == Slot::Exchange {
                    flow.handle(Event::Response {
                        slot: send.slot,
                        head,
                        body,
                    });
                } else {
                    flow.handle(Event::Response {
                        slot: send.slot,
                        head,
                        body: Bytes::new(),
                    });
                    pending = Some(body);
                }
            }
            Step::Wait { .. } => {
                flow.handle(Event::Data(pending.take().expect("nothing to wait for")));
                flow.handle(Event::End);
            }
            Step::Close(slot) => {
                assert_eq!(slot, Slot::Stream);
                pending = None;
                open.clear();
            }
            Step::Done(Ok(output)) => {
                let rest = pending.take().unwrap_or_default();
                open.push_str(std::str::from_utf8(&rest).unwrap());
                return (asked, Ok((output, open)));
            }
            Step::Done(Err(error)) => return (asked, Err(error.to_string())),
            Step::Item(never) => match never {},
        }
    }
    panic!("it goes on for ever");
}

/// The content by either way, or the error; and the formats that were asked for, in short.
fn read(responses: &[(u16, &'static str)]) -> (String, Result<String, String>) {
    let sandbox = SandboxId::new("sb").unwrap();
    let options = CallOptions::new()
        .retry(RetryPolicy::never())
        .deadline(Duration::from_secs(60));
    let bytes = ReadBytes::new(&sandbox, "a");
    let (asked, content) = play(bytes.flow(&options, 0).unwrap(), responses);
    let content = content.map(|(bytes, _)| String::from_utf8(bytes.to_vec()).unwrap());

    let stream = ReadStream::new(&sandbox, "a");
    let (asked_too, streamed) = play(stream.flow(&options, 0).unwrap(), responses);
    assert_eq!(streamed.map(|((), body)| body), content);
    let short = |asked: Vec<String>, format: &str| {
        let short = asked.iter().map(|query| match query.as_str() {
            "" => "text",
            query => query.strip_prefix(format).map_or("other", |_| "read"),
        });
        short.collect::<Vec<_>>().join(" ")
    };
    let asked = short(asked, "&format=blob");
    assert_eq!(asked, short(asked_too, "&format=stream"));
    (asked, content)
}

#[test]
fn what_there_is_is_read_at_once() {
    assert_eq!(
        read(&[(200, "content")]),
        ("read".into(), Ok("content".into()))
    );
    // As a relay may do that reads empty files.
    assert_eq!(read(&[(200, "")]), ("read".into(), Ok(String::new())));
}

#[test]
fn an_empty_file_is_empty() {
    let page = (500, "<pre>Internal Server Error</pre>");
    for failed in [FELL_OVER, page, (500, "")] {
        let (asked, content) = read(&[failed, EMPTY]);
        assert_eq!((&*asked, content), ("read text", Ok(String::new())));
    }
}

#[test]
fn a_missing_file_stays_missing() {
    let message = "the relay answered 500 internal_error: path 'a' does not exist";
    let not_found = (404, r#"{"error":{"code":"file_not_found","message":"x"}}"#);
    for second in [MISSING, not_found, (0, ""), (200, "garbage"), (204, "")] {
        let (asked, content) = read(&[MISSING, second]);
        assert_eq!((&*asked, content), ("read text", Err(message.into())));
    }
}

#[test]
fn a_file_that_was_filled_meanwhile_is_read_once_more() {
    let (asked, content) = read(&[FELL_OVER, TEXT, (200, "now")]);
    assert_eq!((&*asked, content), ("read text read", Ok("now".into())));
    // And no more than once.
    let (asked, content) = read(&[MISSING, TEXT, FELL_OVER]);
    let message = "the relay answered 500 internal_error: blob.arrayBuffer is not a function";
    assert_eq!((&*asked, content), ("read text read", Err(message.into())));
}

#[test]
fn only_a_500_is_looked_into() {
    for status in [400, 401, 404, 502, 503] {
        let (asked, content) = read(&[(status, "")]);
        assert_eq!(asked, "read");
        assert!(content.unwrap_err().contains(&status.to_string()));
    }
    let (asked, content) = read(&[(0, "")]);
    assert!(asked == "read" && content.is_err());
}

#[test]
fn the_deadline_is_one_for_all() {
    let read = ReadBytes::new(SandboxId::new("sb").unwrap(), "a");
    let options = CallOptions::new().deadline(Duration::from_secs(10));
    let mut flow = read.flow(&options, 0).unwrap();
    let start = Instant::now();
    let at = |seconds| Now {
        mono: start + Duration::from_secs(seconds),
        wall: SystemTime::now(),
    };
    for (seconds, (status, body)) in [(0, FELL_OVER), (4, TEXT)] {
        while !matches!(flow.poll(at(seconds)), Step::Send(_)) {}
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.status = http::StatusCode::from_u16(status).unwrap();
        let body = Bytes::from_static(body.as_bytes());
        flow.handle(Event::Response {
            slot: Slot::Exchange,
            head,
            body,
        });
    }
    assert!(matches!(flow.poll(at(8)), Step::Send(_)));
    match flow.poll(at(8)) {
        Step::Wait { until } => assert_eq!(until, Some(start + Duration::from_secs(10))),
        other => panic!("{other:?}"),
    }
    match flow.poll(at(10)) {
        Step::Done(Err(error)) => assert!(error.to_string().contains("500"), "{error}"),
        other => panic!("{other:?}"),
    }
}
