use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use twentyfirst_protocol::run_log::FinalChunks;
use twentyfirst_protocol::runs::RunEnd;
use twentyfirst_protocol::ui::{Chunk, DecodeError, Decoder, End, chunk, encode_done};
use twentyfirst_transport::Body;

use super::tail::Tail;
use crate::backend::on_error::OnError;
use crate::error::Error;

/// Passes a stream of the relay to a browser, byte for byte.
///
/// It reads from the relay only when the browser reads, and holds only the current event. The bytes are decoded only to know how the
/// message ends: a body that ends without an end of the message gets an `error` chunk, so that a page does not take a cut for the end.
pub(super) struct Passing {
    /// The relay's body, until it has ended.
    body: Option<Body>,
    progress: Progress,
    on_error: OnError,
}

impl Passing {
    pub(super) fn new(body: Body, on_error: OnError) -> Self {
        Self {
            body: Some(body),
            progress: Progress::default(),
            on_error,
        }
    }
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let end = match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    this.progress.push(&data);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // No data may follow trailers.
                Err(_trailers) => None,
            },
            Some(Err(error)) => Some(Error::from(error)),
            None => None,
        };
        this.body = None;
        // The body has ended, but the message may not have.
        let ending = this.progress.ending();
        if let Some(Ending::Broken(_)) = ending {
            this.on_error
                .report(&end.unwrap_or_else(Error::stream_unfinished));
        }
        Poll::Ready(ending.map(|ending| {
            let (Ending::Broken(bytes) | Ending::Stopped(bytes) | Ending::Complete(bytes)) = ending;
            Ok(Frame::data(bytes))
        }))
    }
}

/// Encodes an `error` chunk and `[DONE]`.
pub(super) fn error_events(text: &str) -> Bytes {
    let error = Chunk::from(chunk::Error::new(text.to_owned()));
    [error.encode_event(), encode_done()].concat().into()
}

/// The progress of a stream's message.
#[derive(Default)]
struct Progress {
    tail: Tail,
    decoder: Decoder,
    /// Whether an event was too long to be decoded. Then only the last bytes show the end.
    is_unreadable: bool,
}

/// The last bytes for a stream from which the relay sends nothing more.
enum Ending {
    /// The message has not ended.
    Broken(Bytes),
    /// The run was cancelled.
    Stopped(Bytes),
    /// The event under way was the end of the message.
    Complete(Bytes),
}

impl Progress {
    fn push(&mut self, data: &Bytes) {
        self.tail.push(data);
        if self.is_unreadable {
            return;
        }
        self.decoder.push(data.clone());
        while let Some(chunk) = self.decoder.next_chunk() {
            // Other errors are of a single event, which the browser gets all the same and may understand.
            if matches!(chunk, Err(DecodeError::Sse(_))) {
                self.is_unreadable = true;
                // It can tell nothing more about the stream, so its memory is freed.
                self.decoder = Decoder::new();
                return;
            }
        }
    }

    /// Whether `[DONE]` was received.
    fn is_done(&self) -> bool {
        self.decoder.is_done() || self.tail.is_done()
    }

    /// Whether the browser can tell how the message ended.
    fn is_complete(&self) -> bool {
        self.is_done() || self.decoder.saw_finish() || self.decoder.end() != End::Cut
    }

    /// Whether the run was cancelled: then the relay sends only `[DONE]`, without a `finish`.
    fn is_stopped(&self) -> bool {
        let has_end = self.decoder.saw_finish() || self.decoder.end() != End::Finished;
        self.decoder.is_done() && !has_end
    }

    /// Completes the event under way, and ends the stream if it has no end.
    ///
    /// A page could not tell a cancelled run from an answer that was cut off. So it gets the same chunks as with a log. They come
    /// after the relay's `[DONE]`, whose bytes were passed on already; the AI SDK reads on after it.
    fn ending(&mut self) -> Option<Ending> {
        const EMPTY_LINE: Bytes = Bytes::from_static(b"\n\n");

        let is_complete = self.is_complete();
        let is_within_event = self.tail.is_within_event();
        // The event under way may be whole but for its empty line. With the line, it shows whether it was the end.
        if !is_complete && is_within_event {
            self.push(&EMPTY_LINE);
        }
        if self.is_stopped() {
            let stop = FinalChunks::default().missing(Some(&RunEnd::Cancelled));
            let stop = stop.iter().map(Chunk::encode_event).chain([encode_done()]);
            let line = (is_within_event && !is_complete).then_some(EMPTY_LINE);
            let events: Vec<Bytes> = line.into_iter().chain(stop).collect();
            return Some(Ending::Stopped(events.concat().into()));
        }
        if is_complete {
            return None;
        }
        if self.is_complete() {
            return Some(Ending::Complete(EMPTY_LINE));
        }
        let error = error_events(FinalChunks::BROKE_OFF);
        Some(Ending::Broken(match is_within_event {
            true => [EMPTY_LINE, error].concat().into(),
            false => error,
        }))
    }
}
