//! Time limits on a response's body.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Timeout, TimeoutKind};
use crate::body::Body;
use crate::error::Error;
use crate::runtime::Wait;

/// A body that fails when a time limit expires.
pub(super) struct Limited {
    pub(super) body: Body,
    pub(super) silence: Option<Silence>,
    pub(super) total: Option<Total>,
}

/// The limit on the wait for the next piece.
pub(super) struct Silence {
    limit: Duration,
    since: Option<Instant>,
    wait: Wait,
}

/// The limit on the whole exchange.
pub(super) struct Total {
    limit: Duration,
    start: Instant,
    wait: Wait,
}

impl Silence {
    pub(super) fn new(limit: Duration, wait: Wait) -> Self {
        Self {
            limit,
            since: None,
            wait,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Timeout> {
        let since = *self.since.get_or_insert_with(|| self.wait.now());
        self.wait.poll(since, self.limit, cx).map(|()| Timeout {
            kind: TimeoutKind::Read,
            limit: self.limit,
        })
    }
}

impl Total {
    pub(super) fn new(limit: Duration, wait: Wait) -> Self {
        Self {
            limit,
            start: wait.now(),
            wait,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Timeout> {
        self.wait
            .poll(self.start, self.limit, cx)
            .map(|()| Timeout {
                kind: TimeoutKind::Total,
                limit: self.limit,
            })
    }
}

impl Limited {
    /// Closes the body at once: the reader may keep it for a while after the error.
    fn close(&mut self) {
        self.body = Body::empty();
        self.silence = None;
        self.total = None;
    }
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        // Check the total first: an endless body may always have a piece ready.
        let total = this.total.as_mut().map(|total| total.poll(cx));
        let frame = match total {
            Some(Poll::Ready(timeout)) => Poll::Ready(Some(Err(Error::timed_out(timeout, true)))),
            _ => Pin::new(&mut this.body).poll_frame(cx),
        };
        // Check the silence only after the body: a piece that has arrived is not late, however late this poll is.
        let frame = match (frame, &mut this.silence) {
            (Poll::Pending, Some(silence)) => match silence.poll(cx) {
                Poll::Ready(timeout) => Some(Err(Error::timed_out(timeout, true))),
                Poll::Pending => return Poll::Pending,
            },
            (Poll::Pending, None) => return Poll::Pending,
            (Poll::Ready(frame), _) => frame,
        };
        match (&frame, &mut this.silence) {
            (Some(Ok(_)), Some(silence)) => silence.since = None,
            (Some(Ok(_)), None) => {}
            _ => this.close(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
