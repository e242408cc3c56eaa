use super::json::JsonError;

/// The reason why the data of an event is not a chunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
// Deliberately exhaustive: each variant, because tests construct it with all its fields, to compare it with an error.
pub enum ChunkError {
    /// The data is not JSON.
    #[error("the data is not JSON: byte {offset} is unexpected")]
    NotJson {
        /// The offset of the first byte that is not JSON.
        offset: usize,
    },
    /// The data contains a key that the AI SDK refuses, because it has a special meaning in JavaScript: `__proto__`, or
    /// `prototype` in the object under `constructor`.
    #[error("the data has a forbidden key: `__proto__` or `constructor.prototype`")]
    ForbiddenKey,
    /// The data is JSON, but not an object.
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
