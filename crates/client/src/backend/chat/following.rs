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
use crate::backend::budget::{Bill, Delivery};

/// Encodes the chunks of a followed run for a browser.
pub(super) struct Following {
    /// `None` once the run has ended.
    observing: Option<Observing>,
    final_chunks: FinalChunks,
    billing: Option<Billing>,
    /// The delivery of the cost to the budgets, before the last chunks are sent.
    delivery: Option<Delivery>,
}

/// The bill of a run, with the task that reads the rest of it.
struct Billing {
    bill: Bill,
    /// Sends the run to the task when the browser leaves.
    rest: oneshot::Sender<Observing>,
}

impl Following {
    pub(super) fn new(observing: Observing) -> Self {
        Self {
            observing: Some(observing),
            final_chunks: FinalChunks::default(),
            billing: None,
            delivery: None,
        }
    }

    /// Adds a bill. The run is then read to its end even if the browser leaves, so that its cost is known.
    pub(super) fn billed(mut self, bill: Option<Bill>) -> Self {
        self.billing = bill.map(|bill| {
            let (rest, left) = oneshot::channel();
            // Spawned now, because the body may be dropped outside of every runtime, where nothing can be spawned.
            bill.runtime()
                .spawn(Box::pin(read_the_rest(left, bill.clone())));
            Billing { bill, rest }
        });
        self
    }

    /// Returns the last events, once the run is over and its cost was delivered.
    fn poll_last_events(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(delivery) = &mut self.delivery {
            ready!(delivery.as_mut().poll(cx));
            self.delivery = None;
        }
        // Taken, because `Drop` takes a run that is still here for one that the browser has left.
        let Some(observing) = self.observing.take() else {
            return Poll::Ready(None);
        };
        let end = observing.outcome().map(|outcome| outcome.end);
        let chunks = self.final_chunks.missing(end.as_ref());
        let events = chunks.iter().map(Chunk::encode_event);
        let events: Vec<Bytes> = events.chain([encode_done()]).collect();
        Poll::Ready(Some(events.concat().into()))
    }
}

/// Reads the rest of a run that the browser has left, and delivers its cost to the budgets.
async fn read_the_rest(left: oneshot::Receiver<Observing>, bill: Bill) {
    let Ok(mut observing) = left.await else {
        // The browser has read to the end, and the cost was delivered there.
        return;
    };
    while poll_fn(|cx| observing.poll_event(cx)).await.is_some() {}
    if let Some(outcome) = observing.outcome() {
        bill.deliver(outcome.usage).await;
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
            && this.delivery.is_none()
        {
            if let Some(chunk) = ready!(observing.poll_chunk(cx)) {
                this.final_chunks.observe(&chunk);
                return Poll::Ready(Some(Ok(Frame::data(chunk.encode_event()))));
            }
            if let (Some(outcome), Some(billing)) = (observing.outcome(), this.billing.take()) {
                // Before the last chunks: a user who reads the end may ask again at once, and that check must include this run.
                this.delivery = Some(billing.bill.deliver(outcome.usage));
            }
        }
        let last = ready!(this.poll_last_events(cx));
        Poll::Ready(last.map(|event| Ok(Frame::data(event))))
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
                // Fails only if the runtime has ended.
                let _ = billing.rest.send(observing);
            }
        }
    }
}
