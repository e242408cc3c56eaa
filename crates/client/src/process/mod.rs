//! Spawned processes, driven by the flows of the protocol crate.

mod output;
mod sandboxes;
mod spawn;

use bytes::Bytes;
use twentyfirst_protocol::flow::Flow;
use twentyfirst_protocol::processes::{
    ExitStatus, KillProcess, Offsets, ProcessError, ProcessId, ProcessInfo, ProcessRef,
};
use twentyfirst_protocol::sandboxes::Exec;
use twentyfirst_protocol::{CallOptions, Endpoint, InvalidRequest, SandboxId};

pub use self::output::Output;
use crate::call::Call;
use crate::client::{AgentClient, seed};
use crate::error::Error;

/// A spawned process, from [`SandboxHandle::spawn`](crate::SandboxHandle::spawn) or
/// [`Sandboxes::process`](crate::Sandboxes::process).
///
/// This value is a handle without a connection: cloning it is cheap, and dropping it does not affect the process. The process runs
/// until it ends, is [killed](Self::kill), or its machine stops. Its files stay until they are [removed](Self::remove).
///
/// ```no_run
/// use twentyfirst_client::AgentClient;
/// use twentyfirst_client::protocol::processes::ProcessRef;
///
/// # async fn example(client: AgentClient) -> Result<(), Box<dyn std::error::Error>> {
/// let build = client.sandbox("sbx_abc123").spawn("npm run build").cwd("/home/user/repo").await?;
/// let row = serde_json::to_string(&build.process_ref())?;
///
/// // In another process:
/// let build: ProcessRef = serde_json::from_str(&row)?;
/// let build = client.sandboxes().process(build);
/// let mut output = build.output();
/// while let Some(chunk) = output.next_chunk().await {
///     print!("{}", String::from_utf8_lossy(&chunk?.bytes));
/// }
/// let status = build.wait().await?;
/// println!("{status}");
/// # Ok(())
/// # }
/// ```
///
/// A call that is retried takes effect only once.
///
/// # Errors
/// Every kind of [`Error`]; [`Error::process_error`] has the reason if the process itself is the problem.
#[derive(Debug, Clone)]
pub struct Process {
    client: AgentClient,
    process: ProcessRef,
}

impl Process {
    pub(crate) fn new(client: AgentClient, process: ProcessRef) -> Self {
        Self { client, process }
    }

    /// Returns the reference with which the process can be found again. Store it as JSON.
    pub fn process_ref(&self) -> ProcessRef {
        self.process.clone()
    }

    /// Returns the id of the process.
    pub fn id(&self) -> &ProcessId {
        &self.process.id
    }

    /// Returns the sandbox in which it runs.
    pub fn sandbox_id(&self) -> &SandboxId {
        &self.process.sandbox_id
    }

    /// Follows standard output and standard error from their beginnings until the process has ended and all output is read. There
    /// can be any number of readers. Each gets all bytes, whenever it begins to read.
    pub fn output(&self) -> Output {
        self.output_from(Offsets::START)
    }

    /// Follows the output from these offsets, such as the [`Output::offsets`] of an earlier reader.
    pub fn output_from(&self, offsets: Offsets) -> Output {
        Output::new(self.client.clone(), self.process.clone(), offsets)
    }

    /// Follows standard output alone, from this offset in bytes.
    pub fn stdout_from(&self, offset: u64) -> Output {
        self.output_from(Offsets::stdout(offset))
    }

    /// Follows standard error alone, from this offset in bytes.
    pub fn stderr_from(&self, offset: u64) -> Output {
        self.output_from(Offsets::stderr(offset))
    }

    /// Waits for the end of the process, without a time limit unless the call has a [deadline](crate::CallOptions::deadline). Any
    /// number of callers can wait; all get the same status.
    ///
    /// # Errors
    /// [`ProcessError::Gone`] if its machine has restarted, and those of [`Process`].
    pub fn wait(&self) -> Call<ProcessRef, ExitStatus> {
        self.call(|process, options, seed| process.wait(options, seed))
    }

    /// Returns the state of the process, its command and its start time.
    ///
    /// # Errors
    /// Those of [`Process`].
    pub fn status(&self) -> Call<ProcessRef, ProcessInfo> {
        self.call(|process, options, seed| process.status(options, seed))
    }

    /// Ends the process and its group with SIGTERM, and with SIGKILL if they are still running 5 s later, unless
    /// [`grace`](KillProcess::grace) sets another time. For a process that has already ended it returns the exit status.
    ///
    /// # Errors
    /// Those of [`Process`].
    pub fn kill(&self) -> Call<KillProcess, ExitStatus> {
        let kill = KillProcess::new(self.process.clone());
        call(&self.client, Ok(kill), |kill, options, seed| {
            kill.flow(options, seed)
        })
    }

    /// Writes to the standard input of a process that was spawned with [`stdin`](twentyfirst_protocol::processes::Spawn::stdin).
    /// The call returns when the input is stored in the sandbox; the process may read it later. For large input, write a file and
    /// spawn `command < file`.
    ///
    /// The input is written in pieces of up to 64 KiB, each completely or not at all. If the call fails or is dropped, the first
    /// pieces may have been written.
    ///
    /// # Errors
    /// If the process has ended, has no standard input, or the input was closed; and those of [`Process`].
    pub fn write_stdin(&self, input: impl Into<Bytes>) -> Call<ProcessRef, ()> {
        let input = input.into();
        self.call(|process, options, seed| process.write_stdin(input, options, seed))
    }

    /// Closes standard input after what was written, so that the process reads the end of its input. Closing it again is not an
    /// error.
    ///
    /// # Errors
    /// If the process has no standard input, and those of [`Process`].
    pub fn close_stdin(&self) -> Call<ProcessRef, ()> {
        self.call(|process, options, seed| process.close_stdin(options, seed))
    }

    /// Removes the files of a process that has ended, including its output. Its id can then be used again. Removing a missing
    /// process is not an error.
    ///
    /// # Errors
    /// [`ProcessError::Running`] if it still runs (kill it first), and those of [`Process`].
    pub fn remove(&self) -> Call<ProcessRef, ()> {
        self.call(|process, options, seed| process.remove(options, seed))
    }

    fn call<F, T>(
        &self,
        flow: impl FnOnce(&ProcessRef, &CallOptions, u64) -> Result<F, InvalidRequest> + Send + 'static,
    ) -> Call<ProcessRef, T>
    where
        F: Flow<Output = Result<T, ProcessError>> + Send + 'static,
        T: 'static,
    {
        call(&self.client, Ok(self.process.clone()), flow)
    }
}

/// Creates a call that drives a flow to its end.
fn call<O, F, T>(
    client: &AgentClient,
    operation: Result<O, InvalidRequest>,
    flow: impl FnOnce(&O, &CallOptions, u64) -> Result<F, InvalidRequest> + Send + 'static,
) -> Call<O, T>
where
    O: Send + 'static,
    F: Flow<Output = Result<T, ProcessError>> + Send + 'static,
    T: 'static,
{
    Call::new(client.clone(), operation, |client, operation| async move {
        drive(&client, flow(&operation, client.options(), seed())).await
    })
}

async fn drive<F, T>(client: &AgentClient, flow: Result<F, InvalidRequest>) -> Result<T, Error>
where
    F: Flow<Output = Result<T, ProcessError>>,
{
    let (output, _) = client.drive(&Exec::ROUTE, flow?).await?;
    Ok(output)
}
