use twentyfirst_protocol::git::{CloneRepository, ClonedRepository};
use twentyfirst_protocol::{IntoId, SandboxId};

use crate::call::Call;
use crate::client::AgentClient;
use crate::in_sandbox::{InSandbox, in_sandbox};

/// Git repositories in sandboxes: from [`Sandboxes::git`](crate::Sandboxes::git).
#[derive(Debug, Clone)]
pub struct Git {
    client: AgentClient,
}

impl Git {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }
}

/// Git repositories in one sandbox: from [`SandboxHandle::git`](crate::SandboxHandle::git).
#[derive(Debug, Clone)]
pub struct SandboxGit(pub(crate) InSandbox);

in_sandbox! {
    Git, SandboxGit;

    /// Clones a repository: with [`token`](CloneRepository::token) a private one.
    ///
    /// # Errors
    /// 400 with the code `git_clone_failed` and git's own words.
    #[doc(alias = "clone")]
    pub fn clone_repository(&self, url: impl Into<String>) -> Call<CloneRepository, ClonedRepository> {
        self.0.call(|id| CloneRepository::new(id, url))
    }
}
