use super::json::JsonError;

/// Why the data of an event is not a chunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
// Deliberately exhaustive: the fields of its variants, since tests compare an error with one that they make.
pub enum ChunkError {
    /// It is not JSON.
    #[error("the data is not JSON: byte {offset} is unexpected")]
    NotJson {
        /// Where the text stops being JSON, in bytes.
        offset: usize,
    },
    /// Somewhere in it is a key that the AI SDK refuses, because JavaScript gives it a meaning: `__proto__`, or `prototype` in
    /// the object under `constructor`.
    #[error("the data has a key `__proto__` or `constructor.prototype`")]
    ForbiddenKey,
    /// It is JSON, but not an object.
    #[error("the data is not an object")]
    NotAnObject,
    /// The object has no `type`, or one that is not a string.
    #[error("the data has no type")]
    NoType,
    /// A member that a chunk of this type must have is not there.
    #[error("the {chunk} chunk has no {member}")]
    Missing {
        /// The type of the chunk.
        chunk: &'static str,
        /// The member's name.
        member: &'static str,
    },
    /// A member has a value that it may not have. An optional member may be absent, but not `null`.
    #[error("the {member} of the {chunk} chunk is not {expected}")]
    Unfit {
        /// The type of the chunk.
        chunk: &'static str,
        /// The member's name.
        member: &'static str,
        /// What the value should be.
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
