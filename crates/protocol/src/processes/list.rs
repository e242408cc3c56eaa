use std::time::{Duration, SystemTime};

use super::reply::{Reply, decode, read_state};
use super::script::Script;
use super::{ProcessError, ProcessId, ProcessInfo, ProcessState, ScriptFlow};
use crate::SandboxId;
use crate::error::InvalidRequest;
use crate::options::CallOptions;

/// Lists what was spawned in a sandbox, in the order of the ids, until it is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListProcesses {
    /// The sandbox.
    pub sandbox_id: SandboxId,
}

impl ListProcesses {
    /// In this sandbox.
    pub fn new(sandbox_id: impl Into<SandboxId>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
        }
    }

    /// The exchange that lists them. `seed` spreads the delays of many clients: take any random number.
    ///
    /// # Errors
    /// Everything that can be checked is checked before the first request.
    pub fn flow(
        &self,
        options: &CallOptions,
        seed: u64,
    ) -> Result<ScriptFlow<Vec<ProcessInfo>>, InvalidRequest> {
        let script = Script::new(&self.sandbox_id, ["list"]);
        ScriptFlow::new(script, options, seed, read_list)
    }
}

/// Reads the processes of a list. One that is not there is an error.
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
            .ok_or_else(|| invalid_response("it tells of no process"))?;
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
