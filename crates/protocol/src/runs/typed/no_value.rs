use std::fmt;

use crate::error::shown;

/// The reason why an answer contains no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoValue {
    /// The answer contains nothing that looks like JSON.
    #[error("the answer contains no JSON")]
    NoJson,
    /// The best candidate is not valid JSON: it has a comma too many, or ends too early.
    #[error("the JSON in the answer is invalid: {}", Shown(.0))]
    NotJson(#[source] serde_json::Error),
    /// The answer contains JSON, but not of this type.
    #[error("the JSON in the answer does not match the expected type: {}", Shown(.0))]
    DoesNotFit(#[source] serde_json::Error),
    /// The answer exceeds the size limit for the search.
    #[error(
        "the answer has {length} bytes, above the limit of {limit} bytes for finding JSON in it"
    )]
    #[non_exhaustive]
    TooLong {
        /// The length of the answer, in bytes.
        length: usize,
        /// The limit, in bytes.
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

/// The message of `serde`, shortened and on one line, since it quotes the answer.
struct Shown<'a>(&'a serde_json::Error);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0.to_string()))
    }
}
