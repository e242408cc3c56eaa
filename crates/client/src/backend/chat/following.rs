use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use twentyfirst_protocol::runs::{Moment, RunEnd};
use twentyfirst_protocol::shown;
use twentyfirst_protocol::ui::chunk::Abort;
use twentyfirst_protocol::ui::{Chunk, encode_done};

use super::observing::Observing;
use super::passing::{BROKE_OFF, apology};
use super::recorded::gap;

/// A run that is followed, on its way to a browser, encoded again.
pub(super) struct Following {
    /// Until it has ended.
    observing: Option<Observing>,
    /// Whether the browser was told how it ended.
    has_said_end: bool,
}

impl Following {
    pub(super) fn new(observing: Observing) -> Self {
        Self {
            observing: Some(observing),
            has_said_end: false,
        }
    }

    /// What is said when the run is over.
    fn last_words(&self, end: Option<RunEnd>) -> Bytes {
        match end {
            _ if self.has_said_end => encode_done(),
            Some(RunEnd::Completed) => encode_done(),
            Some(RunEnd::Cancelled) => {
                let abort = Chunk::from(Abort::new()).encode_event();
                [abort, encode_done()].concat().into()
            }
            Some(RunEnd::Failed(text)) => apology(&shown(text.trim_end())),
            Some(RunEnd::Lost(_)) | None => apology(BROKE_OFF),
        }
    }
}

impl http_body::Body for Following {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            let Some(observing) = &mut this.observing else {
                return Poll::Ready(None);
            };
            let event = match ready!(observing.poll_moment(cx)) {
                Some(Moment::Chunk(chunk)) => {
                    this.has_said_end |= matches!(chunk, Chunk::Error(_) | Chunk::Abort(_));
                    chunk.encode_event()
                }
                Some(Moment::Gap) => gap().encode_event(),
                Some(_) => continue,
                None => {
                    let end = observing.outcome().map(|outcome| outcome.end);
                    this.observing = None;
                    this.last_words(end)
                }
            };
            return Poll::Ready(Some(Ok(Frame::data(event))));
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // An observer that panics again while it is dropped would abort the process.
        if !std::thread::panicking()
            && let Some(observing) = self.observing.take()
        {
            observing.leave();
        }
    }
}
