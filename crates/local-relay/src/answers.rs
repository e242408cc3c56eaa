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

pub(crate) type Answer = Response<AnswerBody>;

/// The body of an answer: bytes at hand, or bytes as they come.
pub(crate) enum AnswerBody {
    Bytes(Bytes),
    Stream(mpsc::Receiver<io::Result<Bytes>>),
}

impl http_body::Body for AnswerBody {
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

pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
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

pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(AnswerBody::Bytes(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

pub(crate) fn stream(stream: mpsc::Receiver<io::Result<Bytes>>) -> Answer {
    let mut answer = Response::new(AnswerBody::Stream(stream));
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    answer
}

fn with_type(status: StatusCode, content_type: &'static str, content: Bytes) -> Answer {
    let mut answer = Response::new(AnswerBody::Bytes(content));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// With an `ETag`, which tells the content.
fn tagged(mut answer: Answer) -> Answer {
    if let AnswerBody::Bytes(content) = answer.body() {
        let digest = Sha256::digest(content);
        let tag = STANDARD_NO_PAD.encode(&digest[..20]);
        let tag = format!("W/\"{:x}-{tag}\"", content.len());
        if let Ok(tag) = HeaderValue::try_from(tag) {
            answer.headers_mut().insert(header::ETAG, tag);
        }
    }
    answer
}

/// An answer, or 304 where whoever asks has it already.
pub(crate) fn unless_known(answer: Answer, method: &Method, asked: &HeaderMap) -> Answer {
    let may_be_known = (method == Method::GET || method == Method::HEAD)
        && answer.status().is_success()
        && !directives(asked).any(|directive| directive == "no-cache");
    let Some(tag) = answer.headers().get(header::ETAG).filter(|_| may_be_known) else {
        return answer;
    };
    let known = asked.get(header::IF_NONE_MATCH);
    let known = known
        .and_then(|known| known.to_str().ok())
        .unwrap_or_default();
    let is_same = |known: &str| {
        known == "*" || known.trim_start_matches("W/").as_bytes() == &tag.as_bytes()[2..]
    };
    if !known.split(',').map(str::trim).any(is_same) {
        return answer;
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

/// The page that the relay's web framework answers with.
fn html(status: StatusCode, text: &str) -> Answer {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n\
         <body>\n{text}\n</body>\n</html>\n"
    );
    let mut answer = with_type(status, "text/html; charset=utf-8", page.into());
    answer.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}

/// An answer that says no, in one of the relay's four shapes.
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
    /// `{"error": "code", "message", "status"}`: vaults and JSON that cannot be read.
    Flat(StatusCode, ErrorCode, String),
    /// The third shape for a key that has made this many requests to vaults and may make no more.
    TooManyRequests(u32),
    /// A page.
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

    /// With further members beside code and message.
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

    /// What the relay's framework says where nothing has a route.
    pub(crate) fn no_route(method: &http::Method, path: &str) -> Self {
        let path = path
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;");
        Self::Html(StatusCode::NOT_FOUND, format!("Cannot {method} {path}"))
    }

    /// What the relay's framework says when a handler throws.
    pub(crate) fn crash() -> Self {
        Self::Html(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal Server Error".to_owned(),
        )
    }
}

impl From<Refusal> for Answer {
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
                json(status, &json!({ "error": error }))
            }
            Refusal::Text(status, text) => json(status, &json!({ "error": text })),
            Refusal::Flat(status, code, message) => json(
                status,
                &json!({ "error": code.as_str(), "message": message, "status": status.as_u16() }),
            ),
            Refusal::TooManyRequests(limit) => {
                let mut answer = Self::from(Refusal::Flat(
                    StatusCode::TOO_MANY_REQUESTS,
                    ErrorCode::RateLimitExceeded,
                    "API key request limit exceeded".to_owned(),
                ));
                let headers = answer.headers_mut();
                headers.insert("x-ratelimit-limit", limit.into());
                headers.insert("x-ratelimit-remaining", 0.into());
                answer
            }
            Refusal::Html(status, text) => html(status, &format!("<pre>{text}</pre>")),
        }
    }
}
