use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_channel::oneshot;
use http_body::Frame;
use twentyfirst_protocol::run_log::FinalChunks;
use twentyfirst_protocol::ui::{Chunk, encode_done};

use super::observing::Observing;
use crate::backend::budget::{Bill, Telling};

/// A run that is followed, on its way to a browser, encoded again.
pub(super) struct Following {
    /// Until it has ended.
    observing: Option<Observing>,
    words: FinalChunks,
    billing: Option<Billing>,
    /// The budget is told what the run has cost, before the last words.
    telling: Option<Telling>,
}

/// Who is told what the run has cost.
struct Billing {
    bill: Bill,
    /// Takes the run when the browser leaves, and reads it to its end.
    rest: oneshot::Sender<Observing>,
}

impl Following {
    pub(super) fn new(observing: Observing) -> Self {
        Self {
            observing: Some(observing),
            words: FinalChunks::default(),
            billing: None,
            telling: None,
        }
    }

    /// The same, of a run that is read to its end also when the browser leaves, so that its cost is known.
    pub(super) fn billed(mut self, bill: Option<Bill>) -> Self {
        self.billing = bill.map(|bill| {
            let (rest, left) = oneshot::channel();
            // Begun now: nothing can be begun where a body is dropped, which may be outside of every runtime.
            bill.runtime()
                .spawn(Box::pin(read_the_rest(left, bill.clone())));
            Billing { bill, rest }
        });
        self
    }

    /// The last event, when the run is over and the budget was told.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(telling) = &mut self.telling {
            ready!(telling.as_mut().poll(cx));
            self.telling = None;
        }
        let Some(observing) = self.observing.take() else {
            return Poll::Ready(None);
        };
        let end = observing.outcome().map(|outcome| outcome.end);
        let words = self.words.missing(end.as_ref());
        let words = words.iter().map(Chunk::encode_event);
        let words: Vec<Bytes> = words.chain([encode_done()]).collect();
        Poll::Ready(Some(words.concat().into()))
    }
}

/// Reads what a browser has left, and tells the budget what it has cost.
async fn read_the_rest(left: oneshot::Receiver<Observing>, bill: Bill) {
    let Ok(mut observing) = left.await else {
        return;
    };
    while poll_fn(|cx| observing.poll_event(cx)).await.is_some() {}
    if let Some(outcome) = observing.outcome() {
        bill.tell(outcome.usage).await;
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
        if let Some(observing) = &mut this.observing
            && this.telling.is_none()
        {
            if let Some(chunk) = ready!(observing.poll_chunk(cx)) {
                this.words.observe(&chunk);
                return Poll::Ready(Some(Ok(Frame::data(chunk.encode_event()))));
            }
            if let (Some(outcome), Some(billing)) = (observing.outcome(), this.billing.take()) {
                this.telling = Some(billing.bill.tell(outcome.usage));
            }
        }
        let farewell = ready!(this.poll_farewell(cx));
        Poll::Ready(farewell.map(|event| Ok(Frame::data(event))))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // An observer that panics again while it is dropped would abort the process.
        if !std::thread::panicking()
            && let Some(mut observing) = self.observing.take()
        {
            observing.leave();
            if let Some(billing) = self.billing.take() {
                // Where the runtime has ended, nobody reads on.
                let _ = billing.rest.send(observing);
            }
        }
    }
}
