use std::time::Duration;

use http::Uri;
use twentyfirst_protocol::processes::{
    ListProcesses, ProcessId, ProcessInfo, ProcessRef, ProcessState, Spawn, WaitForPort,
};
use twentyfirst_protocol::sandboxes::GetSandbox;
use twentyfirst_protocol::{IntoId, SandboxId};

use super::{Process, call, played};
use crate::call::Call;
use crate::client::seed;
use crate::in_sandbox::{InSandbox, in_sandbox};
use crate::sandboxes::{SandboxHandle, Sandboxes};

/// How long the process of a probe has to outlive its call.
const PROBED: Duration = Duration::from_secs(2);

impl Sandboxes {
    /// Finds a process again that was spawned before, also by another program. Nothing is sent.
    ///
    /// ```no_run
    /// use twentyfirst_client::AgentClient;
    /// use twentyfirst_client::protocol::processes::ProcessRef;
    ///
    /// # async fn example(client: AgentClient, row: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let process: ProcessRef = serde_json::from_str(row)?;
    /// let status = client.sandboxes().process(process).wait().await?;
    /// println!("{status}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn process(&self, process: ProcessRef) -> Process {
        Process::new(self.client.clone(), process)
    }
}

in_sandbox! {
    Sandboxes, SandboxHandle;

    /// Starts a command that goes on when this call has returned: see [`Process`] for what can be done with it.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use twentyfirst_client::AgentClient;
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let sandbox = client.sandbox("sbx_abc123");
    /// let server = sandbox
    ///     .spawn("npm run dev")
    ///     .id("dev-server")
    ///     .cwd("/home/user/repo")
    ///     .env("PORT", "3000")
    ///     .timeout(Duration::from_secs(3600))
    ///     .await?;
    /// sandbox.wait_for_port(3000).await?;
    /// println!("{}", sandbox.preview_url(3000).await?);
    /// server.kill().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The relay documents nothing of processes that outlive their call: [`can_spawn`](SandboxHandle::can_spawn) tries it. A call that is
    /// dropped may have started the command; an [`id`](Call::id) of your own finds it.
    ///
    /// # Errors
    /// [`ProcessError::OtherCommand`](crate::protocol::processes::ProcessError::OtherCommand) where the id is in use.
    pub fn spawn(&self, command: impl Into<String>) -> Call<Spawn, Process> {
        let spawn = self.0.id(|id| Spawn::new(id, ProcessId::random(seed()), command));
        Call::new(self.0.client.clone(), spawn, |client, spawn| async move {
            let process = played(&client, spawn.flow(client.options(), seed())).await?;
            Ok(Process::new(client, process))
        })
    }

    /// Lists what was spawned in a sandbox and not removed, in the order of the ids.
    pub fn processes(&self) -> Call<ListProcesses, Vec<ProcessInfo>> {
        call(&self.0.client, self.0.id(ListProcesses::new), |list, options, seed| {
            list.flow(options, seed)
        })
    }

    /// Tries whether the provider of a sandbox lets a process outlive its call: spawns one, and looks 2 s after that call has ended
    /// whether it lives. Whether it would live for hours this does not tell.
    ///
    /// A call that is dropped may leave a process behind, which ends after a minute, and its files.
    pub fn can_spawn(&self) -> Call<Spawn, bool> {
        self.spawn("sleep 60").made(|client, spawn| async move {
            let process = played(&client, spawn.flow(client.options(), seed())).await?;
            let runtime = &client.relay().runtime;
            runtime.sleep(PROBED).await;
            let process = Process::new(client.clone(), process);
            let lives = process.status().await?.state == ProcessState::Running;
            if lives {
                process.kill().grace(Duration::ZERO).await?;
            }
            process.remove().await?;
            Ok(lives)
        })
    }

    /// Waits until something in a sandbox listens on a TCP port, such as a server that was spawned; for at most 60 s, unless
    /// [`timeout`](WaitForPort::timeout) says otherwise. It works with every provider.
    ///
    /// # Errors
    /// [`ProcessError::PortClosed`](crate::protocol::processes::ProcessError::PortClosed) when the time is over: then
    /// [`Error::is_timeout`](crate::Error::is_timeout) is `true`.
    pub fn wait_for_port(&self, port: u16) -> Call<WaitForPort, ()> {
        let wait = self.0.id(|id| WaitForPort::new(id, port));
        call(&self.0.client, wait, |wait, options, seed| wait.flow(options, seed))
    }

    /// Returns the URL under which the provider of a sandbox shows a port, for providers whose scheme is documented: see
    /// [`Sandbox::preview_url`](crate::Sandbox::preview_url). The sandbox is read, for its provider and its machine.
    ///
    /// # Errors
    /// [`Error::preview_error`](crate::Error::preview_error) names a provider whose scheme is not known.
    pub fn preview_url(&self, port: u16) -> Call<GetSandbox, Uri> {
        let get = self.0.id(GetSandbox::new);
        Call::new(self.0.client.clone(), get, move |client, get| async move {
            Ok(client.execute(&get).await?.preview_url(port)?)
        })
    }
}
