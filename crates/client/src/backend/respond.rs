//! Creates responses.

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use serde::Serialize;
use twentyfirst_transport::Body;

use super::Refusal;

/// Creates a JSON response.
pub(super) fn json(status: StatusCode, content: &impl Serialize) -> Response<Body> {
    // Handlers respond with texts, numbers and JSON values, whose serialization cannot fail.
    let content = serde_json::to_vec(content).unwrap_or_default();
    let mut response = Response::new(Body::from(content));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Responds to a method that the handler does not support: 204 to `OPTIONS` and 405 to the rest, as Next.js does.
pub(super) fn other_method(method: &Method, allow: &'static str) -> Response<Body> {
    let mut response = if method == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        let message = format!("this route accepts {allow}");
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).into()
    };
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}
