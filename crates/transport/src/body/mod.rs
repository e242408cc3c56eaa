//! The body of a request or of an answer.

mod exact_length;
mod read;
mod read_with;
#[cfg(any(feature = "http", feature = "reqwest"))]
mod say_empty;
mod source;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::{any::Any, fmt, mem};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

pub use self::read::{Beginning, Collect, ReadBeginning};
#[cfg(feature = "ureq")]
pub(crate) use self::read_with::Fed;
#[cfg(any(feature = "http", feature = "reqwest"))]
pub(crate) use self::say_empty::say_empty;
use crate::error::{BoxError, Error};

/// How much data a thread hands over at once.
const PIECE: usize = 64 * 1024;

/// How many pieces wait between a thread and a future. One of them is the place that a channel keeps for its sender.
const PIECES: usize = 2;

/// The body of a request or of an answer: bytes in memory, or a stream.
///
/// Both are an [`http_body::Body`]. Bytes can be cloned, so that a request can be sent again; a stream passes once.
/// Dropping a body that has not been read to its end closes what it comes from (over HTTP/1.1 the connection, over
/// HTTP/2 the stream) and sends nothing else.
///
/// It is made of bytes or text with `From`; of files, readers, streams and functions with
/// [`from_file`](Body::from_file), [`from_reader`](Body::from_reader), [`from_async_reader`](Body::from_async_reader),
/// [`from_stream`](Body::from_stream) and [`write_with`](Body::write_with); and of any other `http_body::Body` with
/// [`wrap`](Body::wrap).
///
/// `Debug` shows the length of bytes, or that it is a stream, and never content.
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
    /// How much of an answer a caller holds in memory unless it has a reason to choose otherwise: 32 MiB.
    pub const DEFAULT_LIMIT: usize = 32 * 1024 * 1024;

    /// A body without content.
    pub const fn empty() -> Self {
        Self {
            kind: Kind::Bytes(Bytes::new()),
        }
    }

    /// Wraps any other body, read as it is asked for and never held whole. A `Body` is handed back as it is.
    ///
    /// An error of the wrapped body becomes the [source](std::error::Error::source) of an [`Error`].
    pub fn wrap<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
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

    /// A second body with the same bytes, or `None` for a stream. What has been read already is in neither.
    pub fn try_clone(&self) -> Option<Self> {
        match &self.kind {
            Kind::Bytes(bytes) => Some(Self::from(bytes.clone())),
            Kind::Stream(_) => None,
        }
    }

    /// Reads the whole body into memory. [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) is the usual `limit`, in bytes.
    ///
    /// Trailers are passed over. Dropping the future closes the body at once; what was read is lost with it.
    ///
    /// # Errors
    /// [`is_body_limit`](Error::is_body_limit) as soon as the body is, or declares to be, longer than `limit`;
    /// otherwise the error of the body itself.
    pub fn collect_up_to(self, limit: usize) -> Collect {
        Collect::new(self, limit)
    }

    /// Reads up to `limit` bytes, then closes the body: enough to say what an error answer was about, whatever
    /// follows.
    ///
    /// There is no error: a body that breaks off is a [truncated](Beginning::truncated) one, because it must not
    /// hide the status it came with. Dropping the future closes the body at once.
    pub fn read_beginning(self, limit: usize) -> ReadBeginning {
        ReadBeginning::new(self, limit)
    }

    /// All of it, where it is here already.
    pub(crate) fn as_bytes(&self) -> Option<&Bytes> {
        match &self.kind {
            Kind::Bytes(bytes) => Some(bytes),
            Kind::Stream(_) => None,
        }
    }

    /// The next piece of data, trailers passed over.
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
