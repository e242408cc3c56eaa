use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Request};
use http_body::Body as _;

use super::Body;

/// Adds `content-length: 0` to a request with an empty body if its method gives a body a meaning (RFC 9110, section 8.6). Over
/// HTTP/1.1 hyper leaves the header out, and servers then take the request for one without a body.
pub(crate) fn set_empty_length(request: &mut Request<Body>) {
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
