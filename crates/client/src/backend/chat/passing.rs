use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Frame;
use twentyfirst_protocol::run_log::LastWords;
use twentyfirst_protocol::ui::{Chunk, DecodeError, Decoder, End, chunk, encode_done};
use twentyfirst_transport::Body;

use super::observing::{Feed, Observing, Rest};
use crate::backend::handover::Giver;
use crate::backend::on_error::OnError;
use crate::error::Error;

/// How many bytes the observer may be behind.
const LONGEST_LAG: usize = 256 * 1024;

/// A stream of the relay on its way to a browser, byte for byte.
///
/// It reads from the relay only when the browser takes, and holds nothing but the event that is under way and what its observer has not seen yet.
pub(super) struct Passing {
    /// The relay's, until it has ended.
    body: Option<Body>,
    progress: Progress,
    watch: Option<Watch>,
    on_error: OnError,
}

/// Who watches.
pub(super) struct Watch {
    pub(super) observing: Observing,
    pub(super) feed: Feed,
    pub(super) reader: Giver<Rest>,
    /// Whether it reads on when the browser reads no more.
    pub(super) reads_on: bool,
    /// Whether what came last was written to the browser.
    pub(super) is_written: bool,
}

impl Passing {
    pub(super) fn new(body: Body, watch: Option<Watch>, on_error: OnError) -> Self {
        Self {
            body: Some(body),
            progress: Progress::default(),
            watch,
            on_error,
        }
    }

    /// A piece is on its way.
    fn pass(&mut self, data: &Bytes, cx: &mut Context<'_>) {
        self.progress.push(data);
        if let Some(watch) = &mut self.watch {
            watch.feed.push(data.clone());
            watch.is_written = false;
            if watch.feed.length() > LONGEST_LAG {
                self.watch(cx);
            }
        }
    }

    /// Shows the observer what has come.
    fn watch(&mut self, cx: &mut Context<'_>) {
        if let Some(watch) = &mut self.watch
            && watch.observing.poll_end(cx).is_ready()
        {
            self.watch = None;
        }
    }

    /// Nothing more comes from the relay.
    fn end(&mut self, is_cut: bool, cx: &mut Context<'_>) {
        self.body = None;
        let Some(watch) = &self.watch else {
            return;
        };
        // Told of a cut, the run would begin to ask the relay.
        if !is_cut || watch.reads_on {
            watch.feed.end();
        }
        self.watch(cx);
        if let Some(watch) = self.watch.take() {
            watch.part(None, is_cut);
        }
    }
}

impl Watch {
    /// The browser reads no more. What it did not get is read on for the observer, if that is wanted.
    fn part(self, body: Option<Body>, is_cut: bool) {
        if is_cut && !self.reads_on {
            return self.observing.leave();
        }
        self.reader.give(Rest {
            observing: self.observing,
            source: body.map(|body| (body, self.feed)),
        });
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
        let end = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    this.pass(&data, cx);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // Nothing could be said after trailers.
                Err(_trailers) => None,
            },
            Poll::Ready(Some(Err(error))) => Some(Error::from(error)),
            Poll::Ready(None) => None,
            Poll::Pending => {
                if let Some(watch) = &mut this.watch {
                    if watch.is_written {
                        this.watch(cx);
                    } else {
                        // The server writes what it has when there is no more, so it has the next turn.
                        watch.is_written = true;
                        cx.waker().wake_by_ref();
                    }
                }
                return Poll::Pending;
            }
        };
        // The end of a transport is not the end of a message.
        let farewell = this.progress.farewell();
        let is_broken = matches!(farewell, Some(Farewell::Broken(_)));
        this.end(is_broken, cx);
        if is_broken {
            this.on_error
                .show(&end.unwrap_or_else(Error::stream_unfinished));
        }
        Poll::Ready(
            farewell
                .map(|(Farewell::Broken(words) | Farewell::Told(words))| Ok(Frame::data(words))),
        )
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // An observer that panics again while it is dropped would abort the process.
        if std::thread::panicking() {
            return;
        }
        // The browser has left.
        let Some(body) = self.body.take() else {
            return;
        };
        let is_done = self.progress.is_done();
        if let (Some(watch), true) = (&self.watch, is_done) {
            watch.feed.end();
        }
        self.watch(&mut Context::from_waker(Waker::noop()));
        if let Some(watch) = self.watch.take() {
            watch.part((!is_done).then_some(body), !is_done);
        }
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

    /// Ends the event that is under way, and the stream where it has no end.
    fn farewell(&mut self) -> Option<Farewell> {
        const EMPTY_LINE: Bytes = Bytes::from_static(b"\n\n");

        if self.is_told() {
            return None;
        }
        let is_within_event = self.tail.is_within_event();
        if is_within_event {
            self.push(&EMPTY_LINE);
            if self.is_told() {
                return Some(Farewell::Told(EMPTY_LINE));
            }
        }
        let apology = apology(LastWords::BROKE_OFF);
        Some(Farewell::Broken(match is_within_event {
            true => [EMPTY_LINE, apology].concat().into(),
            false => apology,
        }))
    }
}

/// The last bytes of an event stream.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    /// As much as tells whether an event ends here, and whether it is the last.
    const LENGTH: usize = 16;

    fn push(&mut self, data: &[u8]) {
        let new = &data[data.len().saturating_sub(Self::LENGTH)..];
        let surplus = (self.bytes.len() + new.len()).saturating_sub(Self::LENGTH);
        self.bytes.drain(..surplus);
        self.bytes.extend_from_slice(new);
    }

    /// Whether an event has begun and not ended: events end with an empty line.
    fn is_within_event(&self) -> bool {
        const ENDS: [&[u8]; 5] = [b"\n\n", b"\r\r", b"\n\r\n", b"\n\r", b"\r\r\n"];
        !self.bytes.is_empty() && !ENDS.iter().any(|end| self.bytes.ends_with(end))
    }

    /// Whether `[DONE]` was the last event. No JSON ends so.
    fn is_done(&self) -> bool {
        !self.is_within_event() && self.bytes.trim_ascii_end().ends_with(b"[DONE]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(pieces: &[&str]) -> Tail {
        let mut tail = Tail::default();
        for piece in pieces {
            tail.push(piece.as_bytes());
        }
        tail
    }

    #[test]
    fn events_end_with_an_empty_line_however_it_is_cut() {
        for end in ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\r\r\n"] {
            let event = format!("data: {{\"type\":\"start-step\"}}{end}");
            for at in 0..=event.len() {
                let (left, right) = event.split_at(at);
                assert!(!tail(&[left, right]).is_within_event(), "{end:?} at {at}");
            }
        }
        assert!(!tail(&[]).is_within_event());
        for within in [
            "d",
            "data: {}",
            "data: {}\n",
            "data: {}\r\n",
            "data: {}\n\ndata",
        ] {
            assert!(tail(&[within]).is_within_event(), "{within:?}");
        }
    }

    #[test]
    fn the_last_event_is_known() {
        let long = "x".repeat(100);
        assert!(tail(&[&long, "\n\ndata: [DO", "NE]\n", "\n"]).is_done());
        assert!(tail(&["data: [DONE]\r\n\r\n"]).is_done());
        assert!(!tail(&["data: [DONE]\n"]).is_done());
        assert!(!tail(&["data: {\"type\":\"finish\"}\n\n"]).is_done());
    }
}
