use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame};
use pin_project::pin_project;

/// Creates a body from a [`Stream`] of bytes, such as the `bytes_stream` of a `reqwest::Response`, a `ReaderStream` of tokio-util
/// over a file, or the receiver of a channel.
///
/// The pieces may be cut anywhere: they need not be whole events.
///
/// ```
/// use futures_util::stream;
/// use twentyfirst_stream::protocol::ui::End;
/// use twentyfirst_stream::{BodyStreamExt, from_stream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let pieces = ["data: {\"type\":\"fin", "ish\"}\n\ndata: [DONE]\n\n"];
/// let mut chunks = from_stream(stream::iter(pieces.map(std::io::Result::Ok))).ui_chunks();
/// assert_eq!(chunks.next().await.unwrap().unwrap().kind(), "finish");
/// assert!(chunks.next().await.is_none());
/// assert_eq!(chunks.end(), Some(End::Finished));
/// # }
/// ```
pub fn from_stream<S, D, E>(stream: S) -> FromStream<S>
where
    S: Stream<Item = Result<D, E>>,
    D: Into<Bytes>,
{
    FromStream { stream }
}

/// A body that reads from a stream of bytes. Created by [`from_stream`].
#[pin_project]
#[derive(Clone, Copy, Debug)]
#[must_use = "bodies do nothing unless polled"]
pub struct FromStream<S> {
    #[pin]
    stream: S,
}

impl<S> FromStream<S> {
    /// Returns the stream, positioned after the pieces that were read.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S, D, E> Body for FromStream<S>
where
    S: Stream<Item = Result<D, E>>,
    D: Into<Bytes>,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let piece = ready!(self.project().stream.poll_next(context));
        Poll::Ready(piece.map(|piece| piece.map(|data| Frame::data(data.into()))))
    }
}
