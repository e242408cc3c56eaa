use twentyfirst_protocol::sandboxes::{
    CreateSandbox, DeleteSandbox, Exec, ExecOutput, GetSandbox, Sandbox,
};
use twentyfirst_protocol::{IntoId, SandboxId};

use crate::call::Call;
use crate::client::AgentClient;
use crate::files::{Files, SandboxFiles};
use crate::git::{Git, SandboxGit};
use crate::in_sandbox::{InSandbox, in_sandbox};
use crate::threads::SandboxThreads;

/// The calls on sandboxes. [`AgentClient::sandboxes`] returns it.
#[derive(Debug, Clone)]
pub struct Sandboxes {
    pub(crate) client: AgentClient,
}

impl Sandboxes {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Returns the calls on files in sandboxes.
    pub fn files(&self) -> Files {
        Files::new(self.client.clone())
    }

    /// Returns the calls on git repositories in sandboxes.
    pub fn git(&self) -> Git {
        Git::new(self.client.clone())
    }

    /// Creates a sandbox for the agent with this slug, and waits until it is ready. See [`CreateSandbox`] for the setters.
    ///
    /// # Errors
    /// 404 with the code `agent_not_found` for an unknown agent.
    ///
    /// # Cancel safety
    /// A call that is dropped while it waits may leave a sandbox behind, which costs money until its time to live is over.
    pub fn create(&self, agent: impl Into<String>) -> Call<CreateSandbox, Sandbox> {
        self.client.call(CreateSandbox::new(agent))
    }
}

/// The calls on one sandbox. [`AgentClient::sandbox`] returns it; nothing is sent until a call is made.
///
/// ```no_run
/// use twentyfirst_client::AgentClient;
///
/// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
/// let sandbox = client.sandbox("sbx_abc123");
/// sandbox.git().clone_repository("https://github.com/org/repo.git").depth(1).await?;
/// println!("{}", sandbox.exec("npm test").cwd("repo").await?.stdout);
/// println!("{}", sandbox.files().read_to_string("repo/README.md").await?);
/// sandbox.delete().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SandboxHandle(pub(crate) InSandbox);

impl SandboxHandle {
    pub(crate) fn new(client: &AgentClient, sandbox_id: impl IntoId<SandboxId>) -> Self {
        Self(InSandbox::new(client, sandbox_id))
    }

    /// Returns the calls on the sandbox's files.
    pub fn files(&self) -> SandboxFiles {
        SandboxFiles(self.0.clone())
    }

    /// Returns the calls on the sandbox's git repositories.
    pub fn git(&self) -> SandboxGit {
        SandboxGit(self.0.clone())
    }

    /// Returns the calls on the sandbox's threads.
    pub fn threads(&self) -> SandboxThreads {
        SandboxThreads(self.0.clone())
    }
}

in_sandbox! {
    Sandboxes, SandboxHandle;

    /// Returns a sandbox: its status, its agent and its threads.
    ///
    /// # Errors
    /// 404 for an unknown sandbox.
    pub fn get(&self) -> Call<GetSandbox, Sandbox> {
        self.0.call(GetSandbox::new)
    }

    /// Deletes a sandbox together with its threads.
    ///
    /// # Errors
    /// 404 if the sandbox was already deleted.
    pub fn delete(&self) -> Call<DeleteSandbox, ()> {
        self.0.call(DeleteSandbox::new)
    }

    /// Runs a shell command in a sandbox, and waits for its end: at most 60 seconds, unless [`timeout`](Exec::timeout) sets
    /// another limit.
    ///
    /// # Errors
    /// 408 with the code `command_timeout`. A command that fails is not an error: see its exit code.
    ///
    /// # Cancel safety
    /// Dropping the call does not stop the command.
    pub fn exec(&self, command: impl Into<String>) -> Call<Exec, ExecOutput> {
        self.0.call(|id| Exec::new(id, command))
    }
}
