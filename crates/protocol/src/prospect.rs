use http::StatusCode;

use crate::error::{ApiError, ErrorCode, ResponseError};
use crate::flow::{ExchangeError, ExchangeErrorKind, Failure, Sent};

/// The expected result of sending a failed request again. This is the one place that decides which errors are transient.
///
/// [`Attempts`](super::retry::Attempts) decides whether the request *may* be sent again.
///
/// | failure | prospect |
/// |---|---|
/// | no response; 408, 425, 429, 500, 502, 503, 504 | `Improves` |
/// | … but with a permanent code, such as `billing_not_ready`, or 429 because a quota is used up | `Stays` |
/// | 404 and 410 from the relay itself | `Gone` |
/// | 404 and 410 from a proxy; 409 | `Stays` |
/// | any other status from 400 to 499; a request that is invalid | `Refused` |
/// | a response that exceeds the size limit | `TooLarge` |
/// | anything else | `Stays` |
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
    /// The request may succeed later.
    Improves,
    /// The request probably fails the same way, unless the state at the relay changes.
    Stays,
    /// The request is refused.
    Refused,
    /// The object that the request names does not exist.
    Gone,
    /// The response exceeds the size limit.
    TooLarge,
}

impl Prospect {
    /// Returns the prospect for a status of the relay, if nothing else is known of the response.
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
            Self::Improves if error.code().is_some_and(is_permanent) || is_used_up(error) => {
                Self::Stays
            }
            // A proxy may lack the route for a while, such as during a deployment of the relay.
            Self::Gone if !error.is_of_relay() => Self::Stays,
            prospect => prospect,
        }
    }

    /// Returns the prospect for a failed exchange.
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

/// Returns whether a 429 means a used-up quota and not a high rate of requests: it has no retry-after, and either its code names a
/// quota or credits, or its rate limit is 0.
fn is_used_up(error: &ApiError) -> bool {
    let names_quota = |code: &ErrorCode| match code {
        ErrorCode::Other(code) => ["quota", "credit"].iter().any(|word| code.contains(word)),
        _ => false,
    };
    let allows_none = error.rate_limit().is_some_and(|rate| rate.limit == 0);
    error.status() == StatusCode::TOO_MANY_REQUESTS
        && error.retry_after().is_none()
        && (allows_none || error.code().is_some_and(names_quota))
}

/// Returns whether an error with this code is permanent, whatever its status.
fn is_permanent(code: &ErrorCode) -> bool {
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
