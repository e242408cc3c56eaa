//! Classifies hyper's errors by whether the request was sent.

use std::error::Error as _;

use hyper_util::client::legacy;

use super::connector::ConnectTimeout;
use crate::error::{Error, find_source};
use crate::timeouts::{Timeout, TimeoutKind};

/// Returns "not sent" only if hyper shows that no byte of the request was written:
///
/// - no connection was made: resolving, TCP or TLS failed, or the connect timeout expired;
/// - the error does not belong to a connection that had taken the request: hyper attaches the connection to every
///   later error, so an error without one means that the request was refused as invalid, or that HTTP's own
///   handshake failed on a new connection;
/// - the connection closed with the request still in its queue, and hyper handed it back ("canceled").
///
/// Returns "not processed" if bytes may have been sent, but the server reports that it did not process the request.
pub(super) fn classify(error: legacy::Error) -> Error {
    if error.is_connect() {
        return match find_source::<ConnectTimeout>(&error) {
            Some(&ConnectTimeout(limit)) => {
                let kind = TimeoutKind::Connect;
                Error::timed_out(Timeout { kind, limit }, false)
            }
            None => Error::connect(error),
        };
    }
    let handed_back = error
        .source()
        .and_then(|source| source.downcast_ref())
        .is_some_and(hyper::Error::is_canceled);
    if error.connect_info().is_none() || handed_back {
        Error::not_sent(error)
    } else if find_source(&error).is_some_and(is_not_processed) {
        Error::not_processed(error)
    } else if find_source::<Error>(&error).is_some() {
        // The only error of this crate that passes through hyper here is one of the request's body.
        Error::request_body(error)
    } else {
        Error::new(error)
    }
}

/// Returns whether an HTTP/2 server reported that it did not process the request (RFC 9113, section 8.7).
///
/// A stream fails with the server's `GOAWAY` only if the stream comes after the last one that the frame names. Earlier
/// streams go on, and fail with the connection, which is a different error.
fn is_not_processed(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}
