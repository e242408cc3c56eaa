//! Responses of the relay: JSON, streams, and its four shapes of errors.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use twentyfirst_protocol::ErrorCode;

pub(crate) type RelayResponse = Response<ResponseBody>;

/// The body of a response: complete bytes, or a stream.
pub(crate) enum ResponseBody {
    Bytes(Bytes),
    Stream(mpsc::Receiver<io::Result<Bytes>>),
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(stream) => stream
                .poll_recv(context)
                .map(|bytes| bytes.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

pub(crate) fn json_response<T: Serialize>(status: StatusCode, value: &T) -> RelayResponse {
    match serde_json::to_vec(value) {
        Ok(text) => tagged(with_type(
            status,
            "application/json; charset=utf-8",
            text.into(),
        )),
        Err(_) => html(
            StatusCode::INTERNAL_SERVER_ERROR,
            "<pre>Internal Server Error</pre>",
        ),
    }
}

pub(crate) fn empty(status: StatusCode) -> RelayResponse {
    let mut response = Response::new(ResponseBody::Bytes(Bytes::new()));
    *response.status_mut() = status;
    response
}

pub(crate) fn stream(stream: mpsc::Receiver<io::Result<Bytes>>) -> RelayResponse {
    let mut response = Response::new(ResponseBody::Stream(stream));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    response
}

fn with_type(status: StatusCode, content_type: &'static str, content: Bytes) -> RelayResponse {
    let mut response = Response::new(ResponseBody::Bytes(content));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds an `ETag` of the content.
fn tagged(mut response: RelayResponse) -> RelayResponse {
    if let ResponseBody::Bytes(content) = response.body() {
        let digest = Sha256::digest(content);
        let tag = STANDARD_NO_PAD.encode(&digest[..20]);
        let tag = format!("W/\"{:x}-{tag}\"", content.len());
        if let Ok(tag) = HeaderValue::try_from(tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
    }
    response
}

/// Returns the response, or 304 if the client has the same content already.
pub(crate) fn unless_known(
    response: RelayResponse,
    method: &Method,
    request_headers: &HeaderMap,
) -> RelayResponse {
    let may_be_known = (method == Method::GET || method == Method::HEAD)
        && response.status().is_success()
        && !directives(request_headers).any(|directive| directive == "no-cache");
    let Some(tag) = response
        .headers()
        .get(header::ETAG)
        .filter(|_| may_be_known)
    else {
        return response;
    };
    let known = request_headers.get(header::IF_NONE_MATCH);
    let known = known
        .and_then(|known| known.to_str().ok())
        .unwrap_or_default();
    let is_same = |known: &str| {
        // A weak comparison (RFC 9110, section 8.8.3.2): the tags here are weak.
        known == "*" || known.trim_start_matches("W/").as_bytes() == &tag.as_bytes()[2..]
    };
    if !known.split(',').map(str::trim).any(is_same) {
        return response;
    }
    let mut unchanged = empty(StatusCode::NOT_MODIFIED);
    unchanged.headers_mut().insert(header::ETAG, tag.clone());
    unchanged
}

fn directives(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::CACHE_CONTROL).into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',').map(str::trim))
}

/// Returns an error page of the relay's web framework.
fn html(status: StatusCode, text: &str) -> RelayResponse {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n\
         <body>\n{text}\n</body>\n</html>\n"
    );
    let mut response = with_type(status, "text/html; charset=utf-8", page.into());
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// An error response, in one of the relay's four shapes.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// `{"error": {"code", "message", …}}`: sandboxes and chat.
    Coded {
        status: StatusCode,
        code: ErrorCode,
        message: String,
        extra: Map<String, Value>,
    },
    /// `{"error": "text"}`: authorization and tokens.
    Text(StatusCode, String),
    /// `{"error": "code", "message", "status"}`: vaults and malformed JSON.
    Flat(StatusCode, ErrorCode, String),
    /// The third shape, for a key that has reached this limit of requests to vaults.
    TooManyRequests(u32),
    /// An HTML page.
    Html(StatusCode, String),
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Coded {
            status,
            code,
            message: message.into(),
            extra: Map::new(),
        }
    }

    /// Adds members beside code and message.
    pub(crate) fn with(
        status: StatusCode,
        code: ErrorCode,
        message: impl Into<String>,
        extra: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        Self::Coded {
            status,
            code,
            message: message.into(),
            extra: extra
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::InternalError,
            message,
        )
    }

    pub(crate) fn invalid_json() -> Self {
        Self::Flat(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidJson,
            "Request body must be valid JSON".to_owned(),
        )
    }

    pub(crate) fn sandbox_not_found(id: &str) -> Self {
        let message = format!("Sandbox \"{id}\" not found");
        Self::new(StatusCode::NOT_FOUND, ErrorCode::SandboxNotFound, message)
    }

    pub(crate) fn agent_not_found(slug: &str) -> Self {
        let message = format!("Agent \"{slug}\" not found");
        Self::new(StatusCode::NOT_FOUND, ErrorCode::AgentNotFound, message)
    }

    /// Returns the page of the relay's framework for a path without a route.
    pub(crate) fn no_route(method: &http::Method, path: &str) -> Self {
        let path = path
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;");
        Self::Html(StatusCode::NOT_FOUND, format!("Cannot {method} {path}"))
    }

    /// Returns the page of the relay's framework for a handler that throws.
    pub(crate) fn crash() -> Self {
        Self::Html(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal Server Error".to_owned(),
        )
    }
}

impl From<Refusal> for RelayResponse {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Coded {
                status,
                code,
                message,
                extra,
            } => {
                let mut error = Map::new();
                error.insert("code".to_owned(), code.as_str().into());
                error.insert("message".to_owned(), message.into());
                error.extend(extra);
                json_response(status, &json!({ "error": error }))
            }
            Refusal::Text(status, text) => json_response(status, &json!({ "error": text })),
            Refusal::Flat(status, code, message) => json_response(
                status,
                &json!({ "error": code.as_str(), "message": message, "status": status.as_u16() }),
            ),
            Refusal::TooManyRequests(limit) => {
                let mut response = Self::from(Refusal::Flat(
                    StatusCode::TOO_MANY_REQUESTS,
                    ErrorCode::RateLimitExceeded,
                    "API key request limit exceeded".to_owned(),
                ));
                let headers = response.headers_mut();
                headers.insert("x-ratelimit-limit", limit.into());
                headers.insert("x-ratelimit-remaining", 0.into());
                response
            }
            Refusal::Html(status, text) => html(status, &format!("<pre>{text}</pre>")),
        }
    }
}
