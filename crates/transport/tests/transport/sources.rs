//! Bodies from streams, readers, files and functions, and reading bodies with functions.

use std::io::{self, Seek as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use twentyfirst_transport::{Body, Error, HttpTransport, SharedTransport, Transport as _};

use crate::pieces::Pieces;
use crate::server::Server;
use crate::{chain, soon};

/// Longer than the read-ahead.
fn long() -> Vec<u8> {
    (0..=255).cycle().take(1_000_003).collect()
}

async fn whole(body: Body) -> Result<Bytes, Error> {
    soon(body.collect_up_to(Body::DEFAULT_LIMIT)).await
}

fn file(content: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    file
}

#[tokio::test]
async fn every_source_delivers_its_whole_content() {
    let content = long();
    let mut rest = Bytes::from(content.clone());
    let stream = futures_util::stream::iter(std::iter::from_fn(move || {
        let piece = rest.split_to(rest.len().min(999));
        (!piece.is_empty()).then_some(Ok::<_, io::Error>(piece))
    }));
    let copy = content.clone();
    let bodies = [
        ("stream", Body::from_stream(stream), None),
        (
            "reader",
            Body::from_reader(io::Cursor::new(content.clone())),
            None,
        ),
        (
            "async reader",
            Body::from_async_reader(futures_util::io::Cursor::new(content.clone())),
            None,
        ),
        (
            "file",
            Body::from_file(file(&content)).unwrap(),
            Some(1_000_003),
        ),
        (
            "function",
            Body::write_with(move |out| out.write_all(&copy)),
            None,
        ),
    ];
    for (name, body, length) in bodies {
        assert_eq!(body.size_hint().exact(), length, "{name}");
        assert!(whole(body).await.unwrap() == content, "{name}");
    }
    let mut rest = file(b"behind its position");
    rest.seek(io::SeekFrom::Start(7)).unwrap();
    let rest = Body::from_file(rest).unwrap();
    assert_eq!(rest.size_hint().exact(), Some(12));
    assert_eq!(whole(rest).await.unwrap(), "its position");
}

#[tokio::test]
async fn bodies_work_without_tokio() {
    let body = Body::from_reader(io::Cursor::new(long()));
    let read = std::thread::spawn(|| {
        smol::block_on(body.read_with(|reader| {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).map(|_| content)
        }))
    });
    assert!(read.join().unwrap().unwrap().unwrap() == long());
}

#[tokio::test]
async fn an_error_of_a_source_ends_the_body() {
    let broken = Body::write_with(|out| {
        out.write_all(b"half")?;
        Err(io::Error::other("the disk is gone"))
    });
    let error = whole(broken).await.unwrap_err();
    assert_eq!(chain(&error), "the body broke off\nthe disk is gone");

    let panicked = Body::write_with(|_| std::panic::resume_unwind(Box::new("no message")));
    let error = whole(panicked).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "the body broke off\nthe function that writes the body panicked"
    );
}

#[tokio::test]
async fn a_file_that_grows_or_shrinks_is_an_error() {
    for (length, expected) in [
        (
            3,
            "the body ended after 3 of the 4 bytes that were announced",
        ),
        (5, "the body is longer than the 4 bytes that were announced"),
    ] {
        let file = file(b"four");
        let body = Body::from_file(file.try_clone().unwrap()).unwrap();
        file.set_len(length).unwrap();
        assert_eq!(chain(&whole(body).await.unwrap_err()), expected);
    }
}

#[tokio::test]
async fn a_function_that_writes_ends_when_its_body_is_dropped() {
    let (ended, end) = mpsc::channel();
    let mut body = Body::write_with(move |out| {
        let error = io::copy(&mut io::repeat(7), out).unwrap_err();
        ended.send(error.kind()).ok();
        Err(error)
    });
    assert!(soon(next(&mut body)).await.is_some());
    drop(body);
    assert_eq!(
        end.recv_timeout(Duration::from_secs(10)).unwrap(),
        io::ErrorKind::BrokenPipe
    );
}

#[tokio::test]
async fn each_read_is_passed_on_at_once() {
    struct Said(mpsc::Receiver<&'static str>);

    impl io::Read for Said {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let text = self.0.recv().unwrap_or_default();
            buffer[..text.len()].copy_from_slice(text.as_bytes());
            Ok(text.len())
        }
    }

    let (say, said) = mpsc::channel();
    let mut body = Body::from_reader(Said(said));
    for text in ["one", "two"] {
        say.send(text).unwrap();
        let piece = soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(piece.into_data().unwrap(), text);
    }
    drop(say);
    assert!(soon(body.frame()).await.is_none());
}

#[tokio::test]
async fn a_body_that_is_never_read_starts_no_function() {
    let (started, start) = mpsc::channel();
    drop(Body::write_with(move |_| {
        started.send(()).ok();
        Ok(())
    }));
    assert_eq!(start.recv(), Err(mpsc::RecvError));
}

#[tokio::test]
async fn a_reader_reads_a_body_to_its_end_and_not_beyond_an_error() {
    let broken = Body::write_with(|out| {
        out.write_all(b"half")?;
        Err(io::Error::other("the cable was pulled"))
    });
    let error = broken
        .read_with(|reader| io::read_to_string(reader).unwrap_err().kind())
        .await
        .unwrap_err();
    assert_eq!(chain(&error), "the body broke off\nthe cable was pulled");

    // The endless rest is dropped.
    let endless = Body::from_reader(io::repeat(7));
    let mut byte = [0];
    let read = soon(endless.read_with(move |reader| reader.read_exact(&mut byte).map(|()| byte)));
    assert_eq!(read.await.unwrap().unwrap(), [7]);

    let panic = Body::empty().read_with(|_| std::panic::resume_unwind(Box::new("no message")));
    let error = soon(panic).await.unwrap_err();
    assert!(chain(&error).ends_with("the function that reads the body panicked"));
}

#[tokio::test]
async fn a_function_that_has_read_enough_does_not_wait_for_a_silent_body() {
    let (pieces, body) = Pieces::new();
    pieces.send(Ok("one")).unwrap();
    let mut read = [0; 3];
    let reading =
        Body::wrap(body).read_with(move |reader| reader.read_exact(&mut read).map(|()| read));
    assert_eq!(&soon(reading).await.unwrap().unwrap(), b"one");
    assert!(pieces.is_closed());
}

#[tokio::test]
async fn dropping_the_future_fails_the_next_read() {
    let (ended, end) = mpsc::channel();
    let silent = Body::from_stream(futures_util::stream::pending::<io::Result<Bytes>>());
    let mut reading = Box::pin(silent.read_with(move |reader| {
        ended
            .send(reader.read(&mut [0]).map_err(|error| error.kind()))
            .ok();
    }));
    assert!(futures_util::poll!(&mut reading).is_pending());
    drop(reading);
    assert_eq!(
        end.recv_timeout(Duration::from_secs(10)).unwrap(),
        Err(io::ErrorKind::ConnectionAborted)
    );
}

/// An error of the request's body is reported once, not by each layer that passes it on.
#[tokio::test]
async fn a_request_whose_body_fails_says_why_once() {
    let server = Server::start(async |mut connection| {
        connection.read_head().await;
        // Never responds: the client decides what follows.
        connection.read_head().await;
    })
    .await;
    let piece = |text: &'static str| Ok::<_, io::Error>(Bytes::from(text));
    let pieces = move || futures_util::stream::iter([piece("one "), piece("two")]);
    let bodies = [
        (
            Body::from("one two").with_exact_length(8),
            "the body ended after 7 of the 8 bytes that were announced",
        ),
        (
            Body::from("one two").with_exact_length(6),
            "the body is longer than the 6 bytes that were announced",
        ),
        (
            Body::from_stream(pieces()).with_exact_length(9),
            "the body ended after 7 of the 9 bytes that were announced",
        ),
        // Complete with the first piece: HTTP would not poll for a second.
        (
            Body::from_stream(pieces()).with_exact_length(4),
            "the body is longer than the 4 bytes that were announced",
        ),
        (
            Body::write_with(|_| Err(io::Error::other("the disk is gone"))),
            "the disk is gone",
        ),
    ];
    let transport = SharedTransport::new(HttpTransport::new().unwrap());
    for (body, reason) in bodies {
        let request = Request::post(server.url("/")).body(body).unwrap();
        let error = soon(transport.send(request)).await.unwrap_err();
        assert!(error.maybe_sent());
        assert_eq!(
            chain(&error),
            format!("the body of the request could not be sent\n{reason}")
        );
    }
}

async fn next(body: &mut Body) -> Option<Bytes> {
    let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx)).await;
    frame?.ok()?.into_data().ok()
}
