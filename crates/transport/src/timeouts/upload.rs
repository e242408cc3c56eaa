//! Tracks the progress of a request's body.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::body::Body;
use crate::error::Error;
use crate::runtime::Runtime;

/// The progress of a body, for the exchange. The body itself is read elsewhere, in the task of a connection.
pub(super) struct Upload {
    progress: Arc<Mutex<Progress>>,
}

struct Progress {
    last: Instant,
    over: bool,
    /// The waker of the exchange: when the body ends, the limit on the head begins.
    waker: Option<Waker>,
}

impl Upload {
    /// Wraps a body to track its progress.
    pub(super) fn watch(body: Body, runtime: &Arc<dyn Runtime>) -> (Self, Body) {
        let progress = Arc::new(Mutex::new(Progress {
            last: runtime.now(),
            over: false,
            waker: None,
        }));
        let watched = Watched {
            body,
            data: Bytes::new(),
            progress: Arc::clone(&progress),
            runtime: Arc::clone(runtime),
        };
        (Self { progress }, Body::wrap(watched))
    }

    /// Returns the time at which the last piece was taken, and whether the body has ended. The end wakes the task of `cx`.
    pub(super) fn last_piece(&self, cx: &Context<'_>) -> (Instant, bool) {
        let mut progress = lock(&self.progress);
        match &mut progress.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        (progress.last, progress.over)
    }
}

/// Small enough to show progress on a slow connection, large enough to cost nothing on a fast one.
const PIECE: usize = 64 * 1024;

/// A body that is passed on in pieces and records when each is taken.
struct Watched {
    body: Body,
    /// The rest of a frame that was larger than a piece.
    data: Bytes,
    progress: Arc<Mutex<Progress>>,
    runtime: Arc<dyn Runtime>,
}

impl Watched {
    fn note(&self, over: bool) {
        let waker = {
            let mut progress = lock(&self.progress);
            if progress.over {
                return;
            }
            progress.last = self.runtime.now();
            progress.over = over;
            // Not after each piece: a later piece only moves the end of the limit, which the timer notices when it fires.
            if over { progress.waker.take() } else { None }
        };
        // Without the lock: a waker may run any code.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut frame = None;
        if self.data.is_empty() {
            frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            if let Some(Ok(whole)) = frame {
                frame = match whole.into_data() {
                    Ok(data) => {
                        self.data = data;
                        None
                    }
                    Err(trailers) => Some(Ok(trailers)),
                };
            } else {
                self.note(true);
                return Poll::Ready(frame);
            }
        }
        let frame = frame.unwrap_or_else(|| {
            let piece = self.data.len().min(PIECE);
            Ok(Frame::data(self.data.split_to(piece)))
        });
        // hyper does not poll for the end of a body that reports it, so the last piece has to record it.
        self.note(self.is_end_stream());
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.data.len() as u64;
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

impl Drop for Watched {
    // The reader is done: it has the whole body, or goes on without the rest.
    fn drop(&mut self) {
        self.note(true);
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
