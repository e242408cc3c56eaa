use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::{FusedStream, Stream};
use http_body::Body;
use pin_project::pin_project;
use twentyfirst_protocol::sse::{Decoder, Event, Limits, UnfinishedEvent};

use crate::{StreamError, source::Source};

/// The events of an event stream, as they arrive.
///
/// The stream ends with the body, or with an error. Dropping it drops the body.
#[pin_project]
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct SseEvents<B> {
    #[pin]
    source: Source<B>,
    decoder: Decoder,
    unfinished: Option<UnfinishedEvent>,
}

impl<B: Body> SseEvents<B> {
    /// Reads the events of `body`, within the default [`Limits`].
    pub fn new(body: B) -> Self {
        Self::with_limits(body, Limits::default())
    }

    /// Reads the events of `body`, within these limits.
    pub fn with_limits(body: B, limits: Limits) -> Self {
        Self {
            source: Source::new(body),
            decoder: Decoder::with_limits(limits),
            unfinished: None,
        }
    }

    /// Returns the next event; `None` at the end.
    ///
    /// # Errors
    /// The body fails or exceeds the limits: the stream ends.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Event<'static>, StreamError<B::Error>>>
    where
        B: Unpin,
    {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the id of the last event that had one. A client sends it as `last-event-id` when it reconnects.
    pub fn last_event_id(&self) -> Option<&str> {
        self.decoder.last_event_id()
    }

    /// Returns the time that the server asks clients to wait before they reconnect, if it has sent one.
    pub fn retry(&self) -> Option<Duration> {
        self.decoder.retry()
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

impl<B: Body> Stream for SseEvents<B> {
    type Item = Result<Event<'static>, StreamError<B::Error>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            // First the events of the last piece, so that at most one piece is held.
            match this.decoder.next_event() {
                Some(Ok(event)) => return Poll::Ready(Some(Ok(event.into_owned()))),
                Some(Err(error)) => {
                    // Nothing more can be read, so free the connection now and not when the stream is dropped.
                    this.source.close();
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

impl<B: Body> FusedStream for SseEvents<B> {
    fn is_terminated(&self) -> bool {
        self.source.has_ended()
    }
}
