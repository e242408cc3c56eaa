use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::list::read_list;
use super::script::Script;
use super::stdin::WriteStdin;
use super::{
    FollowOutput, Offsets, ProcessError, ProcessId, ProcessInfo, ProcessState, ScriptFlow,
};
use crate::SandboxId;
use crate::error::InvalidRequest;
use crate::options::CallOptions;

/// Names a spawned process: what to store to find it again, also from another process.
///
/// ```
/// use twentyfirst_protocol::SandboxId;
/// use twentyfirst_protocol::processes::{ProcessId, ProcessRef};
///
/// let process = ProcessRef::new(SandboxId::new("sbx_abc123")?, ProcessId::new("build-42")?);
/// let row = serde_json::to_string(&process)?;
/// assert_eq!(row, r#"{"sandboxId":"sbx_abc123","processId":"build-42"}"#);
/// assert_eq!(serde_json::from_str::<ProcessRef>(&row)?, process);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessRef {
    /// The sandbox in which it runs.
    pub sandbox_id: SandboxId,
    /// Its id there.
    #[serde(rename = "processId")]
    pub id: ProcessId,
}

impl ProcessRef {
    /// The process of this id in this sandbox.
    pub fn new(sandbox_id: impl Into<SandboxId>, id: impl Into<ProcessId>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            id: id.into(),
        }
    }

    /// Follows the output from these offsets until the process has ended and all of it is read. `seed` spreads the delays of many
    /// clients, here and below: take any random number.
    ///
    /// # Errors
    /// Everything that can be checked is checked before the first request.
    pub fn output(
        &self,
        offsets: Offsets,
        options: &CallOptions,
        seed: u64,
    ) -> Result<FollowOutput, InvalidRequest> {
        FollowOutput::new(self.clone(), offsets, options, seed)
    }

    /// Waits for the end, at most until the [deadline](CallOptions::deadline) of the call.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn wait(&self, options: &CallOptions, seed: u64) -> Result<FollowOutput, InvalidRequest> {
        FollowOutput::waiting(self.clone(), options, seed)
    }

    /// Reads the state.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn status(
        &self,
        options: &CallOptions,
        seed: u64,
    ) -> Result<ScriptFlow<ProcessInfo>, InvalidRequest> {
        let id = self.id.clone();
        let script = self.script("list", &[], Duration::ZERO);
        ScriptFlow::new(script, options, seed, move |reply| {
            let found = read_list(reply)?.pop();
            found.ok_or_else(|| ProcessError::Unknown(id.clone()))
        })
    }

    /// Writes to standard input, in pieces of 64 KiB. A piece whose response is lost is not written twice.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn write_stdin(
        &self,
        input: impl Into<bytes::Bytes>,
        options: &CallOptions,
        seed: u64,
    ) -> Result<WriteStdin, InvalidRequest> {
        WriteStdin::new(self.clone(), input.into(), options, seed)
    }

    /// Closes standard input behind what was written.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn close_stdin(
        &self,
        options: &CallOptions,
        seed: u64,
    ) -> Result<WriteStdin, InvalidRequest> {
        WriteStdin::closing(self.clone(), options, seed)
    }

    /// Removes its files, with its output. Removing a process that is not there is not an error.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn remove(
        &self,
        options: &CallOptions,
        seed: u64,
    ) -> Result<ScriptFlow<()>, InvalidRequest> {
        let id = self.id.clone();
        let script = self.script("remove", &[], Duration::ZERO);
        ScriptFlow::new(script, options, seed, move |reply| match reply.state(&id) {
            Ok(ProcessState::Running) => Err(ProcessError::Running(id.clone())),
            Ok(_) | Err(ProcessError::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
        })
    }

    /// A function of the script that takes this long, and what it takes besides.
    pub(super) fn script(&self, function: &str, arguments: &[&str], longest: Duration) -> Script {
        let words = [function, self.id.as_str()].into_iter();
        let words = words.chain(arguments.iter().copied());
        let script = Script::new(&self.sandbox_id, words);
        Script(script.0.timeout(longest + Duration::from_secs(60)))
    }
}

/// A time for the script, which counts tenths of seconds.
pub(super) fn tenths(time: Duration) -> String {
    time.as_millis().div_ceil(100).to_string()
}
