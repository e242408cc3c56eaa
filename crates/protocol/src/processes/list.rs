use std::time::{Duration, SystemTime};

use super::reply::{Reply, decode, read_state};
use super::script::Script;
use super::{ProcessError, ProcessId, ProcessInfo, ProcessState, ScriptFlow};
use crate::SandboxId;
use crate::error::InvalidRequest;
use crate::options::CallOptions;

/// Lists the processes that were spawned in a sandbox and not removed since, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListProcesses {
    /// The sandbox.
    pub sandbox_id: SandboxId,
}

impl ListProcesses {
    /// Creates the operation for this sandbox.
    pub fn new(sandbox_id: impl Into<SandboxId>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
        }
    }

    /// Returns the [flow](super#flows) that lists them.
    ///
    /// # Errors
    /// Returns an error if the request is invalid.
    pub fn flow(
        &self,
        options: &CallOptions,
        seed: u64,
    ) -> Result<ScriptFlow<Vec<ProcessInfo>>, InvalidRequest> {
        let script = Script::new(&self.sandbox_id, ["list"]);
        ScriptFlow::new(script, options, seed, read_list)
    }
}

/// Reads the processes of a list. An unknown process is an error.
pub(super) fn read_list(reply: &Reply<'_>) -> Result<Vec<ProcessInfo>, ProcessError> {
    let mut list: Vec<ProcessInfo> = Vec::new();
    let invalid_response = |what: &str| ProcessError::InvalidResponse(what.to_owned());
    for (word, rest) in reply.lines() {
        if word == "process" {
            list.push(ProcessInfo {
                id: ProcessId::new(rest)
                    .map_err(|_| invalid_response("a directory is not named by an id"))?,
                state: ProcessState::Starting,
                command: String::new(),
                pid: None,
                started_at: None,
            });
            continue;
        }
        let info = list
            .last_mut()
            .ok_or_else(|| invalid_response("it has a line before the first process"))?;
        match word {
            "state" => info.state = read_state(rest, &info.id)?,
            "pid" => info.pid = rest.parse().ok(),
            "started" => {
                let seconds = rest.parse().ok().map(Duration::from_secs);
                info.started_at =
                    seconds.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(seconds));
            }
            "command" => info.command = String::from_utf8_lossy(&decode(rest)?).into_owned(),
            _ => return Err(invalid_response("a line begins with an unknown word")),
        }
    }
    Ok(list)
}
