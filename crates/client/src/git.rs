use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::git::{CloneRepository, ClonedRepository};

use crate::client::AgentClient;
use crate::error::Error;

/// Git repositories in a sandbox: from [`Sandboxes::git`](crate::Sandboxes::git).
#[derive(Debug, Clone)]
pub struct Git {
    client: AgentClient,
}

impl Git {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Clones a public repository. See [`CloneRepository`] for a token, a branch, a depth and a path.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 400 with the code `git_clone_failed` and git's own words, and all of [`Error`].
    pub async fn clone_repository(
        &self,
        sandbox_id: &SandboxId,
        url: impl Into<String>,
    ) -> Result<ClonedRepository, Error> {
        self.client
            .execute(&CloneRepository::new(sandbox_id, url))
            .await
    }
}
