//! Records exchanges.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request};
use http_body::{Body as _, Frame, SizeHint};
use tower_service::Service;

use super::format::{self, Ending, Exchange, ResponseHead, Written};
use super::held::Held;
use super::masking::{Content, Hook, Masking};
use crate::body::Body;
use crate::error::Error;
use crate::runtime;
use crate::transport::{ResponseFuture, Transport};

/// Writes the exchanges of a transport to a [cassette](super). Feature `cassette`.
///
/// An exchange is written when it ends: when the response's body has been read to its end, has broken off
/// or was dropped. Until then it is held in memory, up to [`Body::DEFAULT_LIMIT`] of each body. Requests and responses are
/// not changed, and delayed only by the time that writing takes. Clones write to the same cassette.
pub struct Recorder<T> {
    transport: T,
    cassette: Arc<Mutex<Cassette>>,
    hook: Hook,
}

struct Cassette {
    writer: Box<dyn Write + Send>,
    begun: bool,
    /// The first error. Nothing is written after it: the failed write may have ended within a line, so no later line could be read.
    error: Option<Arc<io::Error>>,
}

impl<T> Recorder<T> {
    /// Records the exchanges of `transport`, masked by the [`Masking`] that `masking` returns for each exchange.
    ///
    /// A response may repeat the credentials of its request, so treat them as secrets of the whole exchange: see
    /// [`Content::secret_headers`].
    pub fn new(
        transport: T,
        cassette: impl Write + Send + 'static,
        masking: impl Fn(&Content<'_>) -> Masking + Send + Sync + 'static,
    ) -> Self {
        Self {
            transport,
            cassette: Arc::new(Mutex::new(Cassette {
                writer: Box::new(cassette),
                begun: false,
                error: None,
            })),
            hook: Arc::new(masking),
        }
    }

    /// Reports a failure to write. Running exchanges are not written yet.
    ///
    /// # Errors
    /// The first error of the writer, each time. After it, nothing more is recorded: the cassette may end within a line. Record it again.
    pub fn finish(&self) -> io::Result<()> {
        let mut cassette = lock(&self.cassette);
        cassette.attempt(|cassette| cassette.writer.flush());
        cassette
            .error
            .as_ref()
            .map_or(Ok(()), |error| Err(again(error)))
    }
}

impl<T: Transport + Clone> Service<Request<Body>> for Recorder<T> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    // Always ready: the exchange itself waits for the service within.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        let transport = self.transport.clone();
        let cassette = Arc::clone(&self.cassette);
        let hook = Arc::clone(&self.hook);
        ResponseFuture::new(async move {
            let (head, body) = request.into_parts();
            let sent = Arc::new(Mutex::new(Held::new()));
            let body = record_request(body, &sent);
            let mut session = Session {
                cassette,
                hook,
                head: head.clone(),
                sent,
                response: None,
                pieces: Vec::new(),
                response_body: Held::new(),
                last: runtime::now(),
                over: false,
            };
            match transport.send(Request::from_parts(head, body)).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    session.response = Some(ResponseHead {
                        after: session.since_last(),
                        status: head.status,
                        headers: head.headers.clone(),
                    });
                    // A reader may never poll a body that says that it has ended.
                    if body.is_end_stream() {
                        session.end(Ending::Whole);
                    }
                    let body = Body::wrap(RecordedBody { body, session });
                    Ok(Response::from_parts(head, body))
                }
                Err(error) => {
                    session.end(Ending::failed(&error));
                    Err(error)
                }
            }
        })
    }
}

/// A running exchange. It is written when it ends or is dropped.
struct Session {
    cassette: Arc<Mutex<Cassette>>,
    hook: Hook,
    head: request::Parts,
    /// The request's body, as far as it was sent.
    sent: Arc<Mutex<Held>>,
    response: Option<ResponseHead>,
    /// The delay and the length of each piece of the response.
    pieces: Vec<(Duration, usize)>,
    response_body: Held,
    last: Instant,
    over: bool,
}

impl Session {
    fn since_last(&mut self) -> Duration {
        let now = runtime::now();
        let since = now.saturating_duration_since(self.last);
        self.last = now;
        since
    }

    fn piece(&mut self, data: &Bytes) {
        // The list of pieces would grow with every later piece.
        if self.response_body.is_too_long() {
            return;
        }
        let after = self.since_last();
        self.pieces.push((after, data.len()));
        self.response_body.add(data);
    }

    fn end(&mut self, how: Ending) {
        // Written once: a body that has ended is still dropped later.
        if mem::replace(&mut self.over, true) {
            return;
        }
        let how = if self.response_body.is_too_long() {
            Ending::TooLong
        } else {
            how
        };
        let end = (self.since_last(), how);
        let written = self.written(end);
        lock(&self.cassette).write(written);
    }

    fn written(&mut self, end: (Duration, Ending)) -> io::Result<String> {
        let sent = mem::replace(&mut *lock(&self.sent), Held::new());
        let held = mem::replace(&mut self.response_body, Held::new());
        let request_body = Bytes::from(sent.bytes.concat());
        let response_body = held.bytes.concat();
        let mut content = Content {
            request: &self.head,
            request_body: &request_body,
            response: None,
        };
        // Masked without the response: a secret that the response reveals may be harmless text in the request.
        let in_request = (self.hook)(&content);
        let none = HeaderMap::new();
        let headers = self
            .response
            .as_ref()
            .map_or(&none, |response| &response.headers);
        content.response = Some((headers, &response_body));
        let in_response = (self.hook)(&content);
        let body = if sent.is_too_long() {
            Written::Length(sent.length as u64)
        } else {
            Written::Bytes(in_request.mask(&[request_body]).concat().into())
        };
        let mut masked = in_response.mask(&held.bytes).into_iter();
        let pieces = mem::take(&mut self.pieces)
            .into_iter()
            .map(|(after, length)| {
                let written = match masked.next() {
                    Some(bytes) => Written::Bytes(bytes.into()),
                    None => Written::Length(length as u64),
                };
                (after, written)
            });
        let exchange = Exchange {
            request: format::Request {
                method: self.head.method.clone(),
                path: format::path(&self.head.uri),
                headers: mem::take(&mut self.head.headers),
                body,
            },
            response: self.response.take(),
            pieces: pieces.collect(),
            end,
        };
        Ok(exchange.to_lines(&in_request, &in_response)?)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(Ending::Dropped);
    }
}

impl Cassette {
    fn write(&mut self, lines: io::Result<String>) {
        // One exchange at a time, under the lock, so that the lines of concurrent exchanges do not mix.
        self.attempt(|cassette| {
            let lines = lines?;
            if !mem::replace(&mut cassette.begun, true) {
                let beginning = format::beginning()?;
                cassette.writer.write_all(beginning.as_bytes())?;
            }
            cassette.writer.write_all(lines.as_bytes())?;
            cassette.writer.flush()
        });
    }

    /// Uses the writer unless it has failed before.
    fn attempt(&mut self, action: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.error.is_none() {
            self.error = action(self).err().map(Arc::new);
        }
    }
}

/// Copies an error, which can be reported more than once.
fn again(error: &Arc<io::Error>) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), Arc::clone(error)),
    }
}

/// Wraps a request's body to record it. Bytes in memory stay bytes, so that they can still be cloned.
fn record_request(body: Body, sent: &Arc<Mutex<Held>>) -> Body {
    if let Some(bytes) = body.as_bytes() {
        lock(sent).add(bytes);
        return body;
    }
    Body::wrap(RecordedRequest {
        body,
        sent: Arc::clone(sent),
    })
}

struct RecordedRequest {
    body: Body,
    sent: Arc<Mutex<Held>>,
}

impl http_body::Body for RecordedRequest {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            lock(&self.sent).add(data);
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

struct RecordedBody {
    body: Body,
    session: Session,
}

impl http_body::Body for RecordedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.session.piece(data);
                }
                if this.body.is_end_stream() {
                    this.session.end(Ending::Whole);
                }
            }
            Some(Err(error)) => this.session.end(Ending::failed(error)),
            None => this.session.end(Ending::Whole),
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

impl Ending {
    fn failed(error: &Error) -> Self {
        Self::Failed {
            error: error.to_string(),
            maybe_sent: error.maybe_sent(),
        }
    }
}

impl<T: Clone> Clone for Recorder<T> {
    fn clone(&self) -> Self {
        Self {
            transport: self.transport.clone(),
            cassette: Arc::clone(&self.cassette),
            hook: Arc::clone(&self.hook),
        }
    }
}

impl<T> fmt::Debug for Recorder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
