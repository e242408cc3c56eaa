//! What `ureq`'s errors mean for the request.

use std::io;
use std::time::Duration;

use ureq::Error as Failure;

use crate::error::Error;
use crate::timeouts::{Timeout, TimeoutKind};

/// "Not sent" only where the exchange ended while its connection was being made, or by an error that comes before that.
///
/// `limit` is that on connecting. No text of `ureq` that may hold the URL is handed on.
pub(super) fn classify(failure: Failure, is_connecting: bool, limit: Option<Duration>) -> Error {
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
        _ if is_connecting => match failure {
            // The request itself cannot be sent.
            Failure::Http(_) | Failure::Protocol(_) => Error::not_sent(failure),
            Failure::Io(error) => Error::connect(error),
            // A limit on more than connecting.
            Failure::Timeout(_) => Error::connect(timed_out(failure)),
            _ => Error::connect(failure),
        },
        Failure::Io(error) => Error::new(error),
        Failure::Timeout(_) => Error::new(timed_out(failure)),
        _ => Error::new(failure),
    }
}

/// As the operating system says it, so that it is known for a limit on time.
fn timed_out(failure: Failure) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, failure)
}
