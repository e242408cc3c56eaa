//! What can go wrong on the way, and whether the request may have left.

use std::error::Error as StdError;
use std::{fmt, io};

use http::Uri;

use crate::timeouts::{Timeout, TimeoutKind};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// An exchange, or a body, that failed.
///
/// The question that a retry hangs on is [`maybe_sent`](Self::maybe_sent). What lies beneath (a DNS failure, a
/// refused certificate, an error of a tower layer) is in [`source`](StdError::source).
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    /// The host that was to be connected to, with its port, where the transport tells.
    host: Option<Box<str>>,
    source: Option<BoxError>,
}

#[derive(Debug)]
enum Kind {
    Connect,
    Timeout(Timeout, Sent),
    NotSent,
    #[cfg(feature = "cassette")]
    NotRecorded(Box<str>),
    NotProcessed,
    MaybeSent,
    Body,
    BodyLimit(usize),
    /// The body of the request, as the exchange found out: the source is the whole error of that.
    RequestBody,
    /// The body has more bytes than were announced.
    Longer {
        announced: u64,
    },
    Shorter {
        announced: u64,
        sent: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Sent {
    No,
    Maybe,
}

impl Error {
    /// An exchange that failed when the request may have left already, or when nobody can tell.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self::with_source(Kind::MaybeSent, source)
    }

    /// An exchange that failed before any byte of the request left.
    ///
    /// For transports that can prove it. A request that is not safe to repeat is repeated on this word; in doubt,
    /// use [`new`](Self::new). A layer that sends a request more than once must not hand on the "not sent" of its
    /// last attempt when an earlier one may have arrived.
    pub fn not_sent(source: impl Into<BoxError>) -> Self {
        Self::with_source(Kind::NotSent, source)
    }

    /// An exchange that failed because there was no connection, so that nothing of the request left.
    ///
    /// For transports that can prove it, as [`not_sent`](Self::not_sent) is.
    pub fn connect(source: impl Into<BoxError>) -> Self {
        Self::with_source(Kind::Connect, source)
    }

    /// An exchange of which the server said that it had not processed any of it, as HTTP/2 lets it: RFC 9113, section 8.7.
    pub fn not_processed(source: impl Into<BoxError>) -> Self {
        Self::with_source(Kind::NotProcessed, source)
    }

    /// An exchange that failed because the body of its request did. The error of the [`Body`](crate::Body) is `source` or beneath it.
    pub fn request_body(source: impl Into<BoxError>) -> Self {
        Self::with_source(Kind::RequestBody, source)
    }

    /// Names the host of this URL in the error, if it is one of [connecting](Self::is_connect). Nothing else of the URL is kept: it may
    /// hold a secret.
    #[must_use]
    pub fn at_host(mut self, uri: &Uri) -> Self {
        if self.is_connect()
            && let Some(host) = uri.host()
        {
            let port = uri.port_u16().map(|port| format!(":{port}"));
            self.host = Some(format!("{host}{}", port.unwrap_or_default()).into());
        }
        self
    }

    /// Whether the server may have acted on the request.
    ///
    /// `false` only where it is certain that not one byte of the request left, or where the server said, as HTTP/2 lets
    /// it, that it has not processed any of it; the same request can then be sent again whatever it does. Everything
    /// else is `true`: errors of a body, and every error that is not ours.
    pub fn maybe_sent(&self) -> bool {
        match self.kind {
            Kind::Connect | Kind::NotSent | Kind::NotProcessed | Kind::Timeout(_, Sent::No) => {
                false
            }
            #[cfg(feature = "cassette")]
            Kind::NotRecorded(_) => false,
            Kind::MaybeSent
            | Kind::Body
            | Kind::BodyLimit(_)
            | Kind::RequestBody
            | Kind::Longer { .. }
            | Kind::Shorter { .. }
            | Kind::Timeout(_, Sent::Maybe) => true,
        }
    }

    /// Whether there was no connection to send the request on: the name did not resolve, the connection was
    /// refused, the TLS handshake failed, or all of it took too long.
    pub fn is_connect(&self) -> bool {
        match self.kind {
            Kind::Connect => true,
            Kind::Timeout(timeout, _) => timeout.kind == TimeoutKind::Connect,
            _ => false,
        }
    }

    /// Which of our limits on time struck, here or in an error beneath.
    pub fn timeout(&self) -> Option<Timeout> {
        match self.kind {
            Kind::Timeout(timeout, _) => Some(timeout),
            _ => self.find_source::<Self>()?.timeout(),
        }
    }

    /// Whether a limit on time struck, [one of ours](Self::timeout) or one of the operating system's.
    pub fn is_timeout(&self) -> bool {
        self.timeout().is_some()
            || self
                .find_source::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    /// Whether a body was longer than the reader allowed.
    pub fn is_body_limit(&self) -> bool {
        matches!(self.kind, Kind::BodyLimit(_))
    }

    /// A body with more bytes than were announced.
    pub(crate) fn longer(announced: u64) -> Self {
        Self {
            kind: Kind::Longer { announced },
            host: None,
            source: None,
        }
    }

    /// A body that ended too early.
    pub(crate) fn shorter(announced: u64, sent: u64) -> Self {
        Self {
            kind: Kind::Shorter { announced, sent },
            host: None,
            source: None,
        }
    }

    pub(crate) fn timed_out(timeout: Timeout, maybe_sent: bool) -> Self {
        let sent = if maybe_sent { Sent::Maybe } else { Sent::No };
        Self {
            kind: Kind::Timeout(timeout, sent),
            host: None,
            source: None,
        }
    }

    pub(crate) fn body_limit(limit: usize) -> Self {
        Self {
            kind: Kind::BodyLimit(limit),
            host: None,
            source: None,
        }
    }

    /// A request that no recording answers; `difference` says why, in one line.
    #[cfg(feature = "cassette")]
    pub(crate) fn not_recorded(difference: impl fmt::Display) -> Self {
        Self {
            kind: Kind::NotRecorded(difference.to_string().into()),
            host: None,
            source: None,
        }
    }

    /// What a service answered its call with. Only an error that is ours, and not one that merely wraps ours, is
    /// believed when it says "not sent": what wraps may have tried more than once.
    pub(crate) fn from_call(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => *ours,
            Err(foreign) => Self::new(foreign),
        }
    }

    /// A service that was not ready. The request is still in our hands, whatever the error says of itself.
    pub(crate) fn from_not_ready(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) if !ours.maybe_sent() => *ours,
            Ok(ours) => Self::not_sent(ours),
            Err(foreign) => Self::not_sent(foreign),
        }
    }

    /// A body that broke off.
    pub(crate) fn from_body(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => *ours,
            Err(foreign) => Self::with_source(Kind::Body, foreign),
        }
    }

    fn with_source(kind: Kind, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            host: None,
            source: Some(source.into()),
        }
    }

    fn find_source<E: StdError + 'static>(&self) -> Option<&E> {
        find_source(self.source()?)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or("the server");
        match &self.kind {
            Kind::Connect => write!(f, "could not connect to {host}"),
            Kind::Timeout(Timeout { kind, limit }, _) => match kind {
                TimeoutKind::Connect => {
                    write!(f, "could not connect to {host} within {limit:?}")
                }
                TimeoutKind::Send => {
                    write!(f, "nothing of the request's body was sent for {limit:?}")
                }
                TimeoutKind::Head => write!(f, "no response came within {limit:?}"),
                TimeoutKind::Read => {
                    write!(f, "nothing of the response's body came for {limit:?}")
                }
                TimeoutKind::Total => write!(f, "the exchange was not over within {limit:?}"),
            },
            Kind::NotSent => f.write_str("the request was not sent"),
            #[cfg(feature = "cassette")]
            Kind::NotRecorded(difference) => f.write_str(difference),
            Kind::NotProcessed => f.write_str("the server did not process the request"),
            Kind::MaybeSent => {
                f.write_str("the exchange failed and the request may have been sent")
            }
            Kind::Body => f.write_str("the body broke off"),
            Kind::BodyLimit(limit) => write!(f, "the body is longer than {limit} bytes"),
            Kind::RequestBody => f.write_str("the body of the request could not be sent"),
            Kind::Longer { announced } => {
                write!(
                    f,
                    "the body is longer than the {announced} bytes that were announced"
                )
            }
            Kind::Shorter { announced, sent } => write!(
                f,
                "the body ended after {sent} of the {announced} bytes that were announced"
            ),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source: &(dyn StdError + 'static) = &**self.source.as_ref()?;
        match self.kind {
            // What the HTTP library says in between only repeats it.
            Kind::RequestBody => {
                find_source::<Self>(source).map_or(Some(source), |body| match body.kind {
                    Kind::Body => body.source(),
                    _ => Some(body),
                })
            }
            _ => Some(source),
        }
    }
}

/// The first error of type `E` in a chain, beginning with `error` itself.
pub(crate) fn find_source<'e, E: StdError + 'static>(
    error: &'e (dyn StdError + 'static),
) -> Option<&'e E> {
    // `io::Error` leaves what it wraps out of its chain of sources: it shows the source of that instead.
    std::iter::successors(Some(error), |&error| {
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner as _),
            None => error.source(),
        }
    })
    .find_map(|error| error.downcast_ref())
}
