use twentyfirst_protocol::git::{CloneRepository, ClonedRepository};
use twentyfirst_protocol::{IntoId, SandboxId};

use crate::call::Call;
use crate::client::AgentClient;
use crate::in_sandbox::{InSandbox, in_sandbox};

/// The calls on git repositories in sandboxes. [`Sandboxes::git`](crate::Sandboxes::git) returns it.
#[derive(Debug, Clone)]
pub struct Git {
    client: AgentClient,
}

impl Git {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }
}

/// The calls on git repositories in one sandbox. [`SandboxHandle::git`](crate::SandboxHandle::git) returns it.
#[derive(Debug, Clone)]
pub struct SandboxGit(pub(crate) InSandbox);

in_sandbox! {
    Git, SandboxGit;

    /// Clones a repository. For a private one set a [`token`](CloneRepository::token).
    ///
    /// # Errors
    /// 400 with the code `git_clone_failed` and git's error output.
    #[doc(alias = "clone")]
    pub fn clone_repository(&self, url: impl Into<String>) -> Call<CloneRepository, ClonedRepository> {
        self.0.call(|id| CloneRepository::new(id, url))
    }
}
