//! Streams of other stacks: reqwest's responses, axum's requests, files and readers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::convert::Infallible;
use std::error::Error as _;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use proptest::prelude::*;
use tokio::fs;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::io::ReaderStream;
use twentyfirst_protocol::ui::chunk::{Finish, TextDelta, TextEnd, TextStart};
use twentyfirst_protocol::ui::{Chunk, End, encode_done, response_headers};
use twentyfirst_stream::{BodyStreamExt, StreamError, from_reader, from_stream};

const ANSWER: &str = "Grüezi 👋";

fn answer() -> Vec<Bytes> {
    let mut chunks = vec![Chunk::from(TextStart::new("t"))];
    chunks.extend(
        ANSWER
            .split_inclusive(' ')
            .map(|word| TextDelta::new("t", word).into()),
    );
    chunks.extend([TextEnd::new("t").into(), Finish::new().into()]);
    let events = chunks.iter().map(Chunk::encode_event);
    events.chain([encode_done()]).collect()
}

/// Returns the output of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

/// Starts a server on loopback and returns its URL. The server ends with the test's runtime.
async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, routes).await });
    url
}

#[tokio::test]
async fn the_bytes_stream_of_reqwest_is_read_as_it_arrives() {
    // The server sends the rest only after the reader has seen the beginning.
    let go_on = Arc::new(Notify::new());
    let may_go_on = Arc::clone(&go_on);
    let respond = async move || {
        let events = stream::iter(answer()).enumerate().then(move |(at, event)| {
            let may_go_on = Arc::clone(&may_go_on);
            async move {
                if at == 2 {
                    may_go_on.notified().await;
                }
                Ok::<_, Infallible>(event)
            }
        });
        (response_headers(), Body::from_stream(events))
    };
    let url = serve(Router::new().route("/", get(respond))).await;

    let response = reqwest::get(url).await.unwrap();
    let mut messages = from_stream(response.bytes_stream()).ui_messages();
    while messages.message().text() != "Grüezi " {
        let message = tokio::time::timeout(Duration::from_secs(10), messages.next());
        message.await.expect("a message in 10 s").unwrap().unwrap();
    }
    go_on.notify_one();
    while let Some(message) = messages.next().await {
        message.unwrap();
    }

    assert_eq!(messages.end(), Some(End::Finished));
    assert_eq!(messages.into_message().text(), ANSWER);
}

#[tokio::test]
async fn a_response_of_reqwest_that_breaks_off_is_a_body_error() {
    let respond = async || {
        let pieces = [
            Ok(answer().remove(0)),
            Err(io::Error::other("the model is gone")),
        ];
        // Pause before the error: without it, hyper sends nothing of the response.
        let slowly = stream::iter(pieces).then(|piece| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            piece
        });
        Body::from_stream(slowly)
    };
    let url = serve(Router::new().route("/", get(respond))).await;

    let response = reqwest::get(url).await.unwrap();
    let mut chunks = from_stream(response.bytes_stream()).ui_chunks();

    assert_eq!(chunks.next().await.unwrap().unwrap().kind(), "text-start");
    let error = chunks.next().await.unwrap().unwrap_err();
    assert!(
        matches!(&error, StreamError::Body(error) if error.is_decode() || error.is_body()),
        "{error:?}"
    );
    assert!(error.source().unwrap().is::<reqwest::Error>());
    assert!(chunks.next().await.is_none());
    assert_eq!(chunks.end(), Some(End::Cut));
}

#[tokio::test]
async fn the_body_of_a_request_to_axum_is_read_directly() {
    let read = async |body: Body| {
        let mut messages = body.ui_messages();
        while let Some(message) = messages.next().await {
            message.unwrap();
        }
        format!("{:?}: {}", messages.end(), messages.message().text())
    };
    let url = serve(Router::new().route("/", post(read))).await;

    let body = reqwest::Body::wrap_stream(stream::iter(answer()).map(io::Result::Ok));
    let response = reqwest::Client::new()
        .post(url)
        .body(body)
        .send()
        .await
        .unwrap();

    assert_eq!(
        response.text().await.unwrap(),
        format!("Some(Finished): {ANSWER}")
    );
}

#[tokio::test]
async fn a_file_is_read_with_a_runtime_and_without() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&answer().concat()).unwrap();

    let opened = fs::File::open(file.path()).await.unwrap();
    let mut with = from_stream(ReaderStream::new(opened)).ui_messages();
    while let Some(message) = with.next().await {
        message.unwrap();
    }
    assert_eq!(
        (with.message().text(), with.end()),
        (ANSWER.to_owned(), Some(End::Finished))
    );

    let mut without = from_reader(file.reopen().unwrap()).ui_messages();
    while let Some(message) = now(without.next()) {
        message.unwrap();
    }
    assert_eq!(without.end(), with.end());
    assert_eq!(without.into_message(), with.into_message());
}

#[test]
fn a_reader_that_fails_ends_the_stream() {
    let answer = answer().concat();
    let reader = answer[..60].chain(Broken);
    let mut chunks = from_reader(reader).ui_chunks();
    assert_eq!(now(chunks.next()).unwrap().unwrap().kind(), "text-start");
    let error = now(chunks.next()).unwrap().unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "the disk is gone");
    assert!(now(chunks.next()).is_none());
    assert_eq!(chunks.end(), Some(End::Cut));
    assert!(chunks.unfinished().is_some());
}

#[test]
fn the_unread_rest_is_returned() {
    let answer = answer().concat();
    let long = answer.repeat(1 + (16 << 10) / answer.len());
    let mut chunks = from_reader(&long[..]).ui_chunks();
    now(chunks.next()).unwrap().unwrap();
    let rest = chunks.into_body().unwrap().into_inner();
    assert_eq!(rest, &long[16 << 10..]);

    let pieces = [answer, b"rest".to_vec()].map(io::Result::Ok);
    let mut chunks = from_stream(stream::iter(pieces)).ui_chunks();
    now(chunks.next()).unwrap().unwrap();
    let mut rest = chunks.into_body().unwrap().into_inner();
    assert_eq!(now(rest.next()).unwrap().unwrap(), b"rest");
}

/// A reader that fails at once.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is gone"))
    }
}

/// A reader that returns as many bytes as each length says, and is interrupted at a length of 0.
struct Fitful<'a> {
    rest: &'a [u8],
    lengths: std::vec::IntoIter<usize>,
}

impl Read for Fitful<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.lengths.next() {
            Some(0) => Err(io::ErrorKind::Interrupted.into()),
            Some(length) => (&mut self.rest).take(length as u64).read(buffer),
            None => self.rest.read(buffer),
        }
    }
}

proptest! {
    #[test]
    fn it_makes_no_difference_where_bytes_come_from(
        texts in prop::collection::vec(any::<String>(), 0..6),
        lengths in prop::collection::vec(0usize..60, 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let sent: Vec<Chunk<'_>> = texts.iter().map(|text| TextDelta::new("t", text).into()).collect();
        let mut bytes = sent.iter().map(Chunk::encode_event).chain([encode_done()]).collect::<Vec<_>>().concat();
        bytes.truncate(cut.index(bytes.len() + 1));

        let mut whole = http_body_util::Full::<Bytes>::from(bytes.clone()).ui_chunks();
        let mut expected = Vec::new();
        while let Some(chunk) = now(whole.next()) {
            expected.push(chunk.unwrap());
        }

        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for &length in &lengths {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            pieces.push(io::Result::Ok(piece.to_vec()));
            rest = after;
        }
        pieces.push(Ok(rest.to_vec()));
        let mut streamed = from_stream(stream::iter(pieces)).ui_chunks();
        let reader = Fitful { rest: &bytes, lengths: lengths.into_iter() };
        let mut read = from_reader(reader).ui_chunks();
        for chunk in expected {
            prop_assert_eq!(&now(streamed.next()).unwrap().unwrap(), &chunk);
            prop_assert_eq!(&now(read.next()).unwrap().unwrap(), &chunk);
        }
        prop_assert!(now(streamed.next()).is_none());
        prop_assert!(now(read.next()).is_none());
        prop_assert_eq!(streamed.end(), whole.end());
        prop_assert_eq!(read.end(), whole.end());
        prop_assert_eq!(read.unfinished(), whole.unfinished());
    }
}
