use crate::InvalidRequest;
use crate::ui::chunk::json::JsonError;

/// Why the body of a browser's request is not taken.
///
/// It never repeats what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is not JSON.
    #[error("the body is not JSON (line {line}, column {column})")]
    #[non_exhaustive]
    NotJson {
        /// The line where it stops being JSON, from 1.
        line: usize,
        /// The byte in that line, from 1.
        column: usize,
    },
    /// It has a key that JavaScript gives a meaning.
    #[error(
        "the body has a key that is not taken: `__proto__`, or `prototype` within `constructor`"
    )]
    ForbiddenKey,
    /// It is JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A member that has to be there is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A member that each message has to have is not in one.
    #[error("`{0}` is missing in `messages`")]
    MissingInMessage(&'static str),
    /// A member is not of its type.
    #[error("`{0}` is not what belongs there")]
    Unfit(&'static str),
    /// A member is something else than a text.
    #[error("`{0}` is not a text")]
    NotText(&'static str),
    /// An id holds half a surrogate pair, with which different ids would become equal.
    #[error("`{0}` holds half a surrogate pair")]
    HalfSurrogate(&'static str),
    /// An id is none.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// An id in the URL is no UTF-8, with which different ids would become equal.
    #[error("an id in the URL is not UTF-8")]
    NotUtf8,
    /// An answer is to be made again.
    #[error("an answer cannot be made again: the relay can only append to a conversation")]
    Regenerate,
    /// The `trigger` is none that is known.
    #[error("the trigger is not known here")]
    UnknownTrigger,
    /// The conversation does not end with a message of the user's. The relay takes the last one, wherever it stands: it would answer an
    /// earlier turn again.
    #[error("the last message must be one of the user's")]
    NoTurn,
    /// There are more of something than [are read](super::ChatLimits).
    #[error("there are {count} {what}, and {limit} are taken at most")]
    #[non_exhaustive]
    TooMany {
        /// `messages` or `parts`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many are taken.
        limit: usize,
    },
}

impl BodyError {
    /// An error of the JSON in this text.
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
