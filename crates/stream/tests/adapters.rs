//! Bodies read as streams: their items, their ends and the unread rest.

mod common;

use std::convert::Infallible;
use std::error::Error as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use common::{Event::*, Failure, block_on, data, poll_once, script};
use futures_core::{FusedStream, Stream};
use http_body::{Body, Frame};
use http_body_util::Full;
use proptest::prelude::*;
use twentyfirst_protocol::{
    sse::{Event, Limits, SseError},
    ui::{Chunk, ChunkError, End, chunk::TextDelta, encode_done},
};
use twentyfirst_stream::{BodyStreamExt, SseEvents, StreamError, UiChunks};

const DELTA: &str = "data: {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"x\"}\n\n";
const FINISH: &str = "data: {\"type\":\"finish\"}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn full(text: &str) -> Full<Bytes> {
    Full::from(text.to_owned())
}

fn delta() -> Chunk<'static> {
    TextDelta::new("t", "x").into()
}

#[test]
fn events_are_yielded_as_their_bytes_arrive() {
    let body = script([
        data("retry: 9\nid: 1\nda"),
        Wait,
        data("ta: a\n\nevent: e\ndata: b\n\n"),
        Trailers,
    ]);
    let mut events = body.sse_events();
    assert_eq!(poll_once(events.next()), None);
    assert_eq!(block_on(events.next()), Some(Ok(Event::new("a").id("1"))));
    assert!(!events.is_terminated());
    assert_eq!(
        block_on(events.next()),
        Some(Ok(Event::new("b").event("e").id("1")))
    );
    assert_eq!(block_on(events.next()), None);
    assert_eq!(block_on(events.next()), None);
    assert!(events.is_terminated());
    assert_eq!(events.last_event_id(), Some("1"));
    assert_eq!(events.retry().map(|retry| retry.as_millis()), Some(9));
    assert_eq!(events.unfinished(), None);
}

#[test]
fn chunks_are_yielded_as_their_bytes_arrive() {
    let (first, second) = DELTA.split_at(20);
    let mut chunks =
        script([data(first), Wait, data(second), data(FINISH), data(DONE)]).ui_chunks();
    assert_eq!(poll_once(chunks.next()), None);
    assert_eq!(block_on(chunks.next()), Some(Ok(delta())));
    assert_eq!((chunks.end(), chunks.saw_finish()), (None, false));
    assert!(matches!(
        block_on(chunks.next()),
        Some(Ok(Chunk::Finish(_)))
    ));
    assert_eq!(block_on(chunks.next()), None);
    assert_eq!(
        (chunks.end(), chunks.saw_finish()),
        (Some(End::Finished), true)
    );
    assert!(chunks.is_terminated());
}

#[test]
fn a_next_that_is_dropped_loses_nothing() {
    let pieces = DELTA
        .as_bytes()
        .chunks(5)
        .flat_map(|piece| [Wait, data(piece), Wait]);
    let mut chunks = script(pieces).ui_chunks();
    let mut polls = 1;
    let chunk = loop {
        match poll_once(chunks.next()) {
            Some(chunk) => break chunk,
            None => polls += 1,
        }
    };
    assert_eq!(chunk, Some(Ok(delta())));
    assert!(polls > 10);
}

#[test]
fn an_event_that_is_not_a_chunk_does_not_end_the_stream() {
    let mut chunks = script([data("data: {}\n\n"), data(DELTA), data(DONE)]).ui_chunks();
    let error = block_on(chunks.next()).unwrap().unwrap_err();
    assert_eq!(error, StreamError::Chunk(ChunkError::NoType));
    assert!(!error.is_fatal());
    assert_eq!(error.to_string(), "an event of the response is not a chunk");
    assert_eq!(error.source().unwrap().to_string(), "the data has no type");
    assert_eq!(block_on(chunks.next()), Some(Ok(delta())));
    assert_eq!(block_on(chunks.next()), None);
    assert_eq!(chunks.end(), Some(End::Finished));
}

#[test]
fn a_body_that_fails_ends_the_stream() {
    let body = script([
        data(DELTA),
        data("data: {\"type\""),
        Fail("reset"),
        data(DELTA),
    ]);
    let alive = body.alive.clone();
    let mut chunks = body.ui_chunks();
    assert_eq!(block_on(chunks.next()), Some(Ok(delta())));
    let error = block_on(chunks.next()).unwrap().unwrap_err();
    assert_eq!(error, StreamError::Body(Failure("reset")));
    assert!(error.is_fatal());
    assert_eq!(error.source().unwrap().to_string(), "reset");
    assert!(!alive.get(), "the body is dropped with its error");
    assert_eq!(chunks.end(), Some(End::Cut));
    assert_eq!(chunks.unfinished().unwrap().bytes, 13);
    assert_eq!(block_on(chunks.next()), None);

    let mut events = script([data("data: a\n"), Fail("reset"), data("\n")]).sse_events();
    assert_eq!(
        block_on(events.next()),
        Some(Err(StreamError::Body(Failure("reset"))))
    );
    assert_eq!(block_on(events.next()), None);
    assert!(events.unfinished().is_some());
}

#[test]
fn a_body_beyond_the_limits_ends_the_stream() {
    let mut limits = Limits::default();
    limits.event = 8;
    let error = SseError::EventTooLong { limit: 8 };
    let body = script([
        data("data: 12345678\n\n"),
        data("data: 123456789\n\n"),
        data("data: a\n\n"),
    ]);
    let alive = body.alive.clone();
    let mut events = SseEvents::with_limits(body, limits);
    assert_eq!(block_on(events.next()), Some(Ok(Event::new("12345678"))));
    assert_eq!(block_on(events.next()), Some(Err(StreamError::Sse(error))));
    assert!(!alive.get());
    assert_eq!(block_on(events.next()), None);

    let mut chunks = UiChunks::with_limits(script([data(DELTA), data(DONE)]), limits);
    assert_eq!(block_on(chunks.next()), Some(Err(StreamError::Sse(error))));
    assert_eq!(block_on(chunks.next()), None);
    assert_eq!(chunks.end(), Some(End::Cut));
}

#[test]
fn a_cut_stream_does_not_pass_for_a_whole_one() {
    let whole = [DELTA, FINISH, DONE].concat();
    for cut in 0..whole.len() {
        let mut chunks = full(&whole[..cut]).ui_chunks();
        while let Some(chunk) = block_on(chunks.next()) {
            chunk.unwrap();
        }
        assert_eq!(chunks.end(), Some(End::Cut), "cut at {cut}");
        let between_events = [0, DELTA.len(), DELTA.len() + FINISH.len()].contains(&cut);
        assert_eq!(
            chunks.unfinished().is_none(),
            between_events,
            "cut at {cut}"
        );
        assert_eq!(chunks.saw_finish(), cut >= DELTA.len() + FINISH.len());
    }
}

#[test]
fn dropping_the_stream_drops_the_body() {
    let body = script([Wait]);
    let alive = body.alive.clone();
    let mut chunks = body.ui_chunks();
    assert_eq!(poll_once(chunks.next()), None);
    assert!(alive.get());
    drop(chunks);
    assert!(!alive.get());
}

#[test]
fn streams_work_with_bodies_that_cannot_move() {
    let body = Later {
        piece: Some(async { DELTA }),
    };
    let mut chunks = pin!(body.ui_chunks());
    let mut context = Context::from_waker(Waker::noop());
    let first = chunks.as_mut().poll_next(&mut context);
    assert_eq!(first, Poll::Ready(Some(Ok(delta()))));
    assert_eq!(chunks.as_mut().poll_next(&mut context), Poll::Ready(None));
    assert_eq!(chunks.end(), Some(End::Cut));
}

/// A body with one piece, which a future returns.
#[pin_project::pin_project]
struct Later<F> {
    #[pin]
    piece: Option<F>,
}

impl<F: Future<Output = &'static str>> Body for Later<F> {
    type Data = &'static [u8];
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
        let mut piece = self.project().piece;
        let Some(future) = piece.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let data = ready!(future.poll(context));
        piece.set(None);
        Poll::Ready(Some(Ok(Frame::data(data.as_bytes()))))
    }
}

#[test]
fn streams_can_be_sent_where_their_bodies_can() {
    fn assert_send_sync<T: Send + Sync>(_: &T) {}
    assert_send_sync(&full("").ui_chunks());
    assert_send_sync(&full("").sse_events());
    fn assert_send<T: Send>(_: &T) {}
    assert_send(&full("").ui_chunks().next());
}

proptest! {
    #[test]
    fn it_makes_no_difference_how_the_body_is_cut(
        texts in prop::collection::vec(any::<String>(), 0..6),
        lengths in prop::collection::vec(1usize..60, 1..40),
        done in any::<bool>(),
    ) {
        let sent: Vec<Chunk<'_>> = texts.iter().map(|text| TextDelta::new("t", text).into()).collect();
        let mut stream: Vec<u8> = sent.iter().flat_map(Chunk::encode_event).collect();
        if done {
            stream.extend(encode_done());
        }
        let mut rest = &stream[..];
        let mut events = Vec::new();
        for length in lengths {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            events.push(data(piece));
            if length % 3 == 0 {
                events.push(Wait);
            }
            rest = after;
        }
        events.push(data(rest));
        let mut chunks = script(events).ui_chunks();
        let mut arrived = Vec::new();
        while let Some(chunk) = block_on(chunks.next()) {
            arrived.push(chunk.unwrap());
        }
        prop_assert_eq!(arrived, sent);
        prop_assert_eq!(chunks.end(), Some(if done { End::Finished } else { End::Cut }));
        prop_assert_eq!(chunks.unfinished(), None);
    }
}
