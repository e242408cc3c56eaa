//! The end of a transport is not the end of a message.

use std::sync::Mutex;

use http_body_util::{BodyExt, Full, StreamBody};
use twentyfirst_client::transport::Body;

use crate::observing::observed;
use crate::support::{
    Broken, channel, chats, events, logged, post, read, relay, request, stream, threads,
};

const BROKE_OFF: &str = "data: {\"type\":\"error\",\"errorText\":\"the connection to the agent broke off\"}\n\ndata: [DONE]\n\n";
const ABORTED: &str =
    "data: {\"type\":\"abort\"}\n\ndata: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n";
const UNFINISHED: &str =
    "the stream ended before its message did: neither `finish` nor `[DONE]` came";
const CUT: &str = "the body broke off <- the cable was pulled";

/// Streams that end before their message does, with the bytes that complete the event under way.
const BROKEN: [(&str, &str); 8] = [
    ("", ""),
    (": good morning\n\n", ""),
    ("data: {\"type\":\"start\"}\n\n", ""),
    ("data: {\"type\":\"start\"}\r\n\r\n", ""),
    ("data: {\"type\":\"start\"}\n\ndata: {\"ty", "\n\n"),
    ("data: {\"type\":\"start\"}\n", "\n\n"),
    // The end is only in its text.
    (
        "data: {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"{\\\"type\\\":\\\"finish\\\"} [DONE]\"}\n\n",
        "",
    ),
    ("data: {\"type\":\"finish-step\"}\n\nda", "\n\n"),
];

/// Streams whose message has ended, with the bytes that complete the event under way.
const COMPLETE: [(&str, &str); 7] = [
    ("data: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n", ""),
    ("data: {\"type\":\"finish\"}\n\n", ""),
    (
        "data:{\"messageMetadata\":{},\ndata: \"type\" : \"f\\u0069nish\"}\r\n\r\n",
        "",
    ),
    ("data: {\"type\":\"finish\"}\n\n: good night", ""),
    (
        "data: {\"type\":\"error\",\"errorText\":\"cancelled\"}\n\n",
        "",
    ),
    ("data: {\"type\":\"abort\"}\n\n", ""),
    // The event is whole, but for its empty line.
    ("data: {\"type\":\"finish\"}", "\n\n"),
];

/// Streams of cancelled runs, with the bytes that complete the event under way.
const CANCELLED: [(&str, &str); 4] = [
    ("data: [DONE]\n\n", ""),
    ("data: {\"type\":\"start\"}\n\ndata: [DONE]\n\n", ""),
    ("data: [DONE]\n", "\n\n"),
    ("data: [DONE]\r", "\n\n"),
];

/// Returns the bytes for the browser and the errors for `on_error`, for a stream that arrives in these pieces and then ends or is cut.
async fn passed(pieces: &[&'static str], is_cut: bool) -> (String, Vec<String>) {
    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let (client, _) = relay(move |_| stream(body.lock().unwrap().take().unwrap()));
    let (chats, errors) = logged(chats(&client));
    let response = chats.handle(post("Hi")).await;
    for piece in pieces {
        sender.send(Ok(piece)).unwrap();
    }
    if is_cut {
        sender.send(Err(Broken)).unwrap();
    }
    drop(sender);
    let (_, headers, body) = read(response).await;
    assert!(!headers.contains_key("content-length"));
    let errors = errors.lock().unwrap().clone();
    (body, errors)
}

#[tokio::test]
async fn a_stream_that_ends_before_its_message_is_an_error_in_the_stream() {
    for (came, end) in BROKEN {
        for (is_cut, error) in [(false, UNFINISHED), (true, CUT)] {
            let (body, errors) = passed(&[came], is_cut).await;
            assert_eq!(body, format!("{came}{end}{BROKE_OFF}"), "{is_cut}");
            assert_eq!(errors, [error], "{came}");
        }
    }
}

#[tokio::test]
async fn a_stream_whose_message_has_ended_is_left_as_it_is() {
    for (came, end) in COMPLETE {
        for is_cut in [false, true] {
            let (body, errors) = passed(&[came], is_cut).await;
            assert_eq!(body, format!("{came}{end}"), "{is_cut}");
            assert_eq!(errors, [""; 0], "{came}");
        }
    }
}

#[tokio::test]
async fn a_cancellation_a_cut_and_the_end_are_told_apart() {
    for (came, end) in CANCELLED {
        for is_cut in [false, true] {
            let (body, errors) = passed(&[came], is_cut).await;
            assert_eq!(body, format!("{came}{end}{ABORTED}"), "{is_cut}");
            assert_eq!(errors, [""; 0], "{came}");
        }
    }
}

#[tokio::test]
async fn chunk_boundaries_of_the_transport_make_no_difference() {
    for (streams, last) in [
        (&BROKEN[..], BROKE_OFF),
        (&COMPLETE[..], ""),
        (&CANCELLED[..], ABORTED),
    ] {
        for (came, end) in streams {
            for at in (0..=came.len()).filter(|at| came.is_char_boundary(*at)) {
                let (body, errors) = passed(&[&came[..at], &came[at..]], false).await;
                assert_eq!(body, format!("{came}{end}{last}"), "at {at}");
                assert_eq!(errors.is_empty(), last != BROKE_OFF, "{came} at {at}");
            }
        }
    }
}

#[tokio::test]
async fn a_declared_content_length_does_not_suppress_the_error() {
    let (client, _) = relay(|_| {
        let mut response = stream("data: {\"type\":\"start\"}\n\n");
        let length = "25".parse().unwrap();
        response.headers_mut().insert("content-length", length);
        response
    });
    let response = chats(&client).handle(post("Hi")).await;
    assert!(!response.headers().contains_key("content-length"));
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), None);
    let (_, _, body) = read(response).await;
    assert!(body.ends_with(BROKE_OFF), "{body}");
}

#[tokio::test]
async fn trailers_do_not_suppress_the_error() {
    let (client, _) = relay(|_| {
        let data = Full::from("data: {\"type\":\"start\"}\n\n");
        let trailers = http::HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
        stream(Body::wrap(
            data.with_trailers(std::future::ready(Some(Ok(trailers)))),
        ))
    });
    let (_, _, body) = read(chats(&client).handle(post("Hi")).await).await;
    assert!(body.ends_with(BROKE_OFF), "{body}");
}

#[tokio::test]
async fn a_resumed_stream_that_ends_before_its_message_is_an_error_in_the_stream() {
    for (came, end) in BROKEN {
        let (client, _) = relay(move |target| match target {
            "GET /v1/sandboxes/sb_1/threads" => threads(&[("th_1", "streaming")]),
            _ => stream(came),
        });
        let (chats, errors) = logged(chats(&client));
        let response = chats
            .handle(request("GET", "/api/chat/chat-1/stream", ""))
            .await;
        let (_, _, body) = read(response).await;
        assert_eq!(body, format!("{came}{end}{BROKE_OFF}"));
        assert_eq!(*errors.lock().unwrap(), [UNFINISHED], "{came}");
    }
}

#[tokio::test]
async fn the_relay_is_asked_after_a_followed_stream_ends_before_its_message() {
    for (came, _) in BROKEN {
        let (client, _) = relay(move |target| match target {
            "POST /v1/chat/my-agent" => stream(came),
            _ => crate::support::json_response(
                200,
                &serde_json::json!({ "id": "th_1", "status": "error", "error": "too much" }),
            ),
        });
        let (chats, _) = observed(&client);
        let (_, _, body) = read(chats.handle(post("Hi")).await).await;
        let events = events(&body);
        let [.., error, finish, done] = &events[..] else {
            panic!("{body}")
        };
        assert_eq!(
            (&error["errorText"], &finish["type"], done),
            (&"too much".into(), &"finish".into(), &"[DONE]".into()),
            "{came}"
        );
    }
}

#[tokio::test]
async fn an_event_that_is_too_long_does_not_hide_the_end() {
    let (client, _) = relay(|_| {
        let piece = bytes::Bytes::from(vec![b'x'; 1 << 20]);
        let pieces = std::iter::once("data: ".into())
            .chain(std::iter::repeat_n(piece, 80))
            .chain(["\n\ndata: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n".into()]);
        let frames = pieces.map(|piece| Ok::<_, Broken>(http_body::Frame::data(piece)));
        stream(Body::wrap(StreamBody::new(Frames(frames))))
    });
    let (chats, errors) = logged(chats(&client));
    let body = chats.handle(post("Hi")).await.into_body();
    let body = body.collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"\"finish\"}\n\ndata: [DONE]\n\n"));
    assert_eq!(*errors.lock().unwrap(), [""; 0]);
}

struct Frames<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Frames<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}
