//! Spawned processes: protocol's flows, played.

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

/// A spawned process: from [`SandboxHandle::spawn`](crate::SandboxHandle::spawn), or found again by
/// [`Sandboxes::process`](crate::Sandboxes::process).
///
/// It is a name and holds no connection: cloning it is cheap, and dropping it changes nothing. The process goes on, for as long as its
/// machine does, until it ends or is [killed](Self::kill); its files stay until they are [removed](Self::remove).
///
/// ```no_run
/// use twentyfirst_client::AgentClient;
/// use twentyfirst_client::protocol::processes::ProcessRef;
///
/// # async fn example(client: AgentClient) -> Result<(), Box<dyn std::error::Error>> {
/// let build = client.sandbox("sbx_abc123").spawn("npm run build").cwd("/home/user/repo").await?;
/// let row = serde_json::to_string(&build.handle())?;
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
/// Each call that is tried again acts once.
///
/// # Errors
/// [`Error::process_error`] where the process is what fails, and all of [`Error`].
#[derive(Debug, Clone)]
pub struct Process {
    client: AgentClient,
    process: ProcessRef,
}

impl Process {
    pub(crate) fn new(client: AgentClient, process: ProcessRef) -> Self {
        Self { client, process }
    }

    /// Returns what to store to find the process again: it is JSON.
    pub fn handle(&self) -> ProcessRef {
        self.process.clone()
    }

    /// Returns its id.
    pub fn id(&self) -> &ProcessId {
        &self.process.id
    }

    /// Returns the sandbox in which it runs.
    pub fn sandbox_id(&self) -> &SandboxId {
        &self.process.sandbox_id
    }

    /// Follows standard output and standard error from their starts until the process has ended and all is read. Any number of readers
    /// get the same bytes, whenever they begin.
    pub fn output(&self) -> Output {
        self.output_from(Offsets::START)
    }

    /// Follows the output from where it was read before: see [`Output::offsets`].
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

    /// Waits for the end, however long that takes: until the [deadline](crate::CallOptions::deadline) of the call, where there is one.
    /// Any number of waiters are told the same.
    ///
    /// # Errors
    /// [`ProcessError::Gone`] where its machine has restarted, and those of [`Process`].
    pub fn wait(&self) -> Call<ProcessRef, ExitStatus> {
        self.call(|process, options, seed| process.wait(options, seed))
    }

    /// Reads the state, the command, and when it was started.
    ///
    /// # Errors
    /// Those of [`Process`].
    pub fn status(&self) -> Call<ProcessRef, ProcessInfo> {
        self.call(|process, options, seed| process.status(options, seed))
    }

    /// Ends the process and its group: by SIGTERM, and by SIGKILL what is still there 5 s later, unless [`grace`](KillProcess::grace)
    /// says otherwise. Of one that has ended already it returns how.
    ///
    /// # Errors
    /// Those of [`Process`].
    pub fn kill(&self) -> Call<KillProcess, ExitStatus> {
        let kill = KillProcess::new(self.process.clone());
        call(&self.client, Ok(kill), |kill, options, seed| {
            kill.flow(options, seed)
        })
    }

    /// Writes to standard input, of a process that was spawned with [`stdin`](twentyfirst_protocol::processes::Spawn::stdin). It returns
    /// when the input is kept in the sandbox; the process may read it later. For much input write a file, and spawn `command < file`.
    ///
    /// Pieces of up to 64 KiB are written whole or not at all; where a call fails or is dropped, the first ones may have been written.
    ///
    /// # Errors
    /// Where it has ended, has no standard input or was closed, and those of [`Process`].
    pub fn write_stdin(&self, input: impl Into<Bytes>) -> Call<ProcessRef, ()> {
        let input = input.into();
        self.call(|process, options, seed| process.write_stdin(input, options, seed))
    }

    /// Closes standard input behind what was written: the process reads its end. Closing it again is not an error.
    ///
    /// # Errors
    /// Where it has no standard input, and those of [`Process`].
    pub fn close_stdin(&self) -> Call<ProcessRef, ()> {
        self.call(|process, options, seed| process.close_stdin(options, seed))
    }

    /// Removes the files of a process that has ended, with its output. Then its id can be spawned anew. Removing what is not there is
    /// not an error.
    ///
    /// # Errors
    /// [`ProcessError::Running`]: kill it first; and those of [`Process`].
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

/// A call that plays a flow to its end.
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
        played(&client, flow(&operation, client.options(), seed())).await
    })
}

async fn played<F, T>(client: &AgentClient, flow: Result<F, InvalidRequest>) -> Result<T, Error>
where
    F: Flow<Output = Result<T, ProcessError>>,
{
    let (output, _) = client.drive(&Exec::ROUTE, flow?).await?;
    Ok(output)
}
