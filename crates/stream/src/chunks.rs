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
/// The stream ends with the body, or with an error that is [fatal](StreamError::is_fatal). Then [`end`](Self::end) tells whether this was all that the server meant
/// to say. Dropping the stream drops the body.
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
    /// The chunks of `body`, within the default [`Limits`].
    pub fn new(body: B) -> Self {
        Self::with_limits(body, Limits::default())
    }

    /// The chunks of `body`.
    pub fn with_limits(body: B, limits: Limits) -> Self {
        Self {
            source: Source::new(body),
            decoder: Decoder::with_limits(limits),
            unfinished: None,
        }
    }

    /// The next chunk; `None` at the end.
    ///
    /// This operation is cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// If the body fails or is beyond the limits, when the stream ends; or if an event is not a chunk, when it goes on.
    pub async fn next(&mut self) -> Option<Result<Chunk<'static>, StreamError<B::Error>>>
    where
        B: Unpin,
    {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// How the stream has ended; `None` as long as it has not.
    pub fn end(&self) -> Option<End> {
        self.source.has_ended().then(|| self.decoder.end())
    }

    /// Whether a `finish` chunk has come: the message is complete, even if the stream was cut after it.
    pub fn saw_finish(&self) -> bool {
        self.decoder.saw_finish()
    }

    /// What is left of the body, without what has been read of it; `None` where nothing is.
    pub fn into_body(self) -> Option<B> {
        self.source.into_body()
    }

    /// The event in whose middle the stream has ended, if it has.
    pub fn unfinished(&self) -> Option<UnfinishedEvent> {
        self.unfinished
    }
}

impl<B: Body> Stream for UiChunks<B> {
    type Item = Result<Chunk<'static>, StreamError<B::Error>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            match this.decoder.next_chunk() {
                Some(Ok(chunk)) => return Poll::Ready(Some(Ok(chunk.into_owned()))),
                Some(Err(error)) => {
                    if error.is_fatal() {
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
