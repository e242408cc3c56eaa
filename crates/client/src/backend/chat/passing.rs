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

/// A stream of the relay on its way to a browser, byte for byte.
///
/// It reads from the relay only when the browser takes, and holds nothing but the event that is under way.
pub(super) struct Passing {
    /// The relay's, until it has ended.
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
                // Nothing could be said after trailers.
                Err(_trailers) => None,
            },
            Some(Err(error)) => Some(Error::from(error)),
            None => None,
        };
        this.body = None;
        // The end of a transport is not the end of a message.
        let farewell = this.progress.farewell();
        if let Some(Farewell::Broken(_)) = farewell {
            this.on_error
                .show(&end.unwrap_or_else(Error::stream_unfinished));
        }
        Poll::Ready(farewell.map(|farewell| {
            let (Farewell::Broken(words) | Farewell::Stopped(words) | Farewell::Told(words)) =
                farewell;
            Ok(Frame::data(words))
        }))
    }
}

/// An `error` chunk, and `[DONE]`.
pub(super) fn apology(text: &str) -> Bytes {
    let error = Chunk::from(chunk::Error::new(text.to_owned()));
    [error.encode_event(), encode_done()].concat().into()
}

/// How far the message of a stream has come.
#[derive(Default)]
struct Progress {
    tail: Tail,
    decoder: Decoder,
    /// Whether an event was too long to be read. Only the last bytes tell then.
    is_unreadable: bool,
}

/// What is said when nothing more comes from the relay.
enum Farewell {
    /// The message has not ended.
    Broken(Bytes),
    /// Somebody has stopped the run.
    Stopped(Bytes),
    /// The message has ended with the event that was under way.
    Told(Bytes),
}

impl Progress {
    fn push(&mut self, data: &Bytes) {
        self.tail.push(data);
        if self.is_unreadable {
            return;
        }
        self.decoder.push(data.clone());
        while let Some(chunk) = self.decoder.next_chunk() {
            if matches!(chunk, Err(DecodeError::Sse(_))) {
                self.is_unreadable = true;
                self.decoder = Decoder::new();
                return;
            }
        }
    }

    /// Whether `[DONE]` has come.
    fn is_done(&self) -> bool {
        self.decoder.is_done() || self.tail.is_done()
    }

    /// Whether the browser knows how the message ended.
    fn is_told(&self) -> bool {
        self.is_done() || self.decoder.saw_finish() || self.decoder.end() != End::Cut
    }

    /// Whether somebody has stopped the run: then the relay says `[DONE]` and nothing else, not even `finish`.
    fn is_stopped(&self) -> bool {
        let has_end = self.decoder.saw_finish() || self.decoder.end() != End::Finished;
        self.decoder.is_done() && !has_end
    }

    /// Ends the event that is under way, and the stream where it has no end.
    ///
    /// A page could not tell a stop from an answer without an end, so it is told of it as with a log: behind the relay's `[DONE]`, as its
    /// bytes have passed already. The AI SDK reads on there.
    fn farewell(&mut self) -> Option<Farewell> {
        const EMPTY_LINE: Bytes = Bytes::from_static(b"\n\n");

        let is_told = self.is_told();
        let is_within_event = self.tail.is_within_event();
        if !is_told && is_within_event {
            self.push(&EMPTY_LINE);
        }
        if self.is_stopped() {
            let stop = FinalChunks::default().missing(Some(&RunEnd::Cancelled));
            let stop = stop.iter().map(Chunk::encode_event).chain([encode_done()]);
            let line = (is_within_event && !is_told).then_some(EMPTY_LINE);
            let words: Vec<Bytes> = line.into_iter().chain(stop).collect();
            return Some(Farewell::Stopped(words.concat().into()));
        }
        if is_told {
            return None;
        }
        if self.is_told() {
            return Some(Farewell::Told(EMPTY_LINE));
        }
        let apology = apology(FinalChunks::BROKE_OFF);
        Some(Farewell::Broken(match is_within_event {
            true => [EMPTY_LINE, apology].concat().into(),
            false => apology,
        }))
    }
}
