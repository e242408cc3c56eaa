//! The side of the store: carries out the recorder's steps, and hands it the responses.

use std::mem;
use std::task::{Context, Poll};

use bytes::Bytes;
use twentyfirst_protocol::run_log::{Append, Appended, Found, Position, RecorderEnd, RecorderStep};

use super::{Keeper, Work};
use crate::backend::chat::recorded::logs::Cause;
use crate::error::Error;

/// A request to the store.
pub(super) type Request = Work<Response>;

/// The response of the store to a request.
pub(super) enum Response {
    Appended(Appended, Option<Cause>),
    Last(Found<(Position, Bytes)>, Option<Cause>),
    Page(Found<Vec<(Position, Bytes)>>, Option<Cause>),
    Done,
}

impl Keeper {
    /// Carries out the recorder's steps. Completes when nothing more is recorded.
    pub(super) fn poll_recorder(&mut self, cx: &mut Context<'_>) -> Poll<RecorderEnd> {
        loop {
            if let Some(request) = &mut self.request
                && let Poll::Ready(response) = request.as_mut().poll(cx)
            {
                self.request = None;
                self.handle_response(response);
            }
            // Checked on every poll, because `drain` wakes this task through the handle.
            if self.handle.wants_release(cx) {
                self.recorder.release();
            }
            // Also while a request is under way: a slow store delays the reading only when too much waits for it.
            self.poll_source(cx);
            // One request at a time: an append after a failed one must not be written.
            if self.request.is_some() {
                return Poll::Pending;
            }
            let now = self.wait.now();
            match self.recorder.poll(now) {
                RecorderStep::Append(log, append) => {
                    self.lag.append();
                    let logs = self.context.logs.clone();
                    self.ask(async move {
                        let (appended, cause) = logs.append(log, append).await;
                        Response::Appended(appended, cause)
                    });
                }
                RecorderStep::Last(log) => {
                    let logs = self.context.logs.clone();
                    self.ask(async move {
                        let (found, cause) = logs.last(&log).await;
                        Response::Last(found, cause)
                    });
                }
                RecorderStep::Read(log, after) => {
                    let logs = self.context.logs.clone();
                    self.ask(async move {
                        let (found, cause) = logs.page(&log, after).await;
                        Response::Page(found, cause)
                    });
                }
                RecorderStep::Deliver(append) => self.deliver(append),
                RecorderStep::WaitFor(run) => self.wait_for(run),
                RecorderStep::Start { place, carried } => self.place(place.as_ref(), &carried),
                RecorderStep::Send => self.send(),
                RecorderStep::Follow(run, after) => self.follow(run, after),
                // Neither is waited for: the end of a stopped run is seen in its log, and that of a cancelled one in its stream.
                RecorderStep::Stop(run) => self.context.stop_in_background(run),
                RecorderStep::Cancel(run) => self.context.cancel_in_background(run),
                RecorderStep::Wait { until } => {
                    let Some(until) = until else {
                        return Poll::Pending;
                    };
                    // The deadline moves with every chunk. A timer that fires too early is harmless, so it is reset only for an
                    // earlier deadline.
                    if self.until.is_none_or(|last| until < last) {
                        self.wait.reset();
                    }
                    self.until = Some(until);
                    let left = until.saturating_duration_since(now);
                    if self.wait.poll(now, left, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                RecorderStep::Over(end) => return Poll::Ready(end),
                // There are no other steps.
                _ => return Poll::Ready(RecorderEnd::Gone),
            }
        }
    }

    pub(super) fn ask(&mut self, request: impl Future<Output = Response> + Send + 'static) {
        self.request = Some(Box::pin(request));
    }

    fn handle_response(&mut self, response: Response) {
        let now = self.wait.now();
        let cause = match response {
            Response::Appended(appended, cause) => {
                // A failed append is retried, so its chunks still wait.
                self.lag.appended(appended == Appended::Yes, now);
                self.recorder.handle_append(appended, now);
                cause
            }
            Response::Last(found, cause) => {
                self.recorder.handle_last(found);
                cause
            }
            Response::Page(found, cause) => {
                self.recorder.handle_page(found);
                cause
            }
            Response::Done => None,
        };
        // Kept, because the recorder may give the store up only after later failures. The last cause explains it.
        if cause.is_some() {
            self.cause = cause;
        }
        // Report a failed store once, and not on each request.
        if self.recorder.is_alone() && !mem::replace(&mut self.has_complained, true) {
            let unreadable = self.recorder.unreadable().cloned();
            let cause = self.cause.take().or_else(|| unreadable.map(Into::into));
            let error = Error::not_replayable(cause);
            self.context.on_error.report(&error);
            // The chat in the store may still name an older run. Correct that when the store responds again, or a reload would
            // show the old answer.
            self.context.take_turn_late(self.recorder.recording());
        }
    }

    /// Delivers an entry to the readers of this instance.
    fn deliver(&mut self, append: Append) {
        let is_alone = self.recorder.is_alone();
        let logs = self.context.logs.clone();
        let local = self.handle.local.clone();
        // Otherwise the readers here see the entry in the log that they read anyway.
        if !logs.delivers(&local, is_alone) {
            return;
        }
        let log = self.recorder.log().clone();
        // A request like those to the store, so that entries are delivered in the order in which they were appended.
        self.ask(async move {
            logs.deliver(&local, &log, append, is_alone).await;
            Response::Done
        });
    }
}
