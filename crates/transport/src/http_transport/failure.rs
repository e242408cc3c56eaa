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
/// HTTP/2's "this stream was not processed" (`REFUSED_STREAM`, `GOAWAY`) comes after bytes have left.
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
    } else {
        Error::new(error)
    }
}
