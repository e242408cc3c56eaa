use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use twentyfirst_protocol::run_log::LastWords;
use twentyfirst_protocol::ui::{Chunk, encode_done};

use super::observing::Observing;

/// A run that is followed, on its way to a browser, encoded again.
pub(super) struct Following {
    /// Until it has ended.
    observing: Option<Observing>,
    words: LastWords,
}

impl Following {
    pub(super) fn new(observing: Observing) -> Self {
        Self {
            observing: Some(observing),
            words: LastWords::default(),
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
        let Some(observing) = &mut this.observing else {
            return Poll::Ready(None);
        };
        let event = match ready!(observing.poll_chunk(cx)) {
            Some(chunk) => {
                this.words.saw(&chunk);
                chunk.encode_event()
            }
            None => {
                let end = observing.outcome().map(|outcome| outcome.end);
                this.observing = None;
                let words = this.words.of(end.as_ref());
                let words = words.iter().map(Chunk::encode_event);
                let words: Vec<Bytes> = words.chain([encode_done()]).collect();
                words.concat().into()
            }
        };
        Poll::Ready(Some(Ok(Frame::data(event))))
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
