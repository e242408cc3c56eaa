//! Bodies: their sources, clones and memory limits.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use twentyfirst_transport::Body;

use crate::chain;

#[tokio::test]
async fn bytes_of_any_kind_are_bodies() {
    let bodies = [
        Body::from("text"),
        Body::from(String::from("text")),
        Body::from(b"text".to_vec()),
        Body::from(Bytes::from("text")),
    ];
    for body in bodies {
        assert_eq!(body.size_hint().exact(), Some(4));
        assert!(!body.is_end_stream());
        assert_eq!(body.collect_up_to(4).await.unwrap(), "text");
    }
    assert!(Body::empty().is_end_stream());
    assert_eq!(Body::default().collect_up_to(0).await.unwrap(), "");
}

#[tokio::test]
async fn bytes_can_be_cloned_and_streams_cannot() {
    let bytes = Body::from("again");
    let clone = bytes.try_clone().unwrap();
    assert_eq!(bytes.collect_up_to(10).await.unwrap(), "again");
    assert_eq!(clone.collect_up_to(10).await.unwrap(), "again");

    assert!(Body::wrap(Script::new(["once"])).try_clone().is_none());
}

#[tokio::test]
async fn wrapping_a_body_of_this_crate_changes_nothing() {
    let body = Body::wrap(Body::wrap(Body::from("still bytes")));

    assert_eq!(format!("{body:?}"), "Body(11 bytes)");
    assert!(body.try_clone().is_some());
}

#[test]
fn debug_output_shows_no_content() {
    let secret = || Body::from("sk-secret");
    assert_eq!(format!("{:?}", secret()), "Body(9 bytes)");
    assert_eq!(
        format!("{:?}", Body::wrap(Script::new(["sk-secret"]))),
        "Body(stream)"
    );
    assert_eq!(
        format!("{:?}", secret().collect_up_to(10)),
        "Collect { collected: 0, limit: 10, .. }"
    );
    assert_eq!(
        format!("{:?}", secret().read_beginning(10)),
        "ReadBeginning { read: 0, limit: 10, .. }"
    );
}

#[tokio::test]
async fn a_stream_is_collected_up_to_its_limit_and_not_a_byte_further() {
    let pieces = ["one ", "", "two ", "three"];

    let all = Body::wrap(Script::new(pieces)).collect_up_to(13).await;
    assert_eq!(all.unwrap(), "one two three");

    let (script, dropped) = Script::new(pieces).watched();
    let mut collect = Box::pin(Body::wrap(script).collect_up_to(12));
    let error = (&mut collect).await.unwrap_err();
    assert!(error.is_body_limit());
    assert!(!error.is_timeout());
    assert_eq!(chain(&error), "the body is longer than 12 bytes");
    assert!(
        dropped.load(Ordering::SeqCst),
        "the body is closed although the future is still held"
    );
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_not_read_at_all() {
    let mut script = Script::new(["never read"]);
    script.announced = 11;

    let error = Body::wrap(script).collect_up_to(10).await.unwrap_err();

    assert!(error.is_body_limit());
}

#[tokio::test]
async fn trailers_are_skipped() {
    let mut script = Script::new(["body"]);
    script
        .frames
        .push_back(Ok(Frame::trailers(HeaderMap::new())));

    assert_eq!(Body::wrap(script).collect_up_to(10).await.unwrap(), "body");
}

#[tokio::test]
async fn a_body_that_breaks_off_says_why() {
    let script = || {
        let mut script = Script::new(["half"]);
        script.frames.push_back(Err("reset by peer"));
        Body::wrap(script)
    };

    let error = script().collect_up_to(10).await.unwrap_err();
    assert_eq!(chain(&error), "the body broke off\nreset by peer");
    assert!(error.maybe_sent());
    assert!(!error.is_body_limit());

    let beginning = script().read_beginning(10).await;
    assert_eq!(beginning.bytes, "half");
    assert!(beginning.truncated);
}

#[tokio::test]
async fn a_beginning_says_whether_there_was_more() {
    for (limit, bytes, truncated) in [
        (0, "", true),
        (3, "one", true),
        (5, "one t", true),
        (7, "one two", false),
        (9, "one two", false),
    ] {
        let beginning = Body::wrap(Script::new(["one ", "two"]))
            .read_beginning(limit)
            .await;
        assert_eq!(beginning.bytes, bytes, "{limit}");
        assert_eq!(beginning.truncated, truncated, "{limit}");
        assert_eq!(
            format!("{beginning:?}"),
            format!(
                "Beginning {{ bytes: {}, truncated: {truncated} }}",
                bytes.len()
            )
        );
    }
}

#[tokio::test]
async fn a_beginning_closes_the_body_at_its_limit() {
    let (script, dropped) = Script::new(["one ", "two"]).watched();
    let mut reading = Box::pin(Body::wrap(script).read_beginning(4));

    let beginning = (&mut reading).await;

    assert_eq!(beginning.bytes, "one ");
    assert!(dropped.load(Ordering::SeqCst));
}

/// A body that plays the given frames.
struct Script {
    frames: VecDeque<Result<Frame<Bytes>, &'static str>>,
    announced: u64,
    dropped: Arc<AtomicBool>,
}

impl Script {
    fn new<const N: usize>(pieces: [&'static str; N]) -> Self {
        Self {
            frames: pieces
                .into_iter()
                .map(|piece| Ok(Frame::data(Bytes::from(piece))))
                .collect(),
            announced: 0,
            dropped: Arc::default(),
        }
    }

    fn watched(self) -> (Self, Arc<AtomicBool>) {
        let dropped = Arc::clone(&self.dropped);
        (self, dropped)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(self.frames.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.announced);
        hint
    }
}
