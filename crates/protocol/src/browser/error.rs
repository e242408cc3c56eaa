use crate::InvalidRequest;
use crate::ui::chunk::json::JsonError;

/// The reason why the body of a browser's request is refused.
///
/// The error never repeats what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is not JSON.
    #[error("the body is not JSON (line {line}, column {column})")]
    #[non_exhaustive]
    NotJson {
        /// The line of the first byte that is not JSON, counted from 1.
        line: usize,
        /// The position of that byte in its line, counted from 1.
        column: usize,
    },
    /// The body has a key with a special meaning in JavaScript.
    #[error("the body has a forbidden key: `__proto__`, or `prototype` within `constructor`")]
    ForbiddenKey,
    /// The body is JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A required member is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A required member is missing in a message.
    #[error("`{0}` is missing in `messages`")]
    MissingInMessage(&'static str),
    /// A member has the wrong type.
    #[error("`{0}` has the wrong type")]
    Unfit(&'static str),
    /// A member is not a string.
    #[error("`{0}` is not a string")]
    NotText(&'static str),
    /// An id contains half a surrogate pair. Replacing it would make different ids equal.
    #[error("`{0}` contains half a surrogate pair")]
    HalfSurrogate(&'static str),
    /// An id breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// An id in the URL is not UTF-8. Replacing the invalid bytes would make different ids equal.
    #[error("an id in the URL is not UTF-8")]
    NotUtf8,
    /// The body asks to regenerate an answer.
    #[error("regenerating a message is not supported: the relay can only append to a conversation")]
    Regenerate,
    /// The `trigger` is unknown.
    #[error("`trigger` is unknown: only `submit-message` is supported")]
    UnknownTrigger,
    /// The conversation does not end with a message of the user. The relay would take the user's last message, wherever it is, and
    /// answer an earlier turn again.
    #[error("the last message must have the role `user`")]
    NoTurn,
    /// There are more messages or parts than [`ChatLimits`](super::ChatLimits) allow.
    #[error("too many {what}: {count} exceed the limit of {limit}")]
    #[non_exhaustive]
    TooMany {
        /// `messages` or `parts`.
        what: &'static str,
        /// The number in the body.
        count: usize,
        /// The limit.
        limit: usize,
    },
}

impl BodyError {
    /// Returns the error for invalid JSON in this text.
    pub(super) fn of(error: JsonError, text: &str) -> Self {
        let JsonError::Syntax(offset) = error else {
            return Self::ForbiddenKey;
        };
        let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
        let (lines, last) = match memchr::memrchr(b'\n', before) {
            Some(at) => (
                memchr::memchr_iter(b'\n', before).count(),
                before.len() - at - 1,
            ),
            None => (0, before.len()),
        };
        Self::NotJson {
            line: lines + 1,
            column: last + 1,
        }
    }
}
