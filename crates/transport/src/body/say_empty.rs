use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Request};
use http_body::Body as _;

use super::Body;

/// Adds `content-length: 0` to a request whose method gives a body a meaning and whose body is empty (RFC 9110, section 8.6): over
/// HTTP/1.1 hyper leaves it out, and servers take such a request for one without a body.
pub(crate) fn say_empty(request: &mut Request<Body>) {
    let takes_body = matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH
    );
    if takes_body && request.body().size_hint().exact() == Some(0) {
        let headers = request.headers_mut();
        if !headers.contains_key(TRANSFER_ENCODING) {
            headers
                .entry(CONTENT_LENGTH)
                .or_insert(HeaderValue::from_static("0"));
        }
    }
}
