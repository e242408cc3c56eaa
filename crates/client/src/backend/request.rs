//! Reading what browsers send, and writing answers.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use twentyfirst_transport::Body;

use super::Refusal;

/// The longest body of a request that is taken, in bytes: what the relay takes.
pub(super) const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// The body, unless it is too long (413) or breaks off (400).
pub(super) async fn read_body(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    body.collect_up_to(limit).await.map_err(|error| {
        if error.is_body_limit() {
            Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than {limit} bytes"),
            )
        } else {
            Refusal::bad_request("the body broke off")
        }
    })
}

/// The body as JSON. What is not, or not of this shape, is refused (400) with the place and without its content.
pub(super) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("(line {}, column {})", error.line(), error.column());
        Refusal::bad_request(if !error.is_data() {
            format!("the body is not JSON {place}")
        } else if let Some(member) = missing_member(&error) {
            format!("`{member}` is missing {place}")
        } else {
            format!("the body is not the JSON that belongs here {place}")
        })
    })
}

/// Other messages of serde's repeat what was sent.
fn missing_member(error: &serde_json::Error) -> Option<String> {
    let message = error.to_string();
    let (member, _) = message.strip_prefix("missing field `")?.split_once('`')?;
    Some(member.to_owned())
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, content: &impl Serialize) -> Response<Body> {
    // What handlers answer with are texts, numbers and JSON values, which cannot fail to become JSON.
    let content = serde_json::to_vec(content).unwrap_or_default();
    let mut response = Response::new(Body::from(content));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// What is answered to another method than the handler's own: 204 to `OPTIONS` and 405 to the rest, as Next.js does.
pub(super) fn other_method(method: &Method, allow: &'static str) -> Response<Body> {
    let mut response = if method == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        let message = format!("this route takes {allow}");
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).into()
    };
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}
