use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{InvalidRequest, Problem};

/// The longest id, in bytes.
const LONGEST: usize = 64;

/// The id of a spawned process in its sandbox: the name of the directory with its files.
///
/// At most 64 characters: ASCII letters, digits, `.`, `_` and `-`. The first is a letter or a digit.
///
/// ```
/// use twentyfirst_protocol::processes::ProcessId;
///
/// assert_eq!(ProcessId::new("build-42")?.as_str(), "build-42");
/// assert!(ProcessId::new("../build").is_err());
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ProcessId(String);

impl ProcessId {
    /// Creates an id from text.
    ///
    /// # Errors
    /// Returns an error that names the broken rule if the text cannot be an id.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidRequest> {
        let id = id.into();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let problem = match id.as_bytes() {
            [] => Problem::Empty,
            bytes if bytes.len() > LONGEST => Problem::TooLong { limit: LONGEST },
            [first, rest @ ..]
                if first.is_ascii_alphanumeric() && rest.iter().copied().all(is_plain) =>
            {
                return Ok(Self(id));
            }
            _ => Problem::MustContain(
                "only ASCII letters, digits, `.`, `_` and `-`, and begin with a letter or a digit",
            ),
        };
        Err(InvalidRequest::new("processId", problem))
    }

    /// Creates an id from a random number, for a process that needs no name.
    pub fn random(number: u64) -> Self {
        Self(format!("{number:016x}"))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessId {
    type Err = InvalidRequest;

    fn from_str(id: &str) -> Result<Self, InvalidRequest> {
        Self::new(id)
    }
}

impl TryFrom<String> for ProcessId {
    type Error = InvalidRequest;

    fn try_from(id: String) -> Result<Self, InvalidRequest> {
        Self::new(id)
    }
}

impl TryFrom<&str> for ProcessId {
    type Error = InvalidRequest;

    fn try_from(id: &str) -> Result<Self, InvalidRequest> {
        Self::new(id)
    }
}

impl TryFrom<&String> for ProcessId {
    type Error = InvalidRequest;

    fn try_from(id: &String) -> Result<Self, InvalidRequest> {
        Self::new(id)
    }
}

impl From<&Self> for ProcessId {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

impl From<ProcessId> for String {
    fn from(id: ProcessId) -> Self {
        id.0
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
