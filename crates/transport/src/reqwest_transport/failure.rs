//! Classifies reqwest's errors by whether the request was sent.

use std::io;

use crate::error::{BoxError, Error, find_source};

/// Returns "not sent" only if no connection had taken the request, and either no connection could be made or reqwest refused the
/// request as invalid.
///
/// A failure to connect alone does not suffice: it may have been the connection to the target of a redirect.
pub(super) fn classify(error: reqwest::Error, maybe_given: bool) -> Error {
    if error.is_redirect() {
        return redirected();
    }
    let (is_connect, is_builder) = (error.is_connect(), error.is_builder());
    let error = without_url(error);
    if find_source::<Error>(&*error).is_some() {
        // The only error of this crate that passes through reqwest here is one of the request's body.
        Error::request_body(error)
    } else if maybe_given {
        Error::new(error)
    } else if is_connect {
        Error::connect(error)
    } else if is_builder {
        Error::not_sent(error)
    } else {
        Error::new(error)
    }
}

/// Converts the error of a response's body.
pub(super) fn of_body(error: reqwest::Error) -> BoxError {
    without_url(error)
}

/// Creates the error for a redirect that the user's client followed or refused. reqwest's own error shows URLs, so it is not kept.
pub(super) fn redirected() -> Error {
    Error::new(
        "the reqwest client handled a redirect itself: build it with `redirect(reqwest::redirect::Policy::none())`",
    )
}

/// Creates the error for a path that reqwest's URL parser would change: it resolves `..` and encodes some characters.
pub(super) fn other_path() -> Error {
    Error::not_sent(
        "reqwest would change the path of the URL: percent-encode it, without `.` and `..`",
    )
}

/// Removes the URL from an error, and marks timeouts as such: reqwest's own mark is private.
fn without_url(error: reqwest::Error) -> BoxError {
    let is_timeout = error.is_timeout();
    let error = error.without_url();
    if is_timeout {
        Box::new(io::Error::new(io::ErrorKind::TimedOut, error))
    } else {
        Box::new(error)
    }
}
