use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use twentyfirst_protocol::runs::{Moment, RunEnd};
use twentyfirst_protocol::ui::chunk::{Abort, Data};
use twentyfirst_protocol::ui::{Chunk, encode_done};
use twentyfirst_transport::Error;

use super::handover::Giver;
use super::observing::{Observing, Rest};
use super::passing::{BROKE_OFF, apology};
use crate::error::line;

/// A run that is followed, on its way to a browser, encoded again.
pub(super) struct Following {
    /// Until it has ended.
    observing: Option<Observing>,
    /// Who reads on when the browser leaves.
    reader: Option<Giver<Rest>>,
    /// Whether the browser was told how it ended.
    has_said_end: bool,
}

impl Following {
    pub(super) fn new(observing: Observing, reader: Option<Giver<Rest>>) -> Self {
        Self {
            observing: Some(observing),
            reader,
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
            Some(RunEnd::Failed(text)) => apology(&line(&text)),
            Some(RunEnd::Lost(_)) | None => apology(BROKE_OFF),
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

/// Tells a page that something may be missing.
fn gap() -> Chunk<'static> {
    Chunk::Data(
        Data::new("gap")
            .data(serde_json::Value::Null)
            .transient(true),
    )
}
