use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::sandboxes::{
    CreateSandbox, DeleteSandbox, Exec, ExecOutput, GetSandbox, Sandbox,
};

use crate::client::AgentClient;
use crate::error::Error;
use crate::files::Files;
use crate::git::Git;

/// Sandboxes: from [`AgentClient::sandboxes`].
///
/// For what these calls do not take, make the operation: `client.execute(&Exec::new(id, "ls").cwd("/home/user"))`.
#[derive(Debug, Clone)]
pub struct Sandboxes {
    client: AgentClient,
}

impl Sandboxes {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Files in sandboxes.
    pub fn files(&self) -> Files {
        Files::new(self.client.clone())
    }

    /// Git repositories in sandboxes.
    pub fn git(&self) -> Git {
        Git::new(self.client.clone())
    }

    /// Creates a sandbox for the agent with this slug, and waits until it is ready. See [`CreateSandbox`].
    ///
    /// A call that is dropped while it waits may leave a sandbox behind, which costs until its time to live is over.
    ///
    /// # Errors
    /// 404 with the code `agent_not_found` for an unknown agent, and all of [`Error`].
    pub async fn create(&self, agent: impl Into<String>) -> Result<Sandbox, Error> {
        self.client.execute(&CreateSandbox::new(agent)).await
    }

    /// Reads a sandbox: its status, its agent and its threads.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for an unknown one, and all of [`Error`].
    pub async fn get(&self, sandbox_id: &SandboxId) -> Result<Sandbox, Error> {
        self.client.execute(&GetSandbox::new(sandbox_id)).await
    }

    /// Deletes a sandbox, and its threads with it.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 for one that is deleted already, and all of [`Error`].
    pub async fn delete(&self, sandbox_id: &SandboxId) -> Result<(), Error> {
        self.client.execute(&DeleteSandbox::new(sandbox_id)).await
    }

    /// Runs a shell command in a sandbox, for at most 60 seconds, and waits for its end. See [`Exec`].
    ///
    /// A call that is dropped does not stop the command.
    ///
    /// # Errors
    /// 408 with the code `command_timeout`, and all of [`Error`]. A command that fails is a result.
    pub async fn exec(
        &self,
        sandbox_id: &SandboxId,
        command: impl Into<String>,
    ) -> Result<ExecOutput, Error> {
        self.client.execute(&Exec::new(sandbox_id, command)).await
    }
}
