use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::header::{HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use twentyfirst_protocol::browser::BodyError;
use twentyfirst_protocol::run_log::Usd;
use twentyfirst_protocol::{ApiError, InvalidRequest, shown};
use twentyfirst_transport::Body;

use super::respond::json;
use crate::error::Error;

/// A response that refuses a request: a status, and `{"error": message}`.
///
/// The browser sees the message.
///
/// ```
/// use twentyfirst_client::backend::Refusal;
///
/// let refusal = Refusal::unauthorized("please sign in");
/// assert_eq!(refusal.status(), 401);
/// ```
///
/// Your own routes can respond with it, too: it converts into an [`http::Response`], and so does [`Error`]. With the feature
/// `axum` both are responses of axum, and `?` converts every error of the client into a refusal:
///
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use axum::Json;
/// use axum::extract::State;
/// use twentyfirst_client::backend::Refusal;
/// use twentyfirst_client::{AgentClient, Session, UiMessage};
/// # async fn stored_session() -> Result<Session, Refusal> { Ok(Session::new("my-agent")) }
///
/// async fn messages(State(client): State<AgentClient>) -> Result<Json<Vec<UiMessage>>, Refusal> {
///     let session = stored_session().await?;
///     let thread = client.execute(&session.hydrate()?).await?;
///     Ok(Json(thread.into_ui_messages()))
/// }
/// # let _: axum::Router<AgentClient> = axum::Router::new().route("/", axum::routing::get(messages));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// Creates a refusal with any status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Creates a 400: the request is invalid.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Creates a 401: the user is not signed in.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// Creates a 402: a budget is used up.
    pub fn payment_required(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYMENT_REQUIRED, message)
    }

    /// Creates a 403: the signed-in user is not allowed to do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// Creates a 404: the resource does not exist, or not for this user.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Creates a 409: the state of the resource does not allow the request.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// Creates a 500: this server failed. The message is for the browser; write the reason to your log.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// Sets the delay after which the request may be sent again: the header `retry-after`, in whole seconds.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the message for the browser.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Converts the error of a failed call into what a browser may know of it.
///
/// | the call | the browser |
/// |---|---|
/// | the request is invalid | 400 and the rule |
/// | the relay responded with 400, 402, 404, 409, 410, 413, 422 or 429 | the same, with the relay's message and `retry-after`; for a budget also its limit and the spending |
/// | the relay responded with 503 | 503 with `retry-after` |
/// | the thread is streaming already, the sandbox belongs to another agent, or another run would have been ended | 409 |
/// | there was no response in time; this includes the relay's 408 and 504 | 504 |
/// | anything else; this includes the relay's 401 and 403, as they mean this server's key | 502 |
///
/// The last row carries no details; log the error to see the cause.
impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let refusal = if error.invalid_request().is_some() {
            Self::bad_request(error.to_string())
        } else if let Some(api_error) = error.api_error() {
            let message = message(api_error);
            match api_error.status().as_u16() {
                400 | 402 | 404 | 409 | 410 | 413 | 422 | 429 => {
                    Self::new(api_error.status(), message)
                }
                401 | 403 => Self::bad_gateway("the relay does not accept this server"),
                408 | 504 => Self::timeout(),
                503 => Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the relay is not available",
                ),
                _ => Self::bad_gateway("the relay failed"),
            }
        } else if error.is_thread_streaming() {
            Self::new(StatusCode::CONFLICT, "the thread is already streaming")
        } else if error.other_agent().is_some() {
            Self::new(
                StatusCode::CONFLICT,
                "the conversation belongs to another agent",
            )
        } else if error.other_run().is_some() {
            Self::new(StatusCode::CONFLICT, "another run is going on")
        } else if error.is_timeout() {
            Self::timeout()
        } else if error.is_connect() {
            Self::bad_gateway("the relay cannot be reached")
        } else {
            Self::bad_gateway("the relay failed")
        };
        Self {
            retry_after: error.retry_after(),
            ..refusal
        }
    }
}

/// Returns the relay's message, with the amounts that its response has in addition.
fn message(error: &ApiError) -> String {
    let message = shown(error.message().trim_end());
    let amount = |name: &str| error.extra().get(name)?.as_f64().map(Usd::from_dollars);
    match (amount("spentUsd"), amount("limitUsd")) {
        (Some(spent), Some(limit)) => over_budget(&message, spent, limit),
        _ => message,
    }
}

/// Formats the message for a budget that is exceeded, the relay's or one of this server.
pub(super) fn over_budget(what: &str, spent: Usd, limit: Usd) -> String {
    format!("{what}: {spent} of {limit} spent")
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

/// Converts it into a 400 with the rule that was broken.
impl From<InvalidRequest> for Refusal {
    fn from(error: InvalidRequest) -> Self {
        Self::from(Error::from(error))
    }
}

/// Converts it into a 413 if there are too many messages or parts, and else into a 400.
impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooMany { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl Refusal {
    fn bad_gateway(message: &str) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, message)
    }

    fn timeout() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "the relay did not respond in time",
        )
    }
}

/// Creates the response: the status, the message as JSON, and `retry-after` if it is set.
impl From<Refusal> for Response<Body> {
    fn from(refusal: Refusal) -> Self {
        let content = serde_json::json!({ "error": refusal.message });
        let mut response = json(refusal.status, &content);
        if let Some(delay) = refusal.retry_after {
            // Rounded up, so that a browser does not come back too early.
            let seconds = delay
                .as_secs()
                .saturating_add(u64::from(delay.subsec_nanos() > 0));
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Converts the error into a [`Refusal`], and that into its response.
impl From<Error> for Response<Body> {
    fn from(error: Error) -> Self {
        Refusal::from(error).into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with {}: {}", self.status.as_u16(), self.message)
    }
}

impl StdError for Refusal {}
