use http::StatusCode;

use crate::error::{ApiError, ErrorCode, ResponseError};
use crate::flow::{ExchangeError, ExchangeErrorKind, Failure, Sent};

/// The expected result of sending the same request again. This is the one place that decides which errors are transient.
///
/// [`Attempts`](super::retry::Attempts) decides whether the request *may* be sent again.
///
/// | | |
/// |---|---|
/// | no response; 408, 425, 429, 500, 502, 503, 504 | `Improves` |
/// | 404 and 410 from the relay itself | `Gone` |
/// | any other status from 400 to 499, except 409 | `Refused` |
/// | a response that exceeds the size limit | `TooLarge` |
/// | a transient status with a permanent code, such as `billing_not_ready`; a 429 because a quota is used up; 409; a 404 of a proxy; everything else | `Stays` |
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
    /// It probably fails the same way, although the state at the relay may change.
    Stays,
    /// It is refused.
    Refused,
    /// The object that it names no longer exists.
    Gone,
    /// Its response exceeds the size limit.
    TooLarge,
}

impl Prospect {
    /// Returns the prospect for a status of the relay alone.
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            408 | 425 | 429 | 500 | 502 | 503 | 504 => Self::Improves,
            404 | 410 => Self::Gone,
            409 => Self::Stays,
            400..=499 => Self::Refused,
            _ => Self::Stays,
        }
    }

    /// Returns the prospect for an error response.
    pub fn of_response(error: &ApiError) -> Self {
        match Self::of_status(error.status()) {
            Self::Improves if error.code().is_some_and(stays) || is_used_up(error) => Self::Stays,
            // A proxy may miss the route for a while, as during a deployment of the relay.
            Self::Gone if !error.is_of_relay() => Self::Stays,
            prospect => prospect,
        }
    }

    /// Returns the prospect for a failed call.
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
            // A request that was not sent, for want of a token, may succeed later.
            (true, Sent::No) => Self::Stays,
        }
    }
}

/// Returns whether a 429 means a used-up quota and not a high rate of requests: its code says so, or its limit is 0, and it has
/// no retry-after.
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

/// Returns whether an error with this code is permanent, whatever its status.
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
