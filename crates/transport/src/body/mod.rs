//! The body of a request or of a response.

#[cfg(any(feature = "http", feature = "reqwest"))]
mod empty_length;
mod exact_length;
mod read;
mod read_with;
mod source;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::{any::Any, fmt, mem};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

#[cfg(any(feature = "http", feature = "reqwest"))]
pub(crate) use self::empty_length::set_empty_length;
pub use self::read::{Beginning, Collect, ReadBeginning};
#[cfg(feature = "ureq")]
pub(crate) use self::read_with::ReadOutcome;
use crate::error::{BoxError, Error};

/// The size of a piece that a thread hands over, in bytes.
const PIECE: usize = 64 * 1024;

/// The number of pieces buffered between a thread and a future. A channel of `futures` holds one more message per sender than its
/// buffer, so buffers have `PIECES - 1`.
const PIECES: usize = 2;

/// The body of a request or of a response: bytes in memory, or a stream.
///
/// Both are an [`http_body::Body`]. Bytes can be cloned to send a request again; a stream can be read once.
/// Dropping a body before its end closes its source (over HTTP/1.1 the connection, over HTTP/2 the stream) and
/// sends nothing else.
///
/// Create it from bytes or text with `From`; from files, readers, streams and functions with
/// [`from_file`](Body::from_file), [`from_reader`](Body::from_reader), [`from_async_reader`](Body::from_async_reader),
/// [`from_stream`](Body::from_stream) and [`write_with`](Body::write_with); and from any other `http_body::Body` with
/// [`wrap`](Body::wrap).
///
/// `Debug` shows the length of bytes, or that the body is a stream, and never content.
///
/// ```
/// use twentyfirst_transport::Body;
///
/// let body = Body::from(r#"{"name":"reviewer"}"#);
/// assert_eq!(format!("{body:?}"), "Body(19 bytes)");
/// assert!(body.try_clone().is_some());
/// ```
pub struct Body {
    kind: Kind,
}

enum Kind {
    Bytes(Bytes),
    Stream(UnsyncBoxBody<Bytes, Error>),
}

impl Body {
    /// The usual memory limit for a response's body: 32 MiB.
    pub const DEFAULT_LIMIT: usize = 32 * 1024 * 1024;

    /// Creates an empty body.
    pub const fn empty() -> Self {
        Self {
            kind: Kind::Bytes(Bytes::new()),
        }
    }

    /// Wraps any other body. It is read on demand and never held whole. A `Body` is returned unchanged.
    ///
    /// An error of the wrapped body becomes the [source](std::error::Error::source) of an [`Error`].
    pub fn wrap<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        // `Any` recognizes a `Body`, and the `Option` lets it be moved out.
        let mut slot = Some(body);
        let as_any: &mut dyn Any = &mut slot;
        if let Some(body) = as_any.downcast_mut::<Option<Self>>().and_then(Option::take) {
            return body;
        }
        match slot {
            Some(body) => Self {
                kind: Kind::Stream(
                    body.map_err(|error| Error::from_body(error.into()))
                        .boxed_unsync(),
                ),
            },
            None => Self::empty(),
        }
    }

    /// Returns a second body with the same bytes, or `None` for a stream. Bytes that were already read are in neither.
    pub fn try_clone(&self) -> Option<Self> {
        match &self.kind {
            Kind::Bytes(bytes) => Some(Self::from(bytes.clone())),
            Kind::Stream(_) => None,
        }
    }

    /// Reads the whole body into memory. [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) is the usual `limit`, in bytes. Trailers are skipped.
    ///
    /// # Errors
    /// [`is_body_limit`](Error::is_body_limit) as soon as the body is, or announces to be, longer than `limit`;
    /// otherwise the error of the body itself.
    ///
    /// # Cancel safety
    /// Dropping the future closes the body at once and loses the bytes that were read.
    pub fn collect_up_to(self, limit: usize) -> Collect {
        Collect::new(self, limit)
    }

    /// Reads up to `limit` bytes, then closes the body. Use it for the beginning of an error response.
    ///
    /// It never fails: a body that breaks off is [truncated](Beginning::truncated), so that its error does not hide
    /// the response's status. Dropping the future closes the body at once.
    pub fn read_beginning(self, limit: usize) -> ReadBeginning {
        ReadBeginning::new(self, limit)
    }

    /// Returns the whole body if it is in memory.
    pub(crate) fn as_bytes(&self) -> Option<&Bytes> {
        match &self.kind {
            Kind::Bytes(bytes) => Some(bytes),
            Kind::Stream(_) => None,
        }
    }

    /// Polls for the next piece of data. Trailers are skipped.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        use http_body::Body as _;
        loop {
            return match std::task::ready!(Pin::new(&mut *self).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(Ok(data))),
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => Poll::Ready(Some(Err(error))),
                None => Poll::Ready(None),
            };
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.kind {
            Kind::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(mem::take(bytes))))),
            Kind::Stream(stream) => Pin::new(stream).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Bytes(bytes) => bytes.is_empty(),
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Bytes(bytes),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(Bytes::from(text))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(Bytes::from_static(text.as_bytes()))
    }
}
