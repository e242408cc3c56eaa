//! Time limits on an exchange.

mod handover;
mod response;
mod upload;
mod with_timeouts;

use std::time::Duration;

pub(crate) use self::handover::Handover;
pub use self::with_timeouts::WithTimeouts;

/// The time limits on the stages of one exchange: an extension of the request.
///
/// [`WithTimeouts`] enforces them around any transport, except [`connect`](Self::connect), which
/// the transport itself enforces. `None`, the default of each, sets no limit. When a limit
/// expires, the exchange is closed at once, and [`Error::timeout`](crate::Error::timeout) names the limit.
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_transport::{Body, HttpTransport, StageTimeouts, TokioRuntime, WithTimeouts, http};
///
/// let transport = WithTimeouts::new(HttpTransport::new()?, TokioRuntime);
///
/// let mut timeouts = StageTimeouts::default();
/// timeouts.head = Some(Duration::from_secs(5 * 60));
/// timeouts.read = Some(Duration::from_secs(15 * 60));
/// let request = http::Request::post("https://relay.example/v1/chat/reviewer")
///     .extension(timeouts)
///     .body(Body::from("{}"))?;
/// # let _ = (transport, request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageTimeouts {
    /// The limit on connecting: resolving the name, TCP, the way through a proxy and the TLS handshake
    /// together. It applies only if a new connection is made for this request.
    ///
    /// `None` uses [the transport's own setting](crate::HttpTransportBuilder::connect_timeout).
    pub connect: Option<Duration>,
    /// The limit on a pause while the request's body is sent: from the start of the
    /// exchange to the first piece that the transport takes, and from each piece to the next, until it has all of them or
    /// the response's head has arrived. Waiting for a slow body counts, too.
    ///
    /// While this limit is set, bytes in memory are handed over in pieces of 64 KiB.
    pub send: Option<Duration>,
    /// The limit on the wait for the response's head. With [`send`](Self::send) it starts when the transport has taken the last piece of the
    /// request's body, otherwise at the start of the exchange.
    pub head: Option<Duration>,
    /// The limit on a silence in the response's body: each wait of the reader for the next
    /// piece, however small. Time without a reader waiting does not count.
    pub read: Option<Duration>,
    /// The limit on the whole exchange, from its start until the response's body has been read to its
    /// end. Time without a reader waiting counts, too.
    pub total: Option<Duration>,
}

/// An expired time limit, from [`Error::timeout`](crate::Error::timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeout {
    /// The kind of the limit.
    pub kind: TimeoutKind,
    /// The duration of the limit.
    pub limit: Duration,
}

/// The kinds of time limits, each a field of [`StageTimeouts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// [`StageTimeouts::connect`], or the transport's own setting.
    Connect,
    /// [`StageTimeouts::send`].
    Send,
    /// [`StageTimeouts::head`].
    Head,
    /// [`StageTimeouts::read`].
    Read,
    /// [`StageTimeouts::total`].
    Total,
}
