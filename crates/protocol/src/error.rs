use std::borrow::Cow;
use std::fmt;

use http::response::Parts;
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Map, Value};

use crate::open::open_enum;
use crate::operation::unreadable_coding;
use crate::rate_limit::RateLimit;
use crate::retry_after::RetryAfter;
use crate::scan::char_boundary;
use crate::secret::{CUT, Redactor};
use crate::tolerant;

/// A request that was not sent, because the relay would refuse it, misread it or silently ignore part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {problem}", shown(field))]
pub struct InvalidRequest {
    field: Cow<'static, str>,
    problem: Problem,
}

impl InvalidRequest {
    /// Creates an error for an operation of your own. `field` is the name of the field or setter in Rust: `options.max_turns`.
    pub fn new(field: impl Into<Cow<'static, str>>, problem: Problem) -> Self {
        Self {
            field: field.into(),
            problem,
        }
    }

    /// Creates the error for a URI that is longer than `http` accepts.
    pub(crate) fn uri_too_long() -> Self {
        // One less than a `u16` can hold: `http` keeps that value for itself.
        let limit = usize::from(u16::MAX) - 1;
        Self::new("path", Problem::TooLong { limit })
    }

    /// Returns the name of the invalid field or setter in Rust: `options.max_turns`.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns the rule that the request breaks.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// The rule that an [`InvalidRequest`] breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
// Deliberately exhaustive: each variant, because operations of your own construct it with all its fields.
pub enum Problem {
    /// A required value is missing or empty.
    #[error("must not be empty")]
    Empty,
    /// A required value is not set. The text says what sets it.
    #[error("is not set: {0}")]
    NotSet(&'static str),
    /// It is `.` or `..`, which URL parsers remove from a path.
    #[error("must not be `.` or `..`")]
    DotSegment,
    /// It contains a control character, such as a line break.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// It is longer than the limit.
    #[error("must not be longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// It makes the body of the request longer than the relay accepts.
    #[error("must not make the request longer than {limit} bytes: {instead}")]
    BodyTooLong {
        /// The limit in bytes.
        limit: usize,
        /// The advice: another way to send it.
        instead: &'static str,
    },
    /// It requires the member that the text names.
    #[error("requires `{0}`")]
    Needs(&'static str),
    /// It is outside the range, or not of the form, that the text describes.
    #[error("must be {0}")]
    MustBe(&'static str),
    /// Its content breaks the rule in the text.
    #[error("must contain {0}")]
    MustContain(&'static str),
    /// It is not a parameter of the route.
    #[error("is not a parameter of this request")]
    UnknownParameter,
    /// The request belongs to another route.
    #[error("belongs to another route")]
    OtherRoute,
    /// It cannot be written or read as JSON; the text says where.
    #[error("is not readable: {}", shown(.0))]
    Unreadable(String),
}

/// An error response of the relay, or an invalid one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The relay responded with an error.
    #[error(transparent)]
    Api(#[from] Box<ApiError>),
    /// The relay responded with a success that cannot be read.
    #[error(transparent)]
    InvalidResponse(#[from] InvalidResponse),
}

impl ResponseError {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Api(error) => error.status(),
            Self::InvalidResponse(error) => error.status(),
        }
    }

    /// Returns the error with every occurrence of `secrets` shown as `***`.
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
    /// The code of a relay error. The list is open: others are carried as `Other`.
    ErrorCode {
        /// The request breaks a rule (400), or the token is not for this agent (403).
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
        /// There is no such file, or the provider has lost the sandbox.
        FileNotFound = "file_not_found",
        /// There is no such stream.
        StreamNotFound = "stream_not_found",
        /// The object exists already, or its state forbids the request.
        Conflict = "conflict",
        /// The conversation cannot be continued in this sandbox.
        SessionExpired = "session_expired",
        /// The sandbox cannot be reached.
        SandboxUnavailable = "sandbox_unavailable",
        /// The sandbox responded with an error.
        SandboxError = "sandbox_error",
        /// A command ran longer than its time limit; its output is lost.
        CommandTimeout = "command_timeout",
        /// `git clone` failed; the message is git's own.
        GitCloneFailed = "git_clone_failed",
        /// The pull request could not be created.
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
        /// The vault has 20 active credentials, and cannot hold more.
        CredentialCapExceeded = "credential_cap_exceeded",
        /// Any other error, temporary or permanent: a missing file and a malformed id have this code, too.
        InternalError = "internal_error",
    }
}

/// An error response of the relay, or of a proxy in front of it.
///
/// Reads the three shapes of the relay, and any other body:
///
/// - `{"error": {"code", "message", …}}`
/// - `{"error": "text"}`
/// - `{"error": "code", "message", "status"}`
/// - plain text, which is the message
/// - anything else, such as an HTML page or an empty body: only the status counts
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

/// The number of bytes that an error keeps of the response body.
const KEPT_BODY: usize = 4 * 1024;

/// The number of bytes that `Display` shows of a message. The relay may send SQL text with a conversation in it.
const SHOWN: usize = 300;

impl ApiError {
    /// Reads an error response. `body` may be only the beginning of a long body.
    ///
    /// A body with a content coding is not read.
    pub fn new(head: &Parts, body: &[u8]) -> Self {
        let unreadable = unreadable_coding(&head.headers);
        // Compressed bytes would be shown as nonsense.
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
            // A page or broken JSON is not a message that a person could read.
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
        let message = take_text(&mut members, "message");
        match members.remove("error") {
            // `{"error": {"code", "message", …}}`
            Some(Value::Object(mut inner)) => {
                self.code =
                    take_text(&mut inner, "code").map(|code| ErrorCode::from(code.as_str()));
                self.message = take_text(&mut inner, "message")
                    .or(message)
                    .unwrap_or_default();
                members.append(&mut inner);
            }
            // `{"error": "code", "message"}` or `{"error": "text"}`
            Some(Value::String(text)) => match message {
                Some(message) => {
                    self.code = Some(ErrorCode::from(text.as_str()));
                    self.message = message;
                }
                None => self.message = text,
            },
            // Not the relay's, perhaps a proxy's: take the same members where they are.
            other => {
                self.code =
                    take_text(&mut members, "code").map(|code| ErrorCode::from(code.as_str()));
                self.message = message.unwrap_or_default();
                members.extend(other.map(|other| ("error".to_owned(), other)));
            }
        }
        // A `status` that only repeats the response's own is not an extra member.
        if members.get("status").and_then(Value::as_u64) == Some(self.status.as_u16().into()) {
            members.remove("status");
        }
        self.extra = members;
    }

    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the relay's error code, if it sends one.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.code.as_ref()
    }

    /// Returns whether something that the request names does not exist.
    ///
    /// True for a 404, and for one kind of 500: when a file to read does not exist, the relay passes on its provider's error.
    /// Such a 500 has the code `internal_error` and a message that begins with `ENOENT`, or that is `path '…' does not exist` as
    /// a whole. Any other 500 may have another cause.
    pub fn is_not_found(&self) -> bool {
        let is_missing_file = || {
            let message = self.message.trim();
            let names_path = message.starts_with("path '") && message.ends_with("' does not exist");
            names_path || message.starts_with("ENOENT")
        };
        self.status == StatusCode::NOT_FOUND
            || (self.code == Some(ErrorCode::InternalError) && is_missing_file())
    }

    /// Returns the relay's message. If there is none, returns the status in words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the members of the error other than code, message and status, such as `missing`, `setup_url` and `spentUsd`.
    pub fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    /// Returns the time to wait before the next attempt, from the header `retry-after` or the member `retryAfter`.
    pub fn retry_after(&self) -> Option<RetryAfter> {
        self.retry_after
    }

    /// Returns the rate limit of the relay, if it sends one.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit
    }

    /// Returns the target of a redirect. Redirects are never followed, because that would send the key to another server.
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// Returns the id that the relay or a proxy gave this request, for support requests.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns the beginning of the response body, at most 4 KiB.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Returns whether the body has one of the relay's three shapes. Otherwise a proxy in front of it may have responded.
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
        write!(f, "the relay responded with {}", self.status.as_u16())?;
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

/// A response with a success status whose content does not have the documented form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the relay responded with {}, but the response is invalid: {}", status.as_u16(), shown(problem))]
pub struct InvalidResponse {
    status: StatusCode,
    problem: String,
    body: String,
}

impl InvalidResponse {
    /// Creates the error. `problem` is one clause that says what is wrong with the response.
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

    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the clause that says what is wrong with the response.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// Returns the beginning of the response body, at most 4 KiB. It is empty if the response may hold a secret.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Removes all content of the response from the error. For responses that may hold a secret.
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

/// Returns `text`. If it is longer than `limit` bytes, returns its beginning with a mark at the cut.
fn beginning(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let end = char_boundary(text, limit);
    Cow::Owned(format!("{}{CUT}", &text[..end]))
}

/// Makes a foreign text safe to show in an error: one line, with at most the first 300 bytes of the text.
///
/// Line breaks and other control characters become spaces. Invisible characters are escaped: U+202E, which reverses the direction
/// of writing, becomes `\u{202e}`.
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

/// Returns whether a character is one of Unicode's format characters (Cf), fillers, or supplementary variation selectors.
fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Removes the member `name` and returns its text. A member that is not text stays.
fn take_text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.get_mut(name) {
        Some(Value::String(text)) => {
            let text = std::mem::take(text);
            members.remove(name);
            Some(text)
        }
        _ => None,
    }
}

/// The headers that carry a request id. There is no standard, so these are the common ones.
const REQUEST_IDS: [HeaderName; 5] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-vercel-id"),
    HeaderName::from_static("cf-ray"),
];

/// Returns the value of the first of these headers that is present, at most its first 4 KiB.
fn header_text(headers: &HeaderMap, names: &[HeaderName]) -> Option<String> {
    let value = names.iter().find_map(|name| headers.get(name))?;
    Some(beginning(&String::from_utf8_lossy(value.as_bytes()), KEPT_BODY).into_owned())
}
