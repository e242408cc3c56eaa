//! What hyper's errors mean for the request.

use std::error::Error as _;

use hyper_util::client::legacy;

use super::connector::ConnectTimeout;
use crate::error::{Error, find_source};
use crate::timeouts::{Timeout, TimeoutKind};

/// "Not sent" only where hyper shows that no byte of the request was written:
///
/// - there was no connection: resolving, TCP, TLS, our limit on them;
/// - the error is not one of a connection that had been given the request: hyper attaches the connection to every
///   error that comes after that moment, so without one the request was refused as it stands, or HTTP's own
///   handshake failed on a new connection;
/// - the connection closed with the request still in its queue, and handed it back: hyper calls that "canceled".
///
/// And "not processed" where bytes may have left, but the server says that it did nothing with them.
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
        // The only error of ours that passes through hyper here is one of the request's body.
        Error::request_body(error)
    } else {
        Error::new(error)
    }
}

/// Whether a server of HTTP/2 said that it had not processed the request: RFC 9113, section 8.7.
///
/// A stream ends with the `GOAWAY` of the server only where it comes behind the last stream that this names. The streams
/// before it go on, and end with the connection, which is another error.
fn is_not_processed(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}
