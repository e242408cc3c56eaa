use std::borrow::Cow;
use std::fmt;

use http::response::Parts;
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Map, Value};

use crate::content_coding;
use crate::open::open_enum;
use crate::rate_limit::RateLimit;
use crate::retry_after::RetryAfter;
use crate::secret::{CUT, Redactor};
use crate::tolerant;
use crate::utf_8::char_boundary;

/// A request that was not made, because the relay would refuse it, misread it or quietly ignore part of it.
///
/// Nothing has been sent when this is returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {problem}", shown(field))]
pub struct InvalidRequest {
    field: Cow<'static, str>,
    problem: Problem,
}

impl InvalidRequest {
    /// For operations of your own: `field` is the name that its user has written, that of the field or setter.
    pub fn new(field: impl Into<Cow<'static, str>>, problem: Problem) -> Self {
        Self {
            field: field.into(),
            problem,
        }
    }

    /// Returns what is wrong, by the name that was written in Rust, that of a field or a setter: `options.max_turns`.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The rule that it breaks.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// The rule that an [`InvalidRequest`] breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
// Deliberately exhaustive: the fields of its variants, since operations of your own refuse values with them, too.
pub enum Problem {
    /// It has to be there and to hold something.
    #[error("must not be empty")]
    Empty,
    /// It has to be there; the text says more.
    #[error("is not set: {0}")]
    NotSet(&'static str),
    /// It would be resolved away as a path segment.
    #[error("must not be `.` or `..`")]
    DotSegment,
    /// It holds a control character, such as a line break.
    #[error("must not hold control characters")]
    ControlCharacter,
    /// It is longer than the limit, in bytes.
    #[error("must not be longer than {limit} bytes")]
    TooLong {
        /// The most bytes that are taken.
        limit: usize,
    },
    /// With it the body of the request is longer than the relay takes, in bytes.
    #[error("must not make the request longer than {limit} bytes: {instead}")]
    BodyTooLong {
        /// The most bytes that are taken.
        limit: usize,
        /// What to do.
        instead: &'static str,
    },
    /// It makes sense only together with another member.
    #[error("needs `{0}`")]
    Needs(&'static str),
    /// It is outside of what the relay takes.
    #[error("must be {0}")]
    MustBe(&'static str),
    /// What is in it is not what the relay takes.
    #[error("must hold {0}")]
    MustHold(&'static str),
    /// The route has no place for it.
    #[error("is not a parameter of this request")]
    NoPlace,
    /// The request belongs to another route.
    #[error("belongs to another route")]
    OtherRoute,
    /// It cannot be written or read as JSON; the text says where.
    #[error("is not readable: {}", shown(.0))]
    Unreadable(String),
}

/// Why an answer is not a result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The relay answered with an error.
    #[error(transparent)]
    Api(#[from] Box<ApiError>),
    /// The relay answered with success, in a form that cannot be read.
    #[error(transparent)]
    InvalidResponse(#[from] InvalidResponse),
}

impl ResponseError {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Api(error) => error.status(),
            Self::InvalidResponse(error) => error.status(),
        }
    }

    /// The same with every occurrence of `secrets` shown as `***`.
    #[must_use]
    pub fn redacted(self, secrets: &[&str]) -> Self {
        let redactor = Redactor::new(secrets);
        match self {
            Self::Api(error) => Self::Api(Box::new(error.redacted(&redactor))),
            Self::InvalidResponse(error) => Self::InvalidResponse(error.redacted(&redactor)),
        }
    }
}

open_enum! {
    /// What the relay calls an error. The list is open: others are carried as `Other`.
    ErrorCode {
        /// 400, also 403 when a token is not for this agent.
        InvalidRequest = "invalid_request",
        /// The body is not JSON, or longer than 10 MB.
        InvalidJson = "invalid_json",
        /// A member of a vault request breaks a rule.
        ValidationError = "validation_error",
        /// The key or token is missing or unknown.
        Unauthorized = "unauthorized",
        /// The key or token may not do this.
        Forbidden = "forbidden",
        /// Tokens may not manage vaults.
        ApiKeyRequired = "api_key_required",
        /// There is no such vault or credential.
        NotFound = "not_found",
        /// There is no such agent.
        AgentNotFound = "agent_not_found",
        /// There is no such sandbox.
        SandboxNotFound = "sandbox_not_found",
        /// There is no such thread in this sandbox.
        ThreadNotFound = "thread_not_found",
        /// There is no such file; also when the provider has lost the sandbox.
        FileNotFound = "file_not_found",
        /// There is no such stream.
        StreamNotFound = "stream_not_found",
        /// It exists already, or is in a state that forbids this.
        Conflict = "conflict",
        /// The conversation cannot be continued in this sandbox.
        SessionExpired = "session_expired",
        /// The sandbox cannot be reached.
        SandboxUnavailable = "sandbox_unavailable",
        /// The sandbox answered with an error.
        SandboxError = "sandbox_error",
        /// A command ran longer than its time limit; its output is lost.
        CommandTimeout = "command_timeout",
        /// `git clone` failed; the message is git's own.
        GitCloneFailed = "git_clone_failed",
        /// A pull request could not be made.
        CreatePrFailed = "create_pr_failed",
        /// A run is streaming already.
        StreamActive = "stream_active",
        /// The account cannot pay yet; `setup_url` is among the extra members.
        BillingNotReady = "billing_not_ready",
        /// A cost cap is reached; `spentUsd` and `limitUsd` are among the extra members.
        BudgetExceeded = "budget_exceeded",
        /// Too many requests.
        RateLimitExceeded = "rate_limit_exceeded",
        /// A vault cannot be used for this run.
        VaultResolutionFailed = "vault_resolution_failed",
        /// The sandbox provider cannot use vaults.
        VaultUnsupportedForProvider = "vault_unsupported_for_provider",
        /// The vaults do not cover all MCP servers; `missing` is among the extra members.
        VaultCoverageMissing = "vault_coverage_missing",
        /// A vault holds at most 20 active credentials.
        CredentialCapExceeded = "credential_cap_exceeded",
        /// Anything else, permanent ones too: a missing file, an id of the wrong form.
        InternalError = "internal_error",
    }
}

/// An answer of the relay, or of something in front of it, that says no.
///
/// All four shapes that occur are read: `{"error": {"code", "message", …}}`, `{"error": "text"}`,
/// `{"error": "code", "message", "status"}`, and everything else (HTML pages, empty bodies), where the status speaks.
#[derive(Clone, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    code: Option<ErrorCode>,
    message: String,
    extra: Map<String, Value>,
    retry_after: Option<RetryAfter>,
    rate_limit: Option<RateLimit>,
    location: Option<String>,
    request_id: Option<String>,
    body: String,
}

/// How much of an answer's body an error keeps, in bytes.
const KEPT_BODY: usize = 4 * 1024;

/// How much of a message `Display` shows, in bytes: the relay may send SQL text with a conversation in it.
const SHOWN: usize = 300;

impl ApiError {
    /// Reads the answer. `body` may be only the beginning of a long one: the status is known all the same.
    ///
    /// A body with a content coding is not read.
    pub fn new(head: &Parts, body: &[u8]) -> Self {
        let unreadable = content_coding::unreadable(&head.headers);
        let body = if unreadable.is_some() { b"" } else { body };
        let mut error = Self {
            status: head.status,
            code: None,
            message: String::new(),
            extra: Map::new(),
            retry_after: None,
            rate_limit: RateLimit::from_headers(&head.headers),
            location: header_text(&head.headers, &[header::LOCATION]),
            request_id: header_text(&head.headers, &REQUEST_IDS),
            body: beginning(
                &String::from_utf8_lossy(&body[..body.len().min(2 * KEPT_BODY)]),
                KEPT_BODY,
            )
            .into_owned(),
        };
        if let Some(members) = tolerant::object(body) {
            error.read(members);
        } else if let Ok(text) = tolerant::from_slice(body) {
            error.message = text;
        } else {
            let text = error.body.trim_start_matches('\u{feff}').trim();
            if !text.starts_with(['<', '{', '[']) {
                error.message = text.to_owned();
            }
        }
        error.retry_after = RetryAfter::of_error(&head.headers, error.extra.get("retryAfter"));
        if let Some(problem) = unreadable {
            error.message = problem;
        }
        if error.message.is_empty() {
            error.message = head
                .status
                .canonical_reason()
                .unwrap_or("no message")
                .to_owned();
        }
        error
    }

    fn read(&mut self, mut members: Map<String, Value>) {
        let message = text_of(&mut members, "message");
        match members.remove("error") {
            Some(Value::Object(mut inner)) => {
                self.code = text_of(&mut inner, "code").map(|code| ErrorCode::from(code.as_str()));
                self.message = text_of(&mut inner, "message")
                    .or(message)
                    .unwrap_or_default();
                members.append(&mut inner);
            }
            Some(Value::String(text)) => match message {
                Some(message) => {
                    self.code = Some(ErrorCode::from(text.as_str()));
                    self.message = message;
                }
                None => self.message = text,
            },
            other => {
                self.code =
                    text_of(&mut members, "code").map(|code| ErrorCode::from(code.as_str()));
                self.message = message.unwrap_or_default();
                members.extend(other.map(|other| ("error".to_owned(), other)));
            }
        }
        if members.get("status").and_then(Value::as_u64) == Some(self.status.as_u16().into()) {
            members.remove("status");
        }
        self.extra = members;
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What the relay calls the error, where it says.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.code.as_ref()
    }

    /// Whether something that the request names is not there.
    ///
    /// That is a 404, and one 500: of a file that was to be read and does not exist, the relay only hands on what its provider says. It counts
    /// where the code is `internal_error` and the whole message is `path '…' does not exist`, or begins with `ENOENT`; every other
    /// 500 may have another cause.
    pub fn is_not_found(&self) -> bool {
        let says_so = || {
            let message = self.message.trim();
            let is_of_provider =
                message.starts_with("path '") && message.ends_with("' does not exist");
            is_of_provider || message.starts_with("ENOENT")
        };
        self.status == StatusCode::NOT_FOUND
            || (self.code == Some(ErrorCode::InternalError) && says_so())
    }

    /// The relay's message; the status in words, where there is none.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The members of the error beside code, message and status: `missing`, `setup_url`, `spentUsd`, …
    pub fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    /// How long to wait before another try, from the header `retry-after` or the member `retryAfter`.
    pub fn retry_after(&self) -> Option<RetryAfter> {
        self.retry_after
    }

    /// How many requests the relay takes, where it says.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit
    }

    /// Where a redirect points. It is never followed: the key would travel there.
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// What the relay, or something in front of it, calls this exchange, for support requests.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The beginning of the answer's body, at most 4 KiB.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Whether it is the relay that speaks, by one of its three shapes, and not something before it.
    pub(crate) fn is_of_relay(&self) -> bool {
        let members = tolerant::object(self.body.as_bytes());
        self.code.is_some() || members.is_some_and(|members| members.contains_key("error"))
    }

    fn redacted(mut self, redactor: &Redactor) -> Self {
        self.message = redactor.redact(&self.message);
        self.body = redactor.redact(&self.body);
        self.location = self.location.map(|location| redactor.redact(&location));
        self.request_id = self.request_id.map(|id| redactor.redact(&id));
        if let Some(ErrorCode::Other(code)) = &self.code {
            self.code = Some(ErrorCode::Other(redactor.redact(code).into()));
        }
        self.extra = redactor.redact_members(self.extra);
        self
    }
}

impl std::error::Error for ApiError {}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the relay answered {}", self.status.as_u16())?;
        if let Some(code) = &self.code {
            write!(f, " {}", shown(code.as_str()))?;
        }
        write!(f, ": {}", shown(self.message.trim_end()))?;
        match &self.location {
            Some(location) => write!(
                f,
                " (it points to {}, which is not followed)",
                shown(location)
            ),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("status", &self.status.as_u16())
            .field("code", &self.code)
            .field("message", &beginning(&self.message, SHOWN))
            .field("extra", &self.extra)
            .field("retry_after", &self.retry_after)
            .field("rate_limit", &self.rate_limit)
            .field("location", &self.location)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// An answer with a status of success that is not what the documents promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the relay answered {}, which is not understood: {}", status.as_u16(), shown(problem))]
pub struct InvalidResponse {
    status: StatusCode,
    problem: String,
    body: String,
}

impl InvalidResponse {
    /// `problem` is one clause that says what does not fit.
    pub fn new(head: &Parts, problem: impl fmt::Display, body: &[u8]) -> Self {
        Self {
            status: head.status,
            problem: beginning(&problem.to_string(), SHOWN).into_owned(),
            body: beginning(
                &String::from_utf8_lossy(&body[..body.len().min(2 * KEPT_BODY)]),
                KEPT_BODY,
            )
            .into_owned(),
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What does not fit.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// The beginning of the answer's body, at most 4 KiB; empty where such an answer may hold a secret.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The same, without anything that was in the answer: for answers that hold a secret.
    #[must_use]
    pub fn without_content(mut self) -> Self {
        "its content is withheld, as it may hold a secret".clone_into(&mut self.problem);
        self.body.clear();
        self
    }

    fn redacted(mut self, redactor: &Redactor) -> Self {
        self.problem = redactor.redact(&self.problem);
        self.body = redactor.redact(&self.body);
        self
    }
}

/// `text`, or its beginning with a mark where it is longer than `limit` bytes.
fn beginning(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let end = char_boundary(text, limit);
    Cow::Owned(format!("{}{CUT}", &text[..end]))
}

/// Returns a foreign text as it may stand in an error: on one line, at most about 300 bytes of it, and with nothing in it that is obeyed but not seen.
///
/// Line breaks and other control characters become blanks. Characters that have no shape of their own, such as those that turn the direction of
/// writing around (U+202E), are written out as `\u{202e}`.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for char in beginning(text, SHOWN).chars() {
        match char {
            '\u{2028}' | '\u{2029}' => shown.push(' '),
            _ if char.is_control() => shown.push(' '),
            _ if is_invisible(char) => shown.extend(char.escape_unicode()),
            _ => shown.push(char),
        }
    }
    shown
}

/// Whether a character is one of Unicode's format characters (Cf), fillers, or supplementary variation selectors.
fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn text_of(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.get_mut(name) {
        Some(Value::String(text)) => {
            let text = std::mem::take(text);
            members.remove(name);
            Some(text)
        }
        _ => None,
    }
}

/// The headers in which servers and proxies name an exchange; there is no standard.
const REQUEST_IDS: [HeaderName; 5] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-vercel-id"),
    HeaderName::from_static("cf-ray"),
];

/// The first of these headers that is there, bounded.
fn header_text(headers: &HeaderMap, names: &[HeaderName]) -> Option<String> {
    let value = names.iter().find_map(|name| headers.get(name))?;
    Some(beginning(&String::from_utf8_lossy(value.as_bytes()), KEPT_BODY).into_owned())
}
