//! Requests, read as the relay's framework and handlers read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use twentyfirst_protocol::{Body, Endpoint, SandboxId};

use crate::auth::Caller;
use crate::relay::Relay;
use crate::responses::Refusal;

/// The longest JSON or blob body that the relay accepts.
pub(crate) const LONGEST_BODY: usize = 10 * 1024 * 1024;

/// The length up to which a body beyond the limit is read and dropped. A client that is still sending would otherwise miss the response.
const LONGEST_DRAIN: usize = 256 * 1024 * 1024;

/// The members of a JSON body, each as raw JSON. This keeps lone surrogates, which JSON allows in strings and Rust does not.
pub(crate) type Members = BTreeMap<String, Box<RawValue>>;

/// An authenticated request.
pub(crate) struct Call {
    pub(crate) relay: Arc<Relay>,
    pub(crate) caller: Caller,
    pub(crate) head: Parts,
    pub(crate) payload: Payload,
}

/// The body of a request, as the relay's framework passes it on.
pub(crate) enum Payload {
    /// A body that is not JSON, unread.
    Raw(Incoming),
    /// A JSON object or array.
    Json(Bytes),
}

impl Payload {
    /// Reads a JSON body. Leaves any other body unread.
    pub(crate) async fn read(headers: &HeaderMap, body: Incoming) -> Result<Self, Refusal> {
        let is_empty = headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length == "0");
        if !is_json(headers) || !announces_body(headers) || is_empty {
            return Ok(Self::Raw(body));
        }
        let bytes = collect(body).await?.ok_or_else(Refusal::invalid_json)?;
        // The relay's framework accepts no other JSON, such as a string.
        let opens = bytes.trim_ascii_start().first();
        if !matches!(opens, Some(b'{' | b'['))
            || serde_json::from_slice::<&RawValue>(&bytes).is_err()
        {
            return Err(Refusal::invalid_json());
        }
        Ok(Self::Json(bytes))
    }
}

/// Returns whether the headers announce a body, possibly an empty one. The relay's framework decides by these headers alone.
pub(crate) fn announces_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || headers.contains_key(header::CONTENT_LENGTH)
}

/// Reads the whole body. Returns `None` if it exceeds [`LONGEST_BODY`].
pub(crate) async fn collect(mut body: Incoming) -> Result<Option<Bytes>, Refusal> {
    let mut bytes = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::invalid_json())?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length > LONGEST_DRAIN {
            return Ok(None);
        }
        if length <= LONGEST_BODY {
            bytes.extend_from_slice(&data);
        }
    }
    Ok((length <= LONGEST_BODY).then(|| bytes.freeze()))
}

impl Call {
    /// Returns the members of the JSON body, empty for an array. Returns `None` if there is no JSON body.
    pub(crate) fn members(&self) -> Option<Members> {
        match &self.payload {
            Payload::Raw(_) => None,
            Payload::Json(bytes) => Some(serde_json::from_slice(bytes).unwrap_or_default()),
        }
    }

    /// Returns the members, for routes whose handlers crash without a body. `first` is the member that they destructure first.
    pub(crate) fn needed_members(&self, first: &str) -> Result<Members, Refusal> {
        self.members()
            .ok_or_else(|| Refusal::internal(no_body(first)))
    }

    /// Parses the request as an operation.
    pub(crate) fn operation<E: Endpoint>(&self) -> Result<E, Refusal> {
        let body = match &self.payload {
            Payload::Json(bytes) => bytes.clone(),
            Payload::Raw(_) => Bytes::new(),
        };
        self.operation_with(body)
    }

    /// Parses the request as an operation, with another body.
    pub(crate) fn operation_with<E: Endpoint>(&self, body: impl Into<Body>) -> Result<E, Refusal> {
        let mut head = self.head.clone();
        if let Payload::Json(_) = self.payload {
            // The operation expects this exact spelling, while the body was recognized with any parameters and case.
            let json = HeaderValue::from_static("application/json");
            head.headers.insert(header::CONTENT_TYPE, json);
        }
        let request = Request::from_parts(head, body.into());
        E::from_request(&request).map_err(|error| Refusal::invalid_request(error.to_string()))
    }

    /// Returns the decoded path segment at this index.
    pub(crate) fn segment(&self, at: usize) -> String {
        let path = self.head.uri.path();
        let segment = path.split('/').nth(at + 1).unwrap_or_default();
        percent_decode_str(segment).decode_utf8_lossy().into_owned()
    }

    /// Returns the sandbox id in `/v1/sandboxes/{sandboxId}/…`.
    pub(crate) fn sandbox_id(&self) -> Result<SandboxId, Refusal> {
        let id = self.segment(2);
        SandboxId::new(id.as_str()).map_err(|_| Refusal::sandbox_not_found(&id))
    }

    /// Returns the first query parameter with this name, unless it is empty.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let pairs = self.head.uri.query().unwrap_or_default().split('&');
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(given, _)| decode(given) == name)
            .map(|(_, value)| decode(value))
            .filter(|value| !value.is_empty())
    }

    /// Returns the query parameter `path`, which the file routes require.
    pub(crate) fn path(&self) -> Result<String, Refusal> {
        self.query("path")
            .ok_or_else(|| Refusal::invalid_request("path query parameter is required"))
    }
}

/// Returns the error message of JavaScript for destructuring a missing body.
pub(crate) fn no_body(first: &str) -> String {
    format!("Cannot destructure property '{first}' of 'req.body' as it is undefined.")
}

/// Returns the member, if it is present and of this type.
pub(crate) fn member<T: DeserializeOwned>(members: &Members, name: &str) -> Option<T> {
    serde_json::from_str(members.get(name)?.get()).ok()
}

/// Returns the member, if it is a non-empty string.
pub(crate) fn text(members: &Members, name: &str) -> Option<String> {
    member(members, name).filter(|text: &String| !text.is_empty())
}

pub(crate) fn too_large() -> Refusal {
    Refusal::Html(
        StatusCode::PAYLOAD_TOO_LARGE,
        "Payload Too Large".to_owned(),
    )
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}
