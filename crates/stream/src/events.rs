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
    /// The events of `body`, within the default [`Limits`].
    pub fn new(body: B) -> Self {
        Self::with_limits(body, Limits::default())
    }

    /// The events of `body`.
    pub fn with_limits(body: B, limits: Limits) -> Self {
        Self {
            source: Source::new(body),
            decoder: Decoder::with_limits(limits),
            unfinished: None,
        }
    }

    /// The next event; `None` at the end.
    ///
    /// This operation is cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// If the body fails, or is beyond the limits. The stream ends then.
    pub async fn next(&mut self) -> Option<Result<Event<'static>, StreamError<B::Error>>>
    where
        B: Unpin,
    {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The id of the last event that had one: what a client sends as `last-event-id` when it connects again.
    pub fn last_event_id(&self) -> Option<&str> {
        self.decoder.last_event_id()
    }

    /// How long the server asks clients to wait before they connect again, if it does.
    pub fn retry(&self) -> Option<Duration> {
        self.decoder.retry()
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

impl<B: Body> Stream for SseEvents<B> {
    type Item = Result<Event<'static>, StreamError<B::Error>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            match this.decoder.next_event() {
                Some(Ok(event)) => return Poll::Ready(Some(Ok(event.into_owned()))),
                Some(Err(error)) => {
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
