use std::time::Duration;

use http::Uri;
use twentyfirst_protocol::processes::{
    ListProcesses, ProcessId, ProcessInfo, ProcessRef, ProcessState, Spawn, WaitForPort,
};
use twentyfirst_protocol::sandboxes::GetSandbox;
use twentyfirst_protocol::{IntoId, SandboxId};

use super::{Process, call, drive};
use crate::call::Call;
use crate::client::seed;
use crate::in_sandbox::{InSandbox, in_sandbox};
use crate::sandboxes::{SandboxHandle, Sandboxes};

/// The time by which the process of [`can_spawn`](SandboxHandle::can_spawn) must outlive the call that started it.
const PROBED: Duration = Duration::from_secs(2);

impl Sandboxes {
    /// Returns a handle for a process that was spawned earlier, possibly by another program. Nothing is sent.
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

    /// Starts a command that continues to run after this call has returned. The returned [`Process`] follows and ends it.
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
    /// The relay does not document that a process may outlive the call that started it: [`can_spawn`](SandboxHandle::can_spawn)
    /// tries it out.
    ///
    /// # Errors
    /// [`ProcessError::OtherCommand`](crate::protocol::processes::ProcessError::OtherCommand) if the id is in use.
    ///
    /// # Cancel safety
    /// A dropped call may have started the command. If you set an [`id`](Call::id) of your own, you can find the process by it.
    pub fn spawn(&self, command: impl Into<String>) -> Call<Spawn, Process> {
        let spawn = self.0.with_id(|id| Spawn::new(id, ProcessId::random(seed()), command));
        Call::new(self.0.client.clone(), spawn, |client, spawn| async move {
            let process = drive(&client, spawn.flow(client.options(), seed())).await?;
            Ok(Process::new(client, process))
        })
    }

    /// Lists the processes that were spawned in a sandbox and not removed, ordered by id.
    pub fn processes(&self) -> Call<ListProcesses, Vec<ProcessInfo>> {
        call(&self.0.client, self.0.with_id(ListProcesses::new), |list, options, seed| {
            list.flow(options, seed)
        })
    }

    /// Tries out whether the provider of a sandbox lets a process outlive the call that started it: spawns a process, and checks
    /// 2 s later whether it is still running. This does not prove that a process would run for hours.
    ///
    /// # Cancel safety
    /// A call that is dropped, or fails after the spawn, may leave the files of the process behind, and the process itself, which
    /// ends after a minute.
    pub fn can_spawn(&self) -> Call<Spawn, bool> {
        self.spawn("sleep 60").run_with(|client, spawn| async move {
            let process = drive(&client, spawn.flow(client.options(), seed())).await?;
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

    /// Waits until a program in a sandbox listens on a TCP port, such as a server that was spawned. It waits at most 60 s, unless
    /// [`timeout`](WaitForPort::timeout) sets another limit. It works with every provider.
    ///
    /// # Errors
    /// [`ProcessError::PortClosed`](crate::protocol::processes::ProcessError::PortClosed) after the time limit; then
    /// [`Error::is_timeout`](crate::Error::is_timeout) is `true`.
    pub fn wait_for_port(&self, port: u16) -> Call<WaitForPort, ()> {
        let wait = self.0.with_id(|id| WaitForPort::new(id, port));
        call(&self.0.client, wait, |wait, options, seed| wait.flow(options, seed))
    }

    /// Returns the URL at which the provider of a sandbox exposes a port. Only providers with documented URLs are supported: see
    /// [`Sandbox::preview_url`](crate::Sandbox::preview_url). The call reads the sandbox to learn its provider and its machine.
    ///
    /// # Errors
    /// [`Error::preview_error`](crate::Error::preview_error) names the provider if it is not supported.
    pub fn preview_url(&self, port: u16) -> Call<GetSandbox, Uri> {
        let get = self.0.with_id(GetSandbox::new);
        Call::new(self.0.client.clone(), get, move |client, get| async move {
            Ok(client.execute(&get).await?.preview_url(port)?)
        })
    }
}
