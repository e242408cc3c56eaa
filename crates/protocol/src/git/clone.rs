use std::fmt;
use std::time::Duration;

use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::error::{InvalidRequest, Problem, ResponseError};
use crate::operation::decode_json;
use crate::secret::{Secrets, mask_url};
use crate::setters::setters;
use crate::{Endpoint, Operation, Route, SandboxId, Secret, Timeouts, tolerant};

/// Clones a git repository into a sandbox.
///
/// A failure has the code `git_clone_failed` and git's own message. Newer relays mark this route as deprecated and advise running
/// `git clone` by [`Exec`](crate::sandboxes::Exec).
///
/// ```
/// use twentyfirst_protocol::{SandboxId, git::CloneRepository};
///
/// let clone = CloneRepository::new(SandboxId::new("sbx_abc123")?, "https://github.com/org/repo.git")
///     .token("ghp_…")
///     .depth(1);
/// # let _ = clone;
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct CloneRepository {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The URL of the repository. User and password in it are secrets.
    pub url: String,
    /// The target directory; the relay chooses by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A token for a private repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// The number of commits of the history, at least 1; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// The branch; the repository's default branch by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

impl CloneRepository {
    /// Creates the operation for this repository.
    pub fn new(sandbox_id: impl Into<SandboxId>, url: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            url: url.into(),
            path: None,
            token: None,
            depth: None,
            branch: None,
        }
    }
}

setters! {
    CloneRepository, clone_repository_setters;

    /// Sets the target directory; the relay chooses by default.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets a token for a private repository.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets the number of commits of the history, at least 1; all by default.
    pub fn depth(mut self, depth: u32) -> Self {
        self.depth = Some(depth);
        self
    }

    /// Sets the branch; the repository's default branch by default.
    pub fn branch(mut self, branch: impl Into<String>) -> Self {
        self.branch = Some(branch.into());
        self
    }
}

impl Endpoint for CloneRepository {
    const ROUTE: Route = Route::post("/v1/sandboxes/{sandboxId}/git/clone");

    fn timeouts(&self) -> Timeouts {
        Timeouts::within(Duration::from_secs(10 * 60))
    }

    fn validate(&self) -> Result<(), InvalidRequest> {
        if self.url.is_empty() {
            return Err(InvalidRequest::new("url", Problem::Empty));
        }
        if self.depth == Some(0) {
            return Err(InvalidRequest::new("depth", Problem::MustBe("at least 1")));
        }
        Ok(())
    }

    fn secrets(&self) -> Secrets {
        let mut secrets: Secrets = self.token.iter().cloned().collect();
        secrets.add_url(&self.url);
        secrets
    }
}

impl Operation for CloneRepository {
    type Output = ClonedRepository;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<ClonedRepository, ResponseError> {
        decode_json(self, head, body)
    }
}

impl fmt::Debug for CloneRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloneRepository")
            .field("sandbox_id", &self.sandbox_id)
            .field("url", &mask_url(&self.url))
            .field("path", &self.path)
            .field("token", &self.token)
            .field("depth", &self.depth)
            .field("branch", &self.branch)
            .finish()
    }
}

/// A repository in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClonedRepository {
    /// The directory.
    pub path: String,
    /// The requested branch; `default` if none was requested.
    #[serde(
        default,
        deserialize_with = "tolerant::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub branch: Option<String>,
}

impl ClonedRepository {
    /// Creates a repository at this path.
    pub fn new(path: impl Into<String>, branch: Option<String>) -> Self {
        Self {
            path: path.into(),
            branch,
        }
    }
}
