use http::StatusCode;

use crate::error::{ApiError, ErrorCode, ResponseError};
use crate::flow::{ExchangeError, ExchangeErrorKind, Failure, Sent};

/// What the same request can be expected to get when it is sent again: the one place that says which errors pass.
///
/// Whether it *may* be sent again is another question, which [`Attempts`](super::retry::Attempts) decides.
///
/// | | |
/// |---|---|
/// | no response; 408, 425, 429, 500, 502, 503, 504 | `Improves` |
/// | 404 and 410 from the relay itself | `Gone` |
/// | any other status from 400 to 499, except 409 | `Refused` |
/// | a response that is longer than is read | `TooLarge` |
/// | a passing status with a code that does not pass, such as `billing_not_ready`; 429 where a quota is used up; 409; 404 of a proxy; all else | `Stays` |
///
/// ```
/// use http::StatusCode;
/// use twentyfirst_protocol::retry::Prospect;
///
/// assert_eq!(Prospect::of_status(StatusCode::SERVICE_UNAVAILABLE), Prospect::Improves);
/// assert_eq!(Prospect::of_status(StatusCode::FORBIDDEN), Prospect::Refused);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prospect {
    /// It may succeed later.
    Improves,
    /// It gets the same, as far as anyone can tell; what is asked for may change all the same.
    Stays,
    /// It is refused.
    Refused,
    /// What it names is not there any more.
    Gone,
    /// Its response is longer than is read.
    TooLarge,
}

impl Prospect {
    /// Returns what a status by itself says, sent by the relay.
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            408 | 425 | 429 | 500 | 502 | 503 | 504 => Self::Improves,
            404 | 410 => Self::Gone,
            409 => Self::Stays,
            400..=499 => Self::Refused,
            _ => Self::Stays,
        }
    }

    /// Returns what an error response says.
    pub fn of_response(error: &ApiError) -> Self {
        match Self::of_status(error.status()) {
            Self::Improves if error.code().is_some_and(stays) || is_used_up(error) => Self::Stays,
            // Something before the relay may know the route no more, as while the relay is deployed anew.
            Self::Gone if !error.is_of_relay() => Self::Stays,
            prospect => prospect,
        }
    }

    /// Returns what the failure of a whole exchange says.
    pub fn of(error: &ExchangeError) -> Self {
        match error.kind() {
            ExchangeErrorKind::Response(ResponseError::Api(error)) => Self::of_response(error),
            ExchangeErrorKind::Response(ResponseError::InvalidResponse(_)) => Self::Stays,
            ExchangeErrorKind::Failure(failure) => Self::of_failure(failure),
            ExchangeErrorKind::InvalidRequest(_) => Self::Refused,
            ExchangeErrorKind::Deadline { .. } => Self::Improves,
        }
    }

    fn of_failure(failure: &Failure) -> Self {
        match (failure.is_permanent(), failure.sent()) {
            (false, _) => Self::Improves,
            (true, Sent::Maybe) => Self::TooLarge,
            // What was not sent, for want of a token, may be sent yet.
            (true, Sent::No) => Self::Stays,
        }
    }
}

/// Whether a 429 is not about how fast requests come, but about something that is used up: its code says so, or its limit is 0, and it
/// does not say when to come again.
fn is_used_up(error: &ApiError) -> bool {
    let is_told = |code: &ErrorCode| match code {
        ErrorCode::Other(code) => ["quota", "credit"].iter().any(|word| code.contains(word)),
        _ => false,
    };
    let is_closed = error.rate_limit().is_some_and(|rate| rate.limit == 0);
    error.status() == StatusCode::TOO_MANY_REQUESTS
        && error.retry_after().is_none()
        && (is_closed || error.code().is_some_and(is_told))
}

/// Whether an error with this code is there to stay, whatever its status.
fn stays(code: &ErrorCode) -> bool {
    use ErrorCode as Code;

    matches!(
        code,
        Code::InvalidRequest
            | Code::InvalidJson
            | Code::ValidationError
            | Code::Unauthorized
            | Code::Forbidden
            | Code::ApiKeyRequired
            | Code::NotFound
            | Code::AgentNotFound
            | Code::SandboxNotFound
            | Code::ThreadNotFound
            | Code::FileNotFound
            | Code::StreamNotFound
            | Code::Conflict
            | Code::SessionExpired
            | Code::CommandTimeout
            | Code::GitCloneFailed
            | Code::CreatePrFailed
            | Code::BillingNotReady
            | Code::BudgetExceeded
            | Code::VaultResolutionFailed
            | Code::VaultUnsupportedForProvider
            | Code::VaultCoverageMissing
            | Code::CredentialCapExceeded
            | Code::InternalError
    )
}
