use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use twentyfirst_protocol::shown;

/// The reason why there is no token for a request, from [`Error::token_error`](crate::Error::token_error).
///
/// `Display` is one clause; the causes are in [`source`](StdError::source).
// Cheap to clone, because every call that waited for the same token returns it.
#[derive(Debug, Clone)]
pub struct TokenError {
    kind: Arc<Kind>,
}

#[derive(Debug)]
enum Kind {
    Source(Box<dyn StdError + Send + Sync>),
    Exchange(twentyfirst_transport::Error),
    Refused(StatusCode, String),
    NotAToken,
    Unusable,
    TimedOut(Duration),
}

impl TokenError {
    /// Returns the status with which the token URL refused, such as 401 when the session there has ended.
    pub fn status(&self) -> Option<StatusCode> {
        match *self.kind {
            Kind::Refused(status, _) => Some(status),
            _ => None,
        }
    }

    /// Whether a time limit was exceeded.
    pub fn is_timeout(&self) -> bool {
        match &*self.kind {
            Kind::TimedOut(_) => true,
            Kind::Exchange(error) => error.is_timeout(),
            _ => false,
        }
    }

    /// Whether the token URL would refuse again: its status is a 4xx that is not temporary.
    pub(crate) fn is_permanent(&self) -> bool {
        self.status().is_some_and(|status| {
            status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429)
        })
    }

    pub(crate) fn source_failed(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Kind::Source(error.into()).into()
    }

    pub(super) fn exchange(error: twentyfirst_transport::Error) -> Self {
        Kind::Exchange(error).into()
    }

    pub(super) fn refused(status: StatusCode, message: &str) -> Self {
        Kind::Refused(status, shown(message.trim_end())).into()
    }

    pub(super) fn not_a_token() -> Self {
        Kind::NotAToken.into()
    }

    pub(super) fn unusable() -> Self {
        Kind::Unusable.into()
    }

    pub(super) fn timed_out(limit: Duration) -> Self {
        Kind::TimedOut(limit).into()
    }
}

impl From<Kind> for TokenError {
    fn from(kind: Kind) -> Self {
        Self {
            kind: Arc::new(kind),
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            Kind::Source(_) => f.write_str("the token source failed"),
            Kind::Exchange(_) => f.write_str("the token URL did not respond"),
            Kind::Refused(status, message) => {
                write!(
                    f,
                    "the token URL responded with {}: {message}",
                    status.as_u16()
                )
            }
            Kind::NotAToken => f.write_str("the response of the token URL is not a token"),
            Kind::Unusable => {
                f.write_str("the token is empty or has characters that no header can hold")
            }
            Kind::TimedOut(limit) => write!(f, "no token arrived within {limit:?}"),
        }
    }
}

impl StdError for TokenError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.kind {
            Kind::Source(error) => Some(&**error),
            Kind::Exchange(error) => Some(error),
            Kind::Refused(..) | Kind::NotAToken | Kind::Unusable | Kind::TimedOut(_) => None,
        }
    }
}
