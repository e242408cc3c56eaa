//! Spans of exchanges.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tower_service::Service;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use super::{Attempt, RouteTemplate};
use crate::body::Body;
use crate::error::Error;
use crate::transport::{ResponseFuture, Transport};

/// A transport that creates a span for every exchange of another. Feature `tracing`.
///
/// The span is called `request`, has the level `INFO`, and ends when the response's body has been read to its end or
/// dropped. Events of the inner transport are within the span. Its fields, each recorded when it is known:
///
/// | field | |
/// |---|---|
/// | `method` | the request's method |
/// | `route` | the request's [`RouteTemplate`], if any; never the path itself or the query |
/// | `attempt` | the request's [`Attempt`], if any |
/// | `status` | the response's status |
/// | `first_byte_ms` | the milliseconds until the response's head arrived |
/// | `request_bytes` | the length of the request's body, as far as it was taken |
/// | `response_bytes` | the length of the response's body, as far as it was read |
/// | `error` | the reason why there was no response, or why its body broke off, without causes |
///
/// The span has no headers, no content and no server names.
#[derive(Clone)]
pub struct WithTracing<T> {
    transport: T,
}

impl<T> WithTracing<T> {
    /// Wraps a transport.
    pub fn new(transport: T) -> Self {
        Self { transport }
    }
}

impl<T: Transport + Clone> Service<Request<Body>> for WithTracing<T> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    // Always ready: the exchange itself waits for the service within, inside its span.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        ResponseFuture::new(exchange(self.transport.clone(), request))
    }
}

async fn exchange(
    transport: impl Transport,
    request: Request<Body>,
) -> Result<Response<Body>, Error> {
    let start = Instant::now();
    let extensions = request.extensions();
    let span = info_span!(
        "request",
        method = request.method().as_str(),
        route = extensions.get::<RouteTemplate>().map(|route| route.0),
        attempt = extensions
            .get::<Attempt>()
            .map(|attempt| i64::from(attempt.0)),
        status = Empty,
        first_byte_ms = Empty,
        request_bytes = Empty,
        response_bytes = Empty,
        error = Empty,
    );
    let request = request.map(|body| Counted::wrap(body, "request_bytes", &span));
    let response = transport.send(request).instrument(span.clone()).await;
    match response {
        Ok(response) => {
            span.record("status", i64::from(response.status().as_u16()));
            span.record("first_byte_ms", start.elapsed().as_secs_f64() * 1_000.0);
            Ok(response.map(|body| Counted::wrap(body, "response_bytes", &span)))
        }
        Err(error) => {
            record_error(&span, &error);
            Err(error)
        }
    }
}

/// Converts to a signed number: OpenTelemetry has no unsigned ones, and its bridge turns them into text.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn record_error(span: &Span, error: &Error) {
    span.record("error", tracing::field::display(error));
}

/// A body that records its length when it ends.
struct Counted {
    body: Body,
    bytes: u64,
    field: &'static str,
    /// The span of the exchange. It may end with this body.
    span: Span,
}

impl Counted {
    fn wrap(body: Body, field: &'static str, span: &Span) -> Body {
        if let Some(bytes) = body.as_bytes() {
            span.record(field, number(bytes.len() as u64));
            return body;
        }
        Body::wrap(Self {
            body,
            bytes: 0,
            field,
            span: span.clone(),
        })
    }

    fn end(&mut self) {
        self.span.record(self.field, number(self.bytes));
        // Let go of the span now: the reader may keep the finished body for a while, and the span ends with its last handle.
        self.span = Span::none();
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let frame = ready!(
            this.span
                .in_scope(|| Pin::new(&mut this.body).poll_frame(cx))
        );
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                this.bytes = this.bytes.saturating_add(length as u64);
            }
            Some(Err(error)) => {
                record_error(&this.span, error);
                this.end();
            }
            None => this.end(),
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

impl Drop for Counted {
    fn drop(&mut self) {
        self.end();
    }
}

impl<T> fmt::Debug for WithTracing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithTracing").finish_non_exhaustive()
    }
}
