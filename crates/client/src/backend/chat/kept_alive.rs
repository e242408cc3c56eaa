use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use twentyfirst_protocol::shown;
use twentyfirst_protocol::ui::{Chunk, chunk, encode_done};
use twentyfirst_transport::{Body, Error, Runtime, Wait};

use super::tail::Tail;
use crate::backend::Refusal;

/// The comment at the beginning of a response that starts before its run, and the one after each period of silence. Readers of
/// event streams ignore comments.
const OPEN: &[u8] = b": stream-open\n\n";
const ALIVE: &[u8] = b": keep-alive\n\n";

/// The body of every response with events. It adds a comment whenever nothing was sent for a while.
///
/// Proxies close silent connections, many after a minute. A comment is never inserted into an event.
///
/// ```text
///   Starting ── the run has started, or was refused ──► Body ── the body has ended ──► Over
///      └── comments ──┘                                  └── data, and comments between events
/// ```
pub(super) struct KeptAlive {
    source: Source,
    tail: Tail,
    every: Option<Duration>,
    sent_at: Instant,
    wait: Wait,
}

enum Source {
    /// The response has begun, but its body is not known yet.
    Starting {
        start: Start,
        is_open: bool,
    },
    Body(Body),
    Over,
}

pub(super) type Start = Pin<Box<dyn Future<Output = Result<Response<Body>, Refusal>> + Send>>;

impl KeptAlive {
    /// Creates a body from one that exists.
    pub(super) fn new(body: Body, every: Option<Duration>, runtime: &Arc<dyn Runtime>) -> Self {
        Self::of(Source::Body(body), every, runtime)
    }

    /// Creates a body from one that is not known yet.
    pub(super) fn starting(
        start: Start,
        every: Option<Duration>,
        runtime: &Arc<dyn Runtime>,
    ) -> Self {
        let is_open = false;
        Self::of(Source::Starting { start, is_open }, every, runtime)
    }

    fn of(source: Source, every: Option<Duration>, runtime: &Arc<dyn Runtime>) -> Self {
        let wait = Wait::new(runtime);
        Self {
            source,
            tail: Tail::default(),
            every,
            sent_at: wait.now(),
            wait,
        }
    }

    fn send(&mut self, data: Bytes) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.tail.push(&data);
        self.sent_at = self.wait.now();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// Encodes the stream of a run that could not start. The `finish` chunk keeps clients from resuming it.
fn refused(refusal: &Refusal) -> Bytes {
    let error = chunk::Error::new(shown(refusal.message()));
    let chunks = [Chunk::from(error), chunk::Finish::new().into()];
    let [error, finish] = chunks.map(|chunk| chunk.encode_event());
    [error, finish, encode_done()].concat().into()
}

impl http_body::Body for KeptAlive {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        loop {
            match &mut this.source {
                // Before the start is polled for the first time, so that a proxy sees a response at once.
                Source::Starting { is_open, .. } if !*is_open => {
                    *is_open = true;
                    return this.send(Bytes::from_static(OPEN));
                }
                Source::Starting { start, .. } => {
                    if let Poll::Ready(response) = start.as_mut().poll(cx) {
                        this.source = Source::Body(match response {
                            // Only its body is of use: the head was sent already.
                            Ok(response) => response.into_body(),
                            Err(refusal) => Body::from(refused(&refusal)),
                        });
                        continue;
                    }
                }
                Source::Body(body) => match Pin::new(body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        // No data may follow trailers. Our bodies have none.
                        if let Ok(data) = frame.into_data() {
                            return this.send(data);
                        }
                        continue;
                    }
                    Poll::Ready(end) => {
                        this.source = Source::Over;
                        return Poll::Ready(end);
                    }
                    Poll::Pending => {}
                },
                Source::Over => return Poll::Ready(None),
            }
            let Some(every) = this.every.filter(|_| !this.tail.is_within_event()) else {
                return Poll::Pending;
            };
            if this.wait.poll(this.sent_at, every, cx).is_pending() {
                return Poll::Pending;
            }
            return this.send(Bytes::from_static(ALIVE));
        }
    }
}
