//! The relay's stream, byte for byte.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use twentyfirst_client::transport::Body;

use crate::support::{Broken, channel, chats, events, logged, post, read, relay, stream};

/// Our encoder would write none of it like this.
const ANSWER: &str = concat!(
    ": good morning\n\n",
    "data:{\"messageId\" : \"msg_1\", \"type\":\"start\", \"later\":true}\r\n\r\n",
    "event: message\ndata: {\"type\":\"text-start\",\ndata: \"id\":\"t\"}\n\n",
    "data: {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"\\ud83d\"}\n\n",
    "data: {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"\\ude00\"}\n\n",
    "data: {\"type\":\"from-the-future\",\"n\":1e400}\n\n",
    "data: neither JSON nor a chunk\n\n",
    "data: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n: good night",
);

#[tokio::test]
async fn the_browser_gets_the_relays_bytes() {
    let (client, log) = relay(|_| stream(ANSWER));
    let (status, headers, body) = read(chats(&client).handle(post("Hi")).await).await;
    assert_eq!((status.as_u16(), body.as_str()), (200, ANSWER));
    // `content-encoding: none` is not among them: it is no coding.
    insta::assert_debug_snapshot!(headers);
    insta::assert_debug_snapshot!(log.take());
}

#[tokio::test]
async fn only_listed_headers_are_passed_on() {
    let (client, _) = relay(|_| {
        let mut response = stream("data: [DONE]\n\n");
        let headers = response.headers_mut();
        headers.insert(
            "content-type",
            "text/event-stream; charset=utf-8".parse().unwrap(),
        );
        headers.insert("x-vercel-ai-ui-message-stream", "v2".parse().unwrap());
        // As if a proxy had removed it.
        headers.remove("x-accel-buffering");
        headers.insert("set-cookie", "relay=1".parse().unwrap());
        headers.insert("x-powered-by", "the relay".parse().unwrap());
        headers.insert("content-length", "14".parse().unwrap());
        response
    });
    let (_, headers, _) = read(chats(&client).handle(post("Hi")).await).await;
    insta::assert_debug_snapshot!(headers);
}

#[tokio::test]
async fn every_piece_is_passed_on_at_once() {
    let (pieces, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let mut response = chats(&client).handle(post("Hi")).await.into_body();
    for piece in [
        "data: {\"type\":",
        "\"finish\"}\n",
        "\n",
        "data: [DONE]\n\n",
    ] {
        pieces.send(Ok(piece)).unwrap();
        let frame = response.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
    drop(pieces);
    assert!(response.frame().await.is_none());
}

#[tokio::test]
async fn nothing_is_read_before_the_browser_reads() {
    /// An answer without end, and how much was taken of it.
    struct Endless(Arc<AtomicUsize>);

    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = Broken;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data("data: {}\n\n".into()))))
        }
    }

    let taken = Arc::new(AtomicUsize::new(0));
    let relays = Arc::clone(&taken);
    let (client, _) = relay(move |_| stream(Body::wrap(Endless(Arc::clone(&relays)))));
    let mut response = chats(&client).handle(post("Hi")).await.into_body();
    assert_eq!(taken.load(Ordering::Relaxed), 0);
    for count in 1..10 {
        response.frame().await.unwrap().unwrap();
        tokio::task::yield_now().await;
        assert_eq!(taken.load(Ordering::Relaxed), count);
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_an_error_in_the_stream() {
    let (pieces, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let response = chats(&client).handle(post("Hi")).await;
    pieces.send(Ok("data: {\"type\":\"start\"}\n\n")).unwrap();
    pieces.send(Err(Broken)).unwrap();
    let (_, _, body) = read(response).await;
    insta::assert_debug_snapshot!(events(&body));
}

#[tokio::test]
async fn the_server_sees_why_a_stream_was_cut() {
    for (piece, failures) in [
        (
            "data: {\"type\":\"start\"}\n\n",
            &["the body broke off <- the cable was pulled"][..],
        ),
        (
            "data: {\"type\"",
            &["the body broke off <- the cable was pulled"],
        ),
        // The answer was whole.
        ("data: [DONE]\n\n", &[]),
    ] {
        let (pieces, body) = channel();
        let body = std::sync::Mutex::new(Some(body));
        let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
        let (chats, errors) = logged(chats(&client));
        let response = chats.handle(post("Hi")).await;
        pieces.send(Ok(piece)).unwrap();
        pieces.send(Err(Broken)).unwrap();
        let _ = response.into_body().collect().await;
        assert_eq!(*errors.lock().unwrap(), failures, "after {piece:?}");
    }
}

#[tokio::test]
async fn a_browser_that_leaves_is_not_an_error() {
    let (pieces, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let (chats, errors) = logged(chats(&client));
    let mut response = chats.handle(post("Hi")).await.into_body();
    pieces.send(Ok("data: {\"type\":\"start\"}\n\n")).unwrap();
    response.frame().await.unwrap().unwrap();
    drop(response);
    assert_eq!(*errors.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_cut_after_the_end_of_the_answer_is_not_an_error() {
    let (pieces, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let response = chats(&client).handle(post("Hi")).await;
    pieces
        .send(Ok("data: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n"))
        .unwrap();
    pieces.send(Err(Broken)).unwrap();
    let (_, _, body) = read(response).await;
    assert_eq!(body, "data: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n");
}
