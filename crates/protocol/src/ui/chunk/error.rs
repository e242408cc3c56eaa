use super::json::JsonError;

/// The reason why the data of an event is not a chunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
// Deliberately exhaustive: tests construct its variants with all fields, to compare them with an error.
pub enum ChunkError {
    /// It is not JSON.
    #[error("the data is not JSON: byte {offset} is unexpected")]
    NotJson {
        /// The offset in bytes at which the text stops being JSON.
        offset: usize,
    },
    /// It contains a key that the AI SDK refuses, because JavaScript gives it a meaning: `__proto__`, or `prototype` in the
    /// object under `constructor`.
    #[error("the data has a forbidden key: `__proto__` or `constructor.prototype`")]
    ForbiddenKey,
    /// It is JSON, but not an object.
    #[error("the data is not an object")]
    NotAnObject,
    /// The object has no `type`, or one that is not a string.
    #[error("the data has no type")]
    NoType,
    /// A required member of the chunk is missing.
    #[error("the {chunk} chunk has no {member}")]
    Missing {
        /// The type of the chunk.
        chunk: &'static str,
        /// The member's name.
        member: &'static str,
    },
    /// A member has an invalid value. An optional member may be absent, but not `null`.
    #[error("the {member} of the {chunk} chunk must be {expected}")]
    Unfit {
        /// The type of the chunk.
        chunk: &'static str,
        /// The member's name.
        member: &'static str,
        /// The expected value.
        expected: &'static str,
    },
}

impl From<JsonError> for ChunkError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Syntax(offset) => Self::NotJson { offset },
            JsonError::ForbiddenKey => Self::ForbiddenKey,
        }
    }
}
