//! Reading what browsers send, and writing answers.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use twentyfirst_protocol::ui::{ChunkError, Members, RawJson, Text};
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

/// A JSON object that a browser has sent, read as `request.json()` of browsers, Node and Next.js reads it.
///
/// A byte order mark is passed over, bytes that are not UTF-8 become U+FFFD, nesting and numbers have no limit but the body's, strings may hold half a
/// surrogate pair, and of members of one name the last counts. Unlike there, a key that JavaScript gives a meaning is refused, since chunks and messages may
/// not have it.
pub(super) struct Sent {
    pub(super) body: RawJson<'static>,
    members: Members,
}

impl Sent {
    /// Reads a body.
    ///
    /// # Errors
    /// 400 with what is the matter, and the place where it is not JSON, but never with what was sent.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let text = String::from_utf8_lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
        let body = RawJson::parse(&*text).map_err(|error| {
            Refusal::bad_request(match error {
                ChunkError::ForbiddenKey => {
                    "the body has a key that is not taken: `__proto__`, or `prototype` within `constructor`".to_owned()
                }
                ChunkError::NotJson { offset } => format!("the body is not JSON {}", place(&text, offset)),
                _ => "the body is not JSON".to_owned(),
            })
        })?;
        let members = body
            .get()
            .starts_with('{')
            .then(|| body.deserialize().ok())
            .flatten()
            .ok_or_else(|| Refusal::bad_request("the body is not a JSON object"))?;
        Ok(Self {
            body: body.into_owned(),
            members,
        })
    }

    /// A member that is a name or an id; none where it is absent or `null`.
    ///
    /// # Errors
    /// 400 where it is something else, or holds half a surrogate pair: two of those would become equal.
    pub(super) fn id(&self, name: &str) -> Result<Option<String>, Refusal> {
        let text = self.text(name)?;
        let id = text.map(|text| match text.as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(Refusal::bad_request(format!(
                "`{name}` holds half a surrogate pair"
            ))),
        });
        id.transpose()
    }

    /// A member that is a text; none where it is absent or `null`.
    ///
    /// # Errors
    /// 400 where it is something else.
    pub(super) fn text(&self, name: &str) -> Result<Option<Text<'static>>, Refusal> {
        let value = self.members.get(name).filter(|value| !value.is_null());
        let text = value.map(|value| value.deserialize());
        text.transpose()
            .map_err(|_| Refusal::bad_request(format!("`{name}` is not a text")))
    }

    /// A member that has to be there.
    ///
    /// # Errors
    /// 400 where it is missing, or not of this type.
    pub(super) fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T, Refusal> {
        let value = self.members.get(name);
        let value = value.ok_or_else(|| Refusal::bad_request(format!("`{name}` is missing")))?;
        value.deserialize().map_err(|error| {
            Refusal::bad_request(match missing_member(&error) {
                Some(member) => format!("`{member}` is missing in `{name}`"),
                None => format!("`{name}` is not what belongs there"),
            })
        })
    }
}

/// Where a byte of a text stands.
fn place(text: &str, offset: usize) -> String {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count()
        + 1;
    format!("(line {line}, column {column})")
}

/// Other messages of serde's repeat what was sent.
fn missing_member(error: &serde_json::Error) -> Option<String> {
    let message = error.to_string();
    let (member, _) = message.strip_prefix("missing field `")?.split_once('`')?;
    Some(member.to_owned())
}

/// Decodes an id from a path or a query.
///
/// # Errors
/// 400 where it is not UTF-8: decoded otherwise, different ids would become equal.
pub(super) fn percent_decode(text: &str) -> Result<String, Refusal> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| Refusal::bad_request("an id in the URL is not UTF-8"))?;
    Ok(decoded.into_owned())
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
