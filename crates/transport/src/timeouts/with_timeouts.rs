//! Enforces time limits around any transport.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use http_body::Body as _;
use tower_service::Service;

use super::response::{Limited, Silence, Total};
use super::upload::Upload;
use super::{Handover, StageTimeouts, Timeout, TimeoutKind};
use crate::body::Body;
use crate::error::Error;
use crate::runtime::Runtime;
use crate::runtime::Wait;
use crate::transport::{ResponseFuture, Transport};

/// A transport that enforces the [`StageTimeouts`] of each request around another: [`HttpTransport`](crate::HttpTransport), a
/// closure, a tower stack. A request without that extension passes unchanged.
///
/// The exchange starts when its future is polled for the first time.
///
/// # Errors
/// When a limit expires, the exchange is dropped, and [`Error::timeout`] names the limit. The request was
/// [not sent](Error::maybe_sent) only if it still waited for the inner transport to be ready, for example behind a concurrency limit, or
/// if an [`HttpTransport`](crate::HttpTransport) at the bottom still waited for a connection, or a `ReqwestTransport` did with a
/// request that has a body.
#[derive(Clone)]
pub struct WithTimeouts<T> {
    transport: T,
    runtime: Arc<dyn Runtime>,
}

impl<T> WithTimeouts<T> {
    /// Wraps a transport. The limits use the clock of `runtime`.
    pub fn new(transport: T, runtime: impl Runtime) -> Self {
        Self {
            transport,
            runtime: Arc::new(runtime),
        }
    }
}

impl<T: Transport + Clone> Service<Request<Body>> for WithTimeouts<T> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    // Always ready: the exchange itself waits for the service within, so that the wait counts, too.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        match request.extensions().get::<StageTimeouts>() {
            Some(&timeouts) => ResponseFuture::new(exchange(
                self.transport.clone(),
                Arc::clone(&self.runtime),
                timeouts,
                request,
            )),
            None => self.transport.send(request),
        }
    }
}

async fn exchange(
    transport: impl Transport,
    runtime: Arc<dyn Runtime>,
    timeouts: StageTimeouts,
    mut request: Request<Body>,
) -> Result<Response<Body>, Error> {
    let mut total = timeouts
        .total
        .map(|limit| Total::new(limit, Wait::new(&runtime)));
    let handover = Handover::default();
    request.extensions_mut().insert(handover.clone());
    let mut stages = Stages {
        timeouts,
        start: runtime.now(),
        upload: None,
        awaits_head: false,
        wait: Wait::new(&runtime),
    };
    // Only if it is needed: a watched body is a stream, which no layer below can clone.
    if timeouts.send.is_some() && !request.body().is_end_stream() {
        request = request.map(|body| {
            let (upload, body) = Upload::watch(body, &runtime);
            stages.upload = Some(upload);
            body
        });
    }

    let mut response = transport.send(request);
    let response = poll_fn(|cx| {
        // Before the limits: a response that has arrived is not late.
        if let Poll::Ready(response) = Pin::new(&mut response).poll(cx) {
            return Poll::Ready(response);
        }
        let expired = match total.as_mut().map(|total| total.poll(cx)) {
            Some(Poll::Ready(timeout)) => Poll::Ready(timeout),
            _ => stages.poll(cx),
        };
        expired.map(|timeout| Err(Error::timed_out(timeout, handover.withdraw())))
    })
    .await?;

    Ok(response.map(|body| {
        if body.as_bytes().is_some() || (timeouts.read.is_none() && total.is_none()) {
            return body;
        }
        Body::wrap(Limited {
            body,
            silence: timeouts
                .read
                .map(|limit| Silence::new(limit, Wait::new(&runtime))),
            total,
        })
    }))
}

/// The limits until the response's head. Only one applies at a time.
struct Stages {
    timeouts: StageTimeouts,
    start: Instant,
    /// The body's progress, if [`send`](StageTimeouts::send) is set.
    upload: Option<Upload>,
    /// Whether the body was sent and the head is awaited.
    awaits_head: bool,
    wait: Wait,
}

impl Stages {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Timeout> {
        let (since, sent) = match &self.upload {
            Some(upload) => upload.last_piece(cx),
            None => (self.start, true),
        };
        if sent != self.awaits_head {
            self.awaits_head = sent;
            // The limit on the head may be shorter than what is left on the running timer.
            self.wait.reset();
        }
        let (kind, limit) = if sent {
            (TimeoutKind::Head, self.timeouts.head)
        } else {
            (TimeoutKind::Send, self.timeouts.send)
        };
        match limit {
            Some(limit) => self
                .wait
                .poll(since, limit, cx)
                .map(|()| Timeout { kind, limit }),
            None => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for WithTimeouts<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithTimeouts").finish_non_exhaustive()
    }
}
