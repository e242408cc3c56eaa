use std::fmt;

use crate::error::shown;

/// Why there is no value in an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoValue {
    /// Nothing in it looks like JSON.
    #[error("the answer holds no JSON")]
    NoJson,
    /// What looks most like the value is not JSON: a comma too many, an end too early.
    #[error("the JSON in the answer cannot be read: {}", Shown(.0))]
    NotJson(#[source] serde_json::Error),
    /// There is JSON, but not of this type.
    #[error("the JSON in the answer does not fit: {}", Shown(.0))]
    DoesNotFit(#[source] serde_json::Error),
    /// The answer is longer than is searched.
    #[error("the answer has {length} bytes, and at most {limit} are searched for JSON")]
    #[non_exhaustive]
    TooLong {
        /// The length of the answer, in bytes.
        length: usize,
        /// The most bytes that are searched.
        limit: usize,
    },
}

impl NoValue {
    pub(super) fn new(error: serde_json::Error) -> Self {
        if error.is_data() {
            Self::DoesNotFit(error)
        } else {
            Self::NotJson(error)
        }
    }
}

/// The words of `serde` on one line and not too many of them: they quote the answer.
struct Shown<'a>(&'a serde_json::Error);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0.to_string()))
    }
}
