//! Limits on the time of an exchange.

mod response;
mod handover;
mod upload;
mod with_timeouts;

use std::time::Duration;

pub(crate) use self::handover::Handover;
pub use self::with_timeouts::WithTimeouts;

/// How long each stage of one exchange may take: an extension of the request.
///
/// [`WithTimeouts`] enforces them around any transport; [`connect`](Self::connect) is for
/// the transport itself. `None`, which is the default of each, sets no limit. When one
/// strikes, the exchange is closed at once, and [`Error::timeout`](crate::Error::timeout) names it.
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
    /// How long making a connection may take: resolving the name, TCP, the way through a proxy and the TLS handshake
    /// together. It counts only where a new connection is made, for this request.
    ///
    /// `None` leaves it to [the transport's own setting](crate::HttpTransportBuilder::connect_timeout).
    pub connect: Option<Duration>,
    /// The longest time that may pass without progress while the request's body is sent: from the start of the
    /// exchange to the first piece that the transport takes, and from each to the next, until it has all of them or
    /// the response's head has come. Waiting for a piece that the body does not give counts, too.
    ///
    /// Bytes in memory are handed over in pieces of 64 KiB while this limit is set.
    pub send: Option<Duration>,
    /// The longest time to the response's head, from when the transport has the last piece of the request's body where
    /// [`send`](Self::send) is set, and otherwise from the start of the exchange.
    pub head: Option<Duration>,
    /// The longest silence in the response's body: each time that its reader waits, how long it waits for the next
    /// piece, however small. Time in which nobody reads does not count.
    pub read: Option<Duration>,
    /// The longest time for all of it, from the start of the exchange until the response's body has been read to its
    /// end. Time in which nobody reads counts, too.
    pub total: Option<Duration>,
}

/// A limit on time that struck, from [`Error::timeout`](crate::Error::timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeout {
    /// Which of them.
    pub kind: TimeoutKind,
    /// How long it was.
    pub limit: Duration,
}

/// The limits on time, each a field of [`StageTimeouts`].
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
