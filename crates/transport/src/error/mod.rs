//! Errors of exchanges and bodies, and whether the request may have been sent.

use std::error::Error as StdError;
use std::{fmt, io};

use http::Uri;

use crate::timeouts::{Timeout, TimeoutKind};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// An error of an exchange or a body.
///
/// Retries depend on [`maybe_sent`](Self::maybe_sent). The cause (a DNS failure, a
/// refused certificate, an error of a tower layer) is in [`source`](StdError::source).
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    /// The host and port that could not be connected to, if the transport names them.
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
    /// The request's body failed; the source is the body's own error.
    RequestBody,
    /// The body is longer than announced.
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
    /// Creates an error of a request that may have been sent. Use it in doubt.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self::with_source(Kind::MaybeSent, source)
    }

    /// Creates an error of a request that was not sent, not even one byte of it.
    ///
    /// Use it only if the transport can prove it, and [`new`](Self::new) in doubt: after this error, even a request that is not safe
    /// to repeat is retried. A layer that sends a request more than once must not pass on the "not sent" of its
    /// last attempt if an earlier one may have arrived.
    pub fn not_sent(source: impl Into<BoxError>) -> Self {
        Self::with_source(Kind::NotSent, source)
    }

    /// Creates an error of a request for which no connection was made, so that no byte of it was sent.
    ///
    /// Use it only if the transport can prove it, as for [`not_sent`](Self::not_sent).
    pub fn connect(source: impl Into<BoxError>) -> Self {
        Self::with_source(Kind::Connect, source)
    }

    /// Creates an error of a request that the server did not process, by its own report. HTTP/2 has such reports (RFC 9113, section 8.7).
    pub fn not_processed(source: impl Into<BoxError>) -> Self {
        Self::with_source(Kind::NotProcessed, source)
    }

    /// Creates an error of a request whose body failed. `source` is, or wraps, the error of the [`Body`](crate::Body).
    pub fn request_body(source: impl Into<BoxError>) -> Self {
        Self::with_source(Kind::RequestBody, source)
    }

    /// Adds the host of this URL to an error of [connecting](Self::is_connect). Nothing else of the URL is kept: it may
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

    /// Returns whether the server may have acted on the request.
    ///
    /// `false` only if it is certain that no byte of the request was sent, or if an HTTP/2 server reported that it did not process
    /// the request. Such a request can be sent again, whatever its effects. `true` for everything else, including errors of a body
    /// and every error of another type.
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

    /// Returns whether no connection could be made: the name did not resolve, the connection was
    /// refused, the TLS handshake failed, or all of it took too long.
    pub fn is_connect(&self) -> bool {
        match self.kind {
            Kind::Connect => true,
            Kind::Timeout(timeout, _) => timeout.kind == TimeoutKind::Connect,
            _ => false,
        }
    }

    /// Returns the time limit of this crate that was exceeded, here or in a source of this error.
    pub fn timeout(&self) -> Option<Timeout> {
        match self.kind {
            Kind::Timeout(timeout, _) => Some(timeout),
            _ => self.find_source::<Self>()?.timeout(),
        }
    }

    /// Returns whether a time limit was exceeded, [one of this crate](Self::timeout) or one of the operating system.
    pub fn is_timeout(&self) -> bool {
        self.timeout().is_some()
            || self
                .find_source::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    /// Returns whether a body was longer than the reader's limit.
    pub fn is_body_limit(&self) -> bool {
        matches!(self.kind, Kind::BodyLimit(_))
    }

    /// Creates the error of a body that is longer than announced.
    pub(crate) fn longer(announced: u64) -> Self {
        Self {
            kind: Kind::Longer { announced },
            host: None,
            source: None,
        }
    }

    /// Creates the error of a body that is shorter than announced.
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

    /// Creates the error of a request without a matching recording; `difference` gives the reason in one line.
    #[cfg(feature = "cassette")]
    pub(crate) fn not_recorded(difference: impl fmt::Display) -> Self {
        Self {
            kind: Kind::NotRecorded(difference.to_string().into()),
            host: None,
            source: None,
        }
    }

    /// Converts the error of a service's call. "Not sent" is believed only of an error of this type, not of one that
    /// wraps such an error: the wrapping layer may have tried more than once.
    pub(crate) fn from_call(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => *ours,
            Err(foreign) => Self::new(foreign),
        }
    }

    /// Converts the error of a service that was not ready. The request was not passed to it, so it was not sent, whatever the error says.
    pub(crate) fn from_not_ready(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) if !ours.maybe_sent() => *ours,
            Ok(ours) => Self::not_sent(ours),
            Err(foreign) => Self::not_sent(foreign),
        }
    }

    /// Converts the error of a body that broke off.
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
                    write!(f, "no request data was sent for {limit:?}")
                }
                TimeoutKind::Head => write!(f, "no response within {limit:?}"),
                TimeoutKind::Read => {
                    write!(f, "no response data for {limit:?}")
                }
                TimeoutKind::Total => write!(f, "the exchange took longer than {limit:?}"),
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
            // The HTTP library's error in between only repeats it.
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

/// Returns the first error of type `E` in a chain that begins with `error`.
pub(crate) fn find_source<'e, E: StdError + 'static>(
    error: &'e (dyn StdError + 'static),
) -> Option<&'e E> {
    // `io::Error` skips the error that it wraps in its chain: `source` returns that error's source.
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
