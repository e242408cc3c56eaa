use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{InvalidRequest, Problem};

/// The longest id, in bytes.
const LONGEST: usize = 1024;

/// Checks that an id can be a path segment.
///
/// `.` and `..` are refused because percent-encoding leaves them alone and URL parsers resolve them away.
pub(crate) fn check(field: &'static str, text: &str) -> Result<(), InvalidRequest> {
    let problem = match text {
        "" => Problem::Empty,
        "." | ".." => Problem::DotSegment,
        _ if text.chars().any(char::is_control) => Problem::ControlCharacter,
        _ if text.len() > LONGEST => Problem::TooLong { limit: LONGEST },
        _ => return Ok(()),
    };
    Err(InvalidRequest::new(field, problem))
}

/// A conversion into an id: from the id itself, from a value that has it, or from text. Calls that need an id take it.
///
/// A call fails with [`InvalidRequest`] if the text cannot be an id.
///
/// ```
/// use twentyfirst_protocol::{IntoId, SandboxId};
///
/// fn open(sandbox_id: impl IntoId<SandboxId>) -> bool {
///     sandbox_id.into_id().is_ok()
/// }
/// assert!(open("sbx_abc123"));
/// assert!(!open(".."));
/// ```
pub trait IntoId<I> {
    /// Converts the value into the id.
    ///
    /// # Errors
    /// The text cannot be an id; the error names the rule.
    fn into_id(self) -> Result<I, InvalidRequest>;
}

impl<I, T: TryInto<I, Error: Into<InvalidRequest>>> IntoId<I> for T {
    fn into_id(self) -> Result<I, InvalidRequest> {
        self.try_into().map_err(Into::into)
    }
}

impl From<Infallible> for InvalidRequest {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        ///
        /// Opaque text: not empty, not `.` or `..`, without control characters, at most 1,024 bytes.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// Creates an id from text.
            ///
            /// # Errors
            /// The text cannot be an id; the error names the rule.
            pub fn new(id: impl Into<String>) -> Result<Self, InvalidRequest> {
                let id = id.into();
                check($field, &id)?;
                Ok(Self(id))
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidRequest;

            fn from_str(id: &str) -> Result<Self, InvalidRequest> {
                Self::new(id)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidRequest;

            fn try_from(id: String) -> Result<Self, InvalidRequest> {
                Self::new(id)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidRequest;

            fn try_from(id: &str) -> Result<Self, InvalidRequest> {
                Self::new(id)
            }
        }

        impl From<&$name> for $name {
            fn from(id: &$name) -> Self {
                id.clone()
            }
        }

        impl TryFrom<&String> for $name {
            type Error = InvalidRequest;

            fn try_from(id: &String) -> Result<Self, InvalidRequest> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

id! {
    /// The id of a sandbox, as requests name it.
    ///
    /// Not to be confused with [`MachineId`], which responses also carry.
    SandboxId, "sandbox_id"
}
id! {
    /// The provider's id of the machine behind a sandbox: the member `sandboxId` in the responses to creating and reading a
    /// sandbox. The relay refuses it in requests, so no request takes this type.
    MachineId, "machine_id"
}
id! {
    /// The id of a thread: one conversation within a sandbox.
    ThreadId, "thread_id"
}
id! {
    /// The id of a vault with credentials for MCP servers.
    VaultId, "vault_id"
}
id! {
    /// The id of a credential in a vault.
    CredentialId, "credential_id"
}
