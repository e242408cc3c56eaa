//! Responses with a content coding, which requests do not ask for.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::response::Parts;
use proptest::prelude::*;
use twentyfirst_protocol::files::{ReadBytes, ReadStream, RemoveFile};
use twentyfirst_protocol::runs::{Mode, ResumeStream, SendMessages};
use twentyfirst_protocol::sandboxes::{Exec, GetSandbox};
use twentyfirst_protocol::{
    ApiError, Endpoint, Head, Operation, ResponseError, SandboxId, StreamingOperation,
};

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

fn head(status: u16, codings: &[&str]) -> Parts {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = status.try_into().unwrap();
    let stream = "text/event-stream".parse().unwrap();
    head.headers.insert("content-type", stream);
    for coding in codings {
        head.headers
            .append(CONTENT_ENCODING, coding.parse().unwrap());
    }
    head
}

/// The first bytes of gzip.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00";

const NONE: [&[&str]; 6] = [
    &[],
    &["none"],
    &["identity"],
    &[""],
    &["Identity, NONE"],
    &["none", "identity"],
];

const CODINGS: [(&[&str], &str); 5] = [
    (&["gzip"], "gzip"),
    (&["GZip"], "gzip"),
    (&["identity, br"], "br"),
    (&["deflate", "gzip"], "deflate, gzip"),
    (&["x\u{e9}-21st"], "x\u{e9}-21st"),
];

#[test]
fn requests_accept_no_coding() {
    let file = ReadBytes::new(sandbox(), "/a");
    let exec = Exec::new(sandbox(), "ls");
    let stream = ResumeStream::new("agent", sandbox());
    for request in [file.to_request(), exec.to_request(), stream.to_request()] {
        assert_eq!(request.unwrap().headers()[ACCEPT_ENCODING], "identity");
    }
}

#[test]
fn content_with_a_coding_is_an_error() {
    let file = ReadBytes::new(sandbox(), "/a");
    let exec = Exec::new(sandbox(), "ls");
    for (codings, named) in CODINGS {
        let head = head(200, codings);
        let problem = format!("its content-encoding is {named}, and only identity was asked for");
        for error in [
            file.decode(&head, GZIP).unwrap_err(),
            exec.decode(&head, GZIP).map(drop).unwrap_err(),
        ] {
            let ResponseError::InvalidResponse(error) = error else {
                panic!("{error}")
            };
            assert_eq!(error.problem(), problem);
            assert_eq!((error.status().as_u16(), error.body()), (200, ""));
        }
    }
    for codings in NONE {
        assert_eq!(file.decode(&head(200, codings), GZIP).unwrap(), GZIP);
    }
}

#[test]
fn no_stream_with_a_coding_is_opened() {
    let file = ReadStream::new(sandbox(), "/a");
    let resume = ResumeStream::new("agent", sandbox());
    let send = SendMessages::new("agent", sandbox(), "hello");
    for (codings, named) in CODINGS {
        let head = head(200, codings);
        assert_eq!(file.decode_head(&head), Head::Read);
        assert_eq!(resume.decode_head(&head), Head::Read);
        assert_eq!(send.decode_head(&head), Head::Read);
        for error in [
            // The body of a stream is not awaited.
            file.decode(&head, b"").unwrap_err(),
            resume.decode(&head, b"").unwrap_err(),
            send.decode(&head, b"").unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(
                text.contains(&format!("content-encoding is {named},")),
                "{text}"
            );
        }
    }
    for codings in NONE {
        let head = head(200, codings);
        assert_eq!(file.decode_head(&head), Head::Open(()));
        assert!(matches!(resume.decode_head(&head), Head::Open(_)));
        assert!(matches!(send.decode_head(&head), Head::Open(_)));
    }
}

#[test]
fn a_run_in_the_background_has_started_whatever_its_content_type() {
    let mut send = SendMessages::new("agent", sandbox(), "hello");
    send.mode = Some(Mode::Background);
    assert!(matches!(
        send.decode_head(&head(200, &["gzip"])),
        Head::Open(_)
    ));
}

#[test]
fn an_error_keeps_its_status_and_its_headers() {
    let mut head = head(503, &["gzip"]);
    head.headers.insert("retry-after", "7".parse().unwrap());
    head.headers
        .insert("x-request-id", "req_7".parse().unwrap());
    let error = ApiError::new(&head, GZIP);
    assert_eq!(
        error.to_string(),
        "the relay responded with 503: its content-encoding is gzip, and only identity was asked for"
    );
    assert_eq!((error.body(), error.code()), ("", None));
    assert!(error.retry_after().is_some());
    assert_eq!(error.request_id(), Some("req_7"));
    let error = GetSandbox::new(sandbox()).decode(&head, GZIP).unwrap_err();
    assert_eq!(error.status(), 503);
}

#[test]
fn a_coding_is_ignored_if_only_the_status_counts() {
    let remove = RemoveFile::new(sandbox(), "/a");
    assert!(remove.decode(&head(204, &["gzip"]), b"").is_ok());
    assert!(remove.decode(&head(200, &["gzip"]), GZIP).is_ok());
    let file = ReadBytes::new(sandbox(), "/a");
    assert_eq!(
        file.decode(&head(200, &["gzip"]), b"").unwrap(),
        b"".as_slice()
    );
}

proptest! {
    #[test]
    fn content_without_a_coding_is_decoded(codings in prop::collection::vec("[ -~]{0,8}", 0..3)) {
        let list: Vec<_> = codings.iter().map(String::as_str).collect();
        let head = head(200, &list);
        let named = codings
            .iter()
            .flat_map(|codings| codings.split(','))
            .any(|coding| !matches!(coding.trim().to_lowercase().as_str(), "" | "identity" | "none"));
        let result = ReadBytes::new(sandbox(), "/a").decode(&head, GZIP);
        prop_assert_eq!(result.is_err(), named);
    }
}
