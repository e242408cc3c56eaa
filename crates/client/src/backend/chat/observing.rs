use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use twentyfirst_protocol::runs::{Moment, Outcome, RunEnd};
use twentyfirst_protocol::ui::Chunk;
use twentyfirst_protocol::ui::chunk::Data;
use twentyfirst_transport::{Body, Runtime};

use super::chat_run::{Observed, Observer};
use crate::backend::handover::{Giver, handover};
use crate::backend::on_error::OnError;
use crate::error::Error;
use crate::run::Run;

/// How long the end of a run is asked for when its stream has ended without telling.
const SETTLING: Duration = Duration::from_secs(10);

/// A run, and who is shown what comes of it.
pub(super) struct Observing {
    pub(super) run: Run,
    observer: Option<Observer>,
    on_error: OnError,
}

impl Observing {
    pub(super) fn new(run: Run, observer: Option<Observer>, on_error: OnError) -> Self {
        Self {
            run,
            observer,
            on_error,
        }
    }

    /// What happens next. The observer has seen it.
    pub(super) fn poll_moment(&mut self, cx: &mut Context<'_>) -> Poll<Option<Moment>> {
        let moment = ready!(self.run.poll_moment(cx));
        match (&moment, &mut self.observer) {
            (Some(Moment::Chunk(chunk)), Some(observer)) => observer(Observed::Chunk(chunk)),
            (None, observer) => {
                let observer = observer.take();
                if let Some(outcome) = self.outcome() {
                    self.end(observer, &outcome);
                }
            }
            _ => {}
        }
        Poll::Ready(moment)
    }

    /// The next chunk, or one that tells a page that something may be missing.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Chunk<'static>>> {
        loop {
            match ready!(self.poll_moment(cx)) {
                Some(Moment::Chunk(chunk)) => return Poll::Ready(Some(chunk)),
                Some(Moment::Gap) => return Poll::Ready(Some(gap())),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    fn end(&mut self, observer: Option<Observer>, outcome: &Outcome) {
        if let RunEnd::Lost(lost) = &outcome.end {
            self.on_error.show(&Error::run_lost(lost.clone()));
        }
        if let Some(mut observer) = observer {
            let message = self.run.message_so_far();
            observer(Observed::End { message, outcome });
        }
    }

    /// Shows all that there is; ready when the run is over.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while ready!(self.poll_moment(cx)).is_some() {}
        Poll::Ready(())
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.run.known_outcome().cloned()
    }

    /// Says that nobody reads on.
    pub(super) fn leave(mut self) {
        if let Some(mut observer) = self.observer.take() {
            let message = self.run.message_so_far();
            observer(Observed::Left { message });
        }
    }
}

/// Tells a page that something may be missing.
pub(super) fn gap() -> Chunk<'static> {
    let gap = Data::new("gap").data(serde_json::Value::Null);
    Chunk::Data(gap.transient(true))
}

/// What is left to read for an observer when the browser reads no more.
pub(super) struct Rest {
    pub(super) observing: Observing,
    /// What the relay still sends, and where it is to go.
    pub(super) source: Option<(Body, Feed)>,
}

impl Rest {
    /// Has a task wait for the rest, to read it. The task ends when there is none.
    pub(super) fn reader(runtime: &Arc<dyn Runtime>, limit: Option<Duration>) -> Giver<Self> {
        let (giver, taker) = handover::<Self>();
        let limit = limit.unwrap_or(SETTLING);
        let clock = Arc::clone(runtime);
        runtime.spawn(Box::pin(async move {
            let Some(mut rest) = taker.await else {
                return;
            };
            let mut timer = pin!(clock.sleep(limit));
            let is_over = poll_fn(|cx| match rest.poll_end(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => timer.as_mut().poll(cx).map(|()| false),
            });
            if !is_over.await {
                rest.observing.leave();
            }
        }));
        giver
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.observing.poll_end(cx).is_ready() {
                return Poll::Ready(());
            }
            let Some((body, feed)) = &mut self.source else {
                return Poll::Pending;
            };
            if feed.is_unread() {
                self.source = None;
                return Poll::Pending;
            }
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        feed.push(data);
                    }
                }
                Some(Err(_)) | None => {
                    feed.end();
                    self.source = None;
                }
            }
        }
    }
}

/// Bytes that are decoded beside the way that they go.
///
/// Whoever feeds it polls its reader, so nobody has to be woken.
#[derive(Clone, Default)]
pub(super) struct Feed(Arc<Mutex<Fed>>);

#[derive(Default)]
struct Fed {
    pieces: VecDeque<Bytes>,
    length: usize,
    is_over: bool,
}

impl Feed {
    pub(super) fn push(&self, piece: Bytes) {
        if self.is_unread() {
            return;
        }
        let mut fed = self.fed();
        fed.length += piece.len();
        fed.pieces.push_back(piece);
    }

    pub(super) fn end(&self) {
        self.fed().is_over = true;
    }

    /// Whether its reader is gone: a run lets go of a stream that it cannot read, such as one with too long an event.
    fn is_unread(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// How many bytes were not read yet.
    pub(super) fn length(&self) -> usize {
        self.fed().length
    }

    fn fed(&self) -> MutexGuard<'_, Fed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut fed = self.fed();
        match fed.pieces.pop_front() {
            Some(piece) => {
                fed.length -= piece.len();
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None if fed.is_over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
