use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};
use twentyfirst_client::AgentClient;
use twentyfirst_client::transport::{Body, from_fn};

use crate::Result;

/// The pace of a stream: longer than chunks wait for others to be logged with, so that each delta is an entry of its own.
pub(crate) const PACE: Duration = Duration::from_millis(40);

/// Since when the process measures.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds by the clock that is in the deltas.
pub(crate) fn now() -> u64 {
    BEGINNING.elapsed().as_nanos() as u64
}

/// A client whose relay is a closure, so that no socket is in the way: each run says this many deltas with the moment at which each was
/// made, from this moment on, spread over the pace.
pub(crate) fn client(streams: usize, deltas: u32, since: Instant) -> Result<AgentClient> {
    let begun = Arc::new(AtomicUsize::new(0));
    let relay = from_fn(move |request: Request<Body>| {
        let begun = Arc::clone(&begun);
        async move {
            let mut response = Response::new(Body::empty());
            if request.method() == Method::POST {
                let place = begun.fetch_add(1, Ordering::Relaxed) % streams;
                let first = since + PACE.mul_f64(place as f64 / streams as f64);
                response = Response::new(Body::wrap(Ticking::new(first, deltas)));
                let kind = http::HeaderValue::from_static("text/event-stream");
                response.headers_mut().insert("content-type", kind);
            } else {
                *response.status_mut() = http::StatusCode::NOT_FOUND;
            }
            Ok(response)
        }
    });
    let builder = AgentClient::builder().api_key("an_sk_key").transport(relay);
    Ok(builder.base_url("https://relay.test").build()?)
}

/// A stream that is written while it is read.
struct Ticking {
    first: Instant,
    next: u32,
    deltas: u32,
    timer: Pin<Box<Sleep>>,
    part: Part,
}

enum Part {
    Start,
    Deltas,
    Over,
}

impl Ticking {
    fn new(first: Instant, deltas: u32) -> Self {
        Self {
            first,
            next: 0,
            deltas,
            timer: Box::pin(sleep_until(first)),
            part: Part::Start,
        }
    }
}

impl http_body::Body for Ticking {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let text = match this.part {
            Part::Start => {
                this.part = Part::Deltas;
                "data: {\"type\":\"start\",\"messageId\":\"m1\"}\n\ndata: {\"type\":\"text-start\",\"id\":\"t\"}\n\n".to_owned()
            }
            Part::Deltas if this.next < this.deltas => {
                ready!(this.timer.as_mut().poll(cx));
                let number = this.next;
                this.next += 1;
                this.timer.as_mut().reset(this.first + PACE * this.next);
                let delta = format!("{number} {} ", now());
                format!("data: {{\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"{delta}\"}}\n\n")
            }
            Part::Deltas => {
                this.part = Part::Over;
                "data: {\"type\":\"text-end\",\"id\":\"t\"}\n\ndata: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n".to_owned()
            }
            Part::Over => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}
