use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};
use http_body::Body;
use pin_project::pin_project;
use twentyfirst_protocol::{
    sse::{Limits, UnfinishedEvent},
    ui::{Assembler, Change, Decoder, End, Text, UiMessage},
};

use crate::{StreamError, source::Source};

/// The message of a UI message stream, as it grows.
///
/// Each item is the whole message so far, as `useChat` of the AI SDK shows it at that moment. The stream yields an item whenever the
/// body has nothing ready to read. While more data is ready, it yields one each time the message has grown by an eighth, so that
/// copying a long message costs no more than reading it. [Transient](Change::Transient) data is not part of the message. To see it,
/// read the [`UiChunks`](crate::UiChunks) and apply them to an `Assembler` of your own.
///
/// The stream ends with the body or with the first error, as in the AI SDK. With a [lenient](Assembler::lenient) assembler it goes on
/// after errors that are not [fatal](StreamError::is_fatal). Once it has ended, [`end`](Self::end) says whether the server
/// completed the message. Dropping the stream drops the body.
///
/// ```
/// use twentyfirst_protocol::ui::End;
/// use twentyfirst_stream::{BodyStreamExt, StreamError};
///
/// /// Shows an answer as it grows, and returns whether it is complete.
/// async fn show<B>(body: B) -> Result<bool, StreamError<B::Error>>
/// where
///     B: http_body::Body + Unpin,
/// {
///     let mut messages = body.ui_messages();
///     while let Some(message) = messages.next().await {
///         println!("{}", message?.text());
///     }
///     Ok(messages.end() == Some(End::Finished))
/// }
/// # use bytes::Bytes;
/// # use std::{pin::pin, task::{Context, Poll, Waker}};
/// # let body: http_body_util::Full<Bytes> = "data: {\"type\":\"text-start\",\"id\":\"t\"}\n\ndata: [DONE]\n\n".into();
/// # let Poll::Ready(whole) = pin!(show(body)).poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
/// # assert_eq!(whole, Ok(true));
/// ```
#[pin_project]
#[must_use = "streams do nothing unless polled"]
pub struct UiMessages<B: Body> {
    #[pin]
    source: Source<B>,
    decoder: Decoder,
    unfinished: Option<UnfinishedEvent>,
    message: Snapshots,
    /// The error to yield next. The message as it was before the error comes first, so that no change is lost.
    error: Option<StreamError<B::Error>>,
    /// Whether an error has ended the message. The decoder may hold more chunks then, which must not be applied.
    is_over: bool,
}

/// A message, and when to copy it.
#[derive(Debug)]
struct Snapshots {
    assembler: Assembler,
    error_text: Option<Text<'static>>,
    /// Whether the message has changed since it was last yielded.
    has_changed: bool,
    /// The size of the message when it was last yielded.
    yielded_size: usize,
}

impl<B: Body> UiMessages<B> {
    /// Reads the message in `body`, within the default [`Limits`].
    pub fn new(body: B) -> Self {
        Self::with_limits(body, Limits::default())
    }

    /// Reads the message in `body`, within these limits.
    pub fn with_limits(body: B, limits: Limits) -> Self {
        Self {
            source: Source::new(body),
            decoder: Decoder::with_limits(limits),
            unfinished: None,
            message: Snapshots {
                assembler: Assembler::new(),
                error_text: None,
                has_changed: false,
                yielded_size: 0,
            },
            error: None,
            is_over: false,
        }
    }

    /// Sets the assembler, for example to continue a message, to be lenient or to change the limits. Default: [`Assembler::new`].
    pub fn with_assembler(mut self, assembler: Assembler) -> Self {
        self.message.assembler = assembler;
        self
    }

    /// Waits for the message to change and returns it; `None` at the end.
    ///
    /// # Errors
    /// The body fails or exceeds the limits, an event is not a chunk, or a chunk does not fit the message. Then the stream ends, unless
    /// it is lenient and the error is not fatal.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<UiMessage, StreamError<B::Error>>>
    where
        B: Unpin,
    {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the message so far, without copying it.
    pub fn message(&mut self) -> &UiMessage {
        self.message.assembler.message()
    }

    /// Returns the message so far.
    #[must_use]
    pub fn into_message(self) -> UiMessage {
        self.message.assembler.into_message()
    }

    /// Returns the text of the last `error` chunk, which says why the run failed. `None` if there was no such chunk.
    #[must_use]
    pub fn error_text(&self) -> Option<&Text<'static>> {
        self.message.error_text.as_ref()
    }

    /// Returns the end of the stream; `None` until it has ended.
    pub fn end(&self) -> Option<End> {
        self.source.has_ended().then(|| self.decoder.end())
    }

    /// Returns whether a `finish` chunk has arrived. If so, the message is complete, even if the stream was cut off afterwards.
    pub fn saw_finish(&self) -> bool {
        self.decoder.saw_finish()
    }

    /// Returns the event that was cut off by the end of the stream, if there was one.
    pub fn unfinished(&self) -> Option<UnfinishedEvent> {
        self.unfinished
    }
}

impl<B: Body> Stream for UiMessages<B> {
    type Item = Result<UiMessage, StreamError<B::Error>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            // Not while an error waits to be yielded: the chunks after it must not be in the message before it.
            if this.error.is_none()
                && !*this.is_over
                && let Err(error) = this.message.apply_all(this.decoder)
            {
                if error.is_fatal() || !this.message.assembler.is_lenient() {
                    this.source.as_mut().close();
                    *this.is_over = true;
                }
                *this.error = Some(error);
            }
            // The message comes first, then the error, then the end: no change is lost, and every error is seen.
            if this.error.is_some() || this.source.has_ended() || this.message.has_grown() {
                if let Some(message) = this.message.take() {
                    return Poll::Ready(Some(Ok(message)));
                }
                if let Some(error) = this.error.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                if this.source.has_ended() {
                    return Poll::Ready(None);
                }
            }
            match this.source.as_mut().poll_piece(context) {
                Poll::Ready(Some(Ok(piece))) => this.decoder.push(piece),
                Poll::Ready(Some(Err(error))) => {
                    *this.unfinished = this.decoder.finish().err();
                    *this.error = Some(StreamError::Body(error));
                }
                Poll::Ready(None) => *this.unfinished = this.decoder.finish().err(),
                Poll::Pending => {
                    // No data is ready, so there is time to show what has changed. The body wakes the task for more.
                    return match this.message.take() {
                        Some(message) => Poll::Ready(Some(Ok(message))),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }
}

impl<B: Body> FusedStream for UiMessages<B> {
    fn is_terminated(&self) -> bool {
        self.source.has_ended() && !self.message.has_changed && self.error.is_none()
    }
}

impl<B: Body + fmt::Debug> fmt::Debug for UiMessages<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UiMessages")
            .field("source", &self.source)
            .field("decoder", &self.decoder)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl Snapshots {
    /// Applies all chunks that can be decoded, up to the first error.
    fn apply_all<E>(&mut self, decoder: &mut Decoder) -> Result<(), StreamError<E>> {
        while let Some(chunk) = decoder.next_chunk() {
            match self
                .assembler
                .apply(&chunk?)
                .map_err(StreamError::Message)?
            {
                Change::Nothing | Change::Transient(_) => {}
                Change::Failed(text) => self.error_text = Some(text.clone().into_owned()),
                _ => self.has_changed = true,
            }
        }
        Ok(())
    }

    /// Returns whether the message has grown by more than an eighth: copies are not made more often, so that their total length
    /// stays proportional to the message.
    fn has_grown(&self) -> bool {
        let size = self.assembler.size();
        // A difference in either direction, because a reset makes the message shorter.
        self.has_changed && size.abs_diff(self.yielded_size) > self.yielded_size / 8
    }

    /// Returns a copy of the message if it has changed since the last copy.
    fn take(&mut self) -> Option<UiMessage> {
        if !std::mem::take(&mut self.has_changed) {
            return None;
        }
        self.yielded_size = self.assembler.size();
        Some(self.assembler.message().clone())
    }
}
