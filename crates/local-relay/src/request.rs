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

use crate::answers::Refusal;
use crate::auth::Caller;
use crate::relay::Relay;

/// The longest JSON or blob body that is taken.
pub(crate) const LONGEST_BODY: usize = 10 * 1024 * 1024;

/// How much of a body that is too long is read away, so that a client that is still sending gets its answer.
const LONGEST_DRAIN: usize = 256 * 1024 * 1024;

/// The members of a JSON body, each as it was written: text that JSON allows and Rust does not gets through.
pub(crate) type Members = BTreeMap<String, Box<RawValue>>;

/// One request of someone who is known.
pub(crate) struct Call {
    pub(crate) relay: Arc<Relay>,
    pub(crate) caller: Caller,
    pub(crate) head: Parts,
    pub(crate) payload: Payload,
}

/// The body of a request, as the relay's framework sees it.
pub(crate) enum Payload {
    /// No JSON, and nothing read yet.
    Raw(Incoming),
    /// A JSON object or array.
    Json(Bytes),
}

impl Payload {
    /// Reads a JSON body; leaves any other alone.
    pub(crate) async fn read(headers: &HeaderMap, body: Incoming) -> Result<Self, Refusal> {
        let is_empty = headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length == "0");
        if !is_json(headers) || !announces_body(headers) || is_empty {
            return Ok(Self::Raw(body));
        }
        let bytes = collect(body).await?.ok_or_else(Refusal::invalid_json)?;
        let opens = bytes.trim_ascii_start().first();
        if !matches!(opens, Some(b'{' | b'['))
            || serde_json::from_slice::<&RawValue>(&bytes).is_err()
        {
            return Err(Refusal::invalid_json());
        }
        Ok(Self::Json(bytes))
    }
}

/// Whether the head says that a body follows, be it an empty one: the relay's framework looks for nothing else.
pub(crate) fn announces_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || headers.contains_key(header::CONTENT_LENGTH)
}

/// The whole body, or `None` where it is too long.
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
    /// The members of the JSON body; none where it is an array, `None` where there is no JSON body at all.
    pub(crate) fn members(&self) -> Option<Members> {
        match &self.payload {
            Payload::Raw(_) => None,
            Payload::Json(bytes) => Some(serde_json::from_slice(bytes).unwrap_or_default()),
        }
    }

    /// The same for routes that fall over a missing body: `first` is the member that they look for first.
    pub(crate) fn needed_members(&self, first: &str) -> Result<Members, Refusal> {
        self.members()
            .ok_or_else(|| Refusal::internal(no_body(first)))
    }

    /// The operation that this request stands for.
    pub(crate) fn operation<E: Endpoint>(&self) -> Result<E, Refusal> {
        let body = match &self.payload {
            Payload::Json(bytes) => bytes.clone(),
            Payload::Raw(_) => Bytes::new(),
        };
        self.operation_with(body)
    }

    /// The same, with another body than that of the request.
    pub(crate) fn operation_with<E: Endpoint>(&self, body: impl Into<Body>) -> Result<E, Refusal> {
        let mut head = self.head.clone();
        if let Payload::Json(_) = self.payload {
            // However it was spelled, the body has been read as that.
            let json = HeaderValue::from_static("application/json");
            head.headers.insert(header::CONTENT_TYPE, json);
        }
        let request = Request::from_parts(head, body.into());
        E::from_request(&request).map_err(|error| Refusal::invalid_request(error.to_string()))
    }

    /// The segment of the path at this place, decoded.
    pub(crate) fn segment(&self, at: usize) -> String {
        let path = self.head.uri.path();
        let segment = path.split('/').nth(at + 1).unwrap_or_default();
        percent_decode_str(segment).decode_utf8_lossy().into_owned()
    }

    /// The sandbox in `/v1/sandboxes/{sandboxId}/…`.
    pub(crate) fn sandbox_id(&self) -> Result<SandboxId, Refusal> {
        let id = self.segment(2);
        SandboxId::new(id.as_str()).map_err(|_| Refusal::sandbox_not_found(&id))
    }

    /// The first query parameter of this name, if it is not empty.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let pairs = self.head.uri.query().unwrap_or_default().split('&');
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(given, _)| decode(given) == name)
            .map(|(_, value)| decode(value))
            .filter(|value| !value.is_empty())
    }

    /// The query parameter `path`, which the routes for files need.
    pub(crate) fn path(&self) -> Result<String, Refusal> {
        self.query("path")
            .ok_or_else(|| Refusal::invalid_request("path query parameter is required"))
    }
}

/// The message with which JavaScript falls over a missing body.
pub(crate) fn no_body(first: &str) -> String {
    format!("Cannot destructure property '{first}' of 'req.body' as it is undefined.")
}

/// The member, where it is there and of this type.
pub(crate) fn member<T: DeserializeOwned>(members: &Members, name: &str) -> Option<T> {
    serde_json::from_str(members.get(name)?.get()).ok()
}

/// The member, where it is a text with something in it.
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
