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

/// The name of a spawned process. Store it to find the process again, also from another client.
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
    /// The id of the process in the sandbox.
    #[serde(rename = "processId")]
    pub id: ProcessId,
}

impl ProcessRef {
    /// Creates the name of the process with this id.
    pub fn new(sandbox_id: impl Into<SandboxId>, id: impl Into<ProcessId>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            id: id.into(),
        }
    }

    /// Returns the [flow](super#flows) that reads the output from these offsets until the process has ended and all output is
    /// read.
    ///
    /// # Errors
    /// Returns an error if the request is invalid.
    pub fn output(
        &self,
        offsets: Offsets,
        options: &CallOptions,
        seed: u64,
    ) -> Result<FollowOutput, InvalidRequest> {
        FollowOutput::new(self.clone(), offsets, options, seed)
    }

    /// Returns the [flow](super#flows) that waits for the end, at most until the [deadline](CallOptions::deadline) of the call.
    ///
    /// # Errors
    /// Returns the same errors as [`output`](Self::output).
    pub fn wait(&self, options: &CallOptions, seed: u64) -> Result<FollowOutput, InvalidRequest> {
        FollowOutput::waiting(self.clone(), options, seed)
    }

    /// Returns the [flow](super#flows) that reads the state.
    ///
    /// # Errors
    /// Returns the same errors as [`output`](Self::output).
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

    /// Returns the [flow](super#flows) that writes to standard input, in pieces of 64 KiB. A piece whose response is lost is not
    /// written twice.
    ///
    /// Here `seed` also names the write: pass a new random number for each. The same input with the same seed is written once, and
    /// other input with a seed that was used before is not written.
    ///
    /// # Errors
    /// Returns the same errors as [`output`](Self::output).
    pub fn write_stdin(
        &self,
        input: impl Into<bytes::Bytes>,
        options: &CallOptions,
        seed: u64,
    ) -> Result<WriteStdin, InvalidRequest> {
        WriteStdin::new(self.clone(), input.into(), options, seed)
    }

    /// Returns the [flow](super#flows) that closes standard input after everything that was written.
    ///
    /// # Errors
    /// Returns the same errors as [`output`](Self::output).
    pub fn close_stdin(
        &self,
        options: &CallOptions,
        seed: u64,
    ) -> Result<WriteStdin, InvalidRequest> {
        WriteStdin::closing(self.clone(), options, seed)
    }

    /// Returns the [flow](super#flows) that removes the files of the process, with its output. Removing a missing process is not
    /// an error.
    ///
    /// # Errors
    /// Returns the same errors as [`output`](Self::output).
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

    /// Returns the call of a function of the script, which takes at most `longest` beyond an ordinary call.
    pub(super) fn script(&self, function: &str, arguments: &[&str], longest: Duration) -> Script {
        let words = [function, self.id.as_str()].into_iter();
        let words = words.chain(arguments.iter().copied());
        let script = Script::new(&self.sandbox_id, words);
        Script(script.0.timeout(longest + Duration::from_secs(60)))
    }
}

/// Formats a time for the script, which counts tenths of seconds.
pub(super) fn tenths(time: Duration) -> String {
    time.as_millis().div_ceil(100).to_string()
}
