use http::StatusCode;
use twentyfirst_protocol::ErrorCode;

use crate::responses::Refusal;

pub(super) fn not_found(what: &str) -> Refusal {
    Refusal::Flat(
        StatusCode::NOT_FOUND,
        ErrorCode::NotFound,
        format!("{what} not found"),
    )
}

pub(super) fn conflict(message: &str) -> Refusal {
    Refusal::Flat(
        StatusCode::CONFLICT,
        ErrorCode::Conflict,
        message.to_owned(),
    )
}

pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::Flat(
        StatusCode::BAD_REQUEST,
        ErrorCode::ValidationError,
        message.into(),
    )
}

pub(super) fn internal(message: impl Into<String>) -> Refusal {
    Refusal::Flat(
        StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::InternalError,
        message.into(),
    )
}
