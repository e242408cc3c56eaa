//! What reqwest's errors mean for the request.

use std::io;

use crate::error::{BoxError, Error, find_source};

/// "Not sent" only where no connection had been given the request, and either there was none to give it to, or reqwest had refused the
/// request as it stands.
///
/// That there was no connection does not suffice: it may have been the one to the target of a redirect.
pub(super) fn classify(error: reqwest::Error, maybe_given: bool) -> Error {
    if error.is_redirect() {
        return redirected();
    }
    let (is_connect, is_builder) = (error.is_connect(), error.is_builder());
    let error = told(error);
    if find_source::<Error>(&*error).is_some() {
        // The only error of ours that passes through reqwest here is one of the request's body.
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

/// The error of a response's body.
pub(super) fn of_body(error: reqwest::Error) -> BoxError {
    told(error)
}

/// Redirects that the client of the user follows, or has a policy against that makes errors: those tell URLs, so that nothing of them is kept.
pub(super) fn redirected() -> Error {
    Error::new(
        "the server redirected, which the reqwest client does not leave at that: build it with `redirect(reqwest::redirect::Policy::none())`",
    )
}

/// A path that is not one for the parser of URLs in reqwest, which resolves `..` and encodes some characters.
pub(super) fn other_path() -> Error {
    Error::not_sent(
        "reqwest would change the path of the URL: percent-encode it, without `.` and `..`",
    )
}

/// The error without its URL, and known as one of time where it is: reqwest's mark for that is private.
fn told(error: reqwest::Error) -> BoxError {
    let is_timeout = error.is_timeout();
    let error = error.without_url();
    if is_timeout {
        Box::new(io::Error::new(io::ErrorKind::TimedOut, error))
    } else {
        Box::new(error)
    }
}
