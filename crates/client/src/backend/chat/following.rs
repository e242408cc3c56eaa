use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame;
use twentyfirst_protocol::run_log::LastWords;
use twentyfirst_protocol::ui::{Chunk, encode_done};
use twentyfirst_transport::{Error, Runtime, Wait};

use super::observing::{Observing, Rest};
use crate::backend::handover::Giver;

/// How long nothing is said to a browser. What lies between gives up connections on which nothing comes, many after a minute.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(15);

/// A comment, which readers of event streams pass over.
pub(super) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// A run that is followed, on its way to a browser, encoded again.
pub(super) struct Following {
    /// Until it has ended.
    observing: Option<Observing>,
    /// Who reads on when the browser leaves.
    reader: Option<Giver<Rest>>,
    words: LastWords,
    /// When something was said last.
    said_at: Instant,
    wait: Wait,
}

impl Following {
    pub(super) fn new(
        observing: Observing,
        reader: Option<Giver<Rest>>,
        runtime: &Arc<dyn Runtime>,
    ) -> Self {
        let wait = Wait::new(runtime);
        Self {
            observing: Some(observing),
            reader,
            words: LastWords::default(),
            said_at: wait.now(),
            wait,
        }
    }
}

impl http_body::Body for Following {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(observing) = &mut this.observing else {
            return Poll::Ready(None);
        };
        let Poll::Ready(chunk) = observing.poll_chunk(cx) else {
            ready!(this.wait.poll(this.said_at, LONGEST_SILENCE, cx));
            this.said_at = this.wait.now();
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(KEEP_ALIVE)))));
        };
        let event = match chunk {
            Some(chunk) => {
                this.words.saw(&chunk);
                chunk.encode_event()
            }
            None => {
                let end = observing.outcome().map(|outcome| outcome.end);
                this.observing = None;
                let words = this.words.of(end.as_ref());
                let words = words.iter().map(Chunk::encode_event);
                words
                    .chain([encode_done()])
                    .collect::<Vec<_>>()
                    .concat()
                    .into()
            }
        };
        this.said_at = this.wait.now();
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // An observer that panics again while it is dropped would abort the process.
        if std::thread::panicking() {
            return;
        }
        let Some(observing) = self.observing.take() else {
            return;
        };
        match self.reader.take() {
            Some(reader) => reader.give(Rest {
                observing,
                source: None,
            }),
            None => observing.leave(),
        }
    }
}
