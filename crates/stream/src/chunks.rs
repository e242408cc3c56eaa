use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use http_body::Body;
use pin_project::pin_project;
use twentyfirst_protocol::{
    sse::{Limits, UnfinishedEvent},
    ui::{Chunk, Decoder, End},
};

use crate::{StreamError, source::Source};

/// The chunks of a UI message stream, as they arrive.
///
/// The stream ends with the body, or with a [fatal](StreamError::is_fatal) error. Then [`end`](Self::end) says whether the server
/// completed the message. Dropping the stream drops the body.
#[pin_project]
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct UiChunks<B> {
    #[pin]
    source: Source<B>,
    decoder: Decoder,
    unfinished: Option<UnfinishedEvent>,
}

impl<B: Body> UiChunks<B> {
    /// Reads the chunks of `body`, within the default [`Limits`].
    pub fn new(body: B) -> Self {
        Self::with_limits(body, Limits::default())
    }

    /// Reads the chunks of `body`, within these limits.
    pub fn with_limits(body: B, limits: Limits) -> Self {
        Self {
            source: Source::new(body),
            decoder: Decoder::with_limits(limits),
            unfinished: None,
        }
    }

    /// Returns the next chunk; `None` at the end.
    ///
    /// # Errors
    /// The body fails or exceeds the limits: the stream ends. Or an event is not a chunk: the stream goes on.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Chunk<'static>, StreamError<B::Error>>>
    where
        B: Unpin,
    {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the end of the stream; `None` until it has ended.
    pub fn end(&self) -> Option<End> {
        self.source.has_ended().then(|| self.decoder.end())
    }

    /// Returns whether a `finish` chunk has arrived. If so, the message is complete, even if the stream was cut off afterwards.
    pub fn saw_finish(&self) -> bool {
        self.decoder.saw_finish()
    }

    /// Returns the unread rest of the body; `None` if the stream has ended.
    pub fn into_body(self) -> Option<B> {
        self.source.into_body()
    }

    /// Returns the event that was cut off by the end of the stream, if there was one.
    pub fn unfinished(&self) -> Option<UnfinishedEvent> {
        self.unfinished
    }
}

impl<B: Body> Stream for UiChunks<B> {
    type Item = Result<Chunk<'static>, StreamError<B::Error>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            // First the chunks of the last piece, so that at most one piece is held.
            match this.decoder.next_chunk() {
                Some(Ok(chunk)) => return Poll::Ready(Some(Ok(chunk.into_owned()))),
                Some(Err(error)) => {
                    if error.is_fatal() {
                        // Nothing more can be read, so free the connection now and not when the stream is dropped.
                        this.source.close();
                    }
                    return Poll::Ready(Some(Err(error.into())));
                }
                None if this.source.has_ended() => return Poll::Ready(None),
                None => {}
            }
            match ready!(this.source.as_mut().poll_piece(context)) {
                Some(Ok(piece)) => this.decoder.push(piece),
                Some(Err(error)) => {
                    *this.unfinished = this.decoder.finish().err();
                    return Poll::Ready(Some(Err(StreamError::Body(error))));
                }
                None => *this.unfinished = this.decoder.finish().err(),
            }
        }
    }
}

impl<B: Body> FusedStream for UiChunks<B> {
    fn is_terminated(&self) -> bool {
        self.source.has_ended()
    }
}
