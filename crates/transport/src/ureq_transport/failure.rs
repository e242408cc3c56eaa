//! Classifies `ureq`'s errors by whether the request was sent.

use std::io;
use std::time::Duration;

use ureq::Error as Failure;

use crate::error::Error;
use crate::timeouts::{Timeout, TimeoutKind};

/// Returns "not sent" only if nothing of the request was written, or for an error that `ureq` has only before that.
///
/// `limit` is the limit on connecting. Texts of `ureq` that may hold the URL are not passed on.
pub(super) fn classify(failure: Failure, maybe_sent: bool, limit: Option<Duration>) -> Error {
    match failure {
        Failure::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => match limit {
            Some(limit) => {
                let kind = TimeoutKind::Connect;
                Error::timed_out(Timeout { kind, limit }, false)
            }
            None => Error::connect(timed_out(failure)),
        },
        Failure::BadUri(_) => Error::not_sent("the URL has no scheme or no host"),
        Failure::RequireHttpsOnly(_) => Error::not_sent("the URL is not https"),
        Failure::HostNotFound => Error::connect(failure),
        _ if !maybe_sent => match failure {
            // The request itself is invalid.
            Failure::Http(_) | Failure::Protocol(_) => Error::not_sent(failure),
            Failure::Io(error) => Error::connect(error),
            // A limit on more than connecting expired.
            Failure::Timeout(_) => Error::connect(timed_out(failure)),
            _ => Error::connect(failure),
        },
        Failure::Io(error) => Error::new(error),
        Failure::Timeout(_) => Error::new(timed_out(failure)),
        _ => Error::new(failure),
    }
}

/// Creates the operating system's error, so that it is recognized as a timeout.
fn timed_out(failure: Failure) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, failure)
}
