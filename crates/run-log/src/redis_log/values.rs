//! Parsing of replies and errors from Redis.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use redis::{ErrorKind, RedisError, ServerError, Value};
use twentyfirst_protocol::run_log::Position;

use crate::{AppendError, ReadError};

/// The failure of a call. Unlike [`ReadError`] it can be cloned, for all readers of one flight.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    Missing,
    /// From appends only.
    Fenced,
    Redis(RedisError),
    Foreign(Foreign),
}

/// An error of redis-rs. Its text contains that of its direct source, which is therefore skipped in `source()`.
#[derive(Debug)]
struct Cause(RedisError);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()?.source()
    }
}

pub(super) fn cause(error: RedisError) -> crate::Cause {
    Box::new(Cause(error))
}

/// A key holds something other than a log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the key of the log in Redis has {0}, which no run log wrote: choose another prefix")]
pub(super) struct Foreign(&'static str);

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<Foreign> for Failure {
    fn from(error: Foreign) -> Self {
        Self::Foreign(error)
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Missing => Self::Missing,
            Failure::Redis(error) => Self::Unavailable(cause(error)),
            Failure::Fenced => Self::Unavailable("a read cannot be fenced".into()),
            Failure::Foreign(error) => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<Failure> for AppendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Missing => Self::Missing,
            Failure::Fenced => Self::Fenced,
            Failure::Redis(error) if has_code(&error, "OOM") => Self::Full(cause(error)),
            Failure::Redis(error) => Self::Unavailable(cause(error)),
            Failure::Foreign(error) => Self::Unavailable(Box::new(error)),
        }
    }
}

/// Returns whether the server replied with an error of this code to any of the commands.
pub(super) fn has_code(error: &RedisError, code: &str) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == code))
}

/// Returns whether `XADD` was refused because of its position.
///
/// Redis has no error code for this. The texts are the same in Redis 5 to 8 and in Valkey.
pub(super) fn is_not_above(error: &ServerError) -> bool {
    let details = error.details().unwrap_or_default();
    [
        "equal or smaller than the target stream top item",
        "must be greater than 0-0",
        "exhausted the last possible ID",
    ]
    .iter()
    .any(|text| details.contains(text))
}

/// Returns the replies to the commands between `MULTI` and `EXEC`, or the first error of a refused command.
///
/// Does not use `Pipeline::atomic` of redis-rs, which miscounts the replies if `MULTI` itself is refused (1.8.1).
pub(super) fn executed(mut replies: Vec<Value>) -> Result<Vec<Value>, RedisError> {
    let executed = replies.pop();
    // Before the reply to `EXEC`, which says only that an earlier command was refused.
    for queued in replies {
        queued.extract_error()?;
    }
    match executed {
        Some(Value::Array(replies)) => Ok(replies),
        Some(Value::ServerError(error)) => Err(error.into()),
        _ => Err((ErrorKind::UnexpectedReturnType, "unexpected reply to EXEC").into()),
    }
}

/// Returns exactly `N` replies.
pub(super) fn replies<const N: usize>(values: Vec<Value>) -> Result<[Value; N], Failure> {
    let count = values.len();
    <[Value; N]>::try_from(values).map_err(|_| {
        let detail = format!("{N} replies expected, {count} received");
        RedisError::from((ErrorKind::UnexpectedReturnType, "unexpected reply", detail)).into()
    })
}

/// Parses the entries in a reply to `XRANGE` or `XREVRANGE`.
pub(super) fn entries(value: Value) -> Result<Vec<(Position, Bytes)>, Failure> {
    match value.extract_error()? {
        Value::Array(entries) => entries.into_iter().map(entry).collect(),
        Value::Nil => Ok(Vec::new()),
        _ => Err(Foreign("content other than entries").into()),
    }
}

fn entry(value: Value) -> Result<(Position, Bytes), Failure> {
    let Value::Array(pair) = value else {
        return Err(Foreign("a malformed entry").into());
    };
    let Ok([id, fields]) = <[Value; 2]>::try_from(pair) else {
        return Err(Foreign("a malformed entry").into());
    };
    let id = match &id {
        Value::BulkString(id) => std::str::from_utf8(id).ok(),
        Value::SimpleString(id) => Some(id.as_str()),
        _ => None,
    };
    let at = id.and_then(|id| id.parse().ok());
    let fields = match fields {
        Value::Array(fields) => <[Value; 2]>::try_from(fields).ok(),
        _ => None,
    };
    match (at, fields) {
        (Some(at), Some([Value::BulkString(field), Value::BulkString(bytes)]))
            if field == super::FIELD.as_bytes() =>
        {
            Ok((at, bytes.into()))
        }
        _ => Err(Foreign("an entry with other fields").into()),
    }
}
