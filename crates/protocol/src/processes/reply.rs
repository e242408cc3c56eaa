use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::{ExitStatus, ProcessError, ProcessId, ProcessState};
use crate::sandboxes::ExecOutput;
use crate::{Redactor, Secret, Secrets};

/// What a function of the script wrote: lines with a word and what it says, and `end` as the last one.
#[derive(Debug)]
pub(super) struct Reply<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Reply<'a> {
    /// Reads the output. `secrets` are masked in what an error shows of it.
    pub(super) fn read(output: &'a ExecOutput, secrets: &Secrets) -> Result<Self, ProcessError> {
        let mask = |text: &str| Redactor::new(secrets.iter().map(Secret::expose)).redact(text);
        if output.exit_code != 0 {
            return Err(ProcessError::Script {
                exit_code: output.exit_code,
                message: mask(output.stderr.trim()),
            });
        }
        let Some(lines) = output.stdout.strip_suffix("end\n") else {
            let message = match output.stderr.trim() {
                "" => "it does not end with `end`".to_owned(),
                said => format!("it does not end with `end`, and says {}", mask(said)),
            };
            return Err(ProcessError::InvalidResponse(message));
        };
        let lines = lines.lines();
        Ok(Self(
            lines
                .map(|line| line.split_once(' ').unwrap_or((line, "")))
                .collect(),
        ))
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().copied()
    }

    /// What the line with this word says.
    pub(super) fn get(&self, word: &str) -> Option<&'a str> {
        self.lines()
            .find_map(|(found, rest)| (found == word).then_some(rest))
    }

    /// The bytes in the line with this word; nothing where there is none.
    pub(super) fn bytes(&self, word: &str) -> Result<Bytes, ProcessError> {
        self.get(word).map_or(Ok(Bytes::new()), decode)
    }

    /// The state of this process.
    pub(super) fn state(&self, id: &ProcessId) -> Result<ProcessState, ProcessError> {
        match self.get("state") {
            Some(state) => read_state(state, id),
            None => Err(ProcessError::InvalidResponse(
                "it tells no state".to_owned(),
            )),
        }
    }
}

pub(super) fn decode(base64: &str) -> Result<Bytes, ProcessError> {
    let decoded = BASE64_STANDARD.decode(base64);
    decoded
        .map(Bytes::from)
        .map_err(|error| ProcessError::InvalidResponse(format!("it is not base64: {error}")))
}

pub(super) fn read_state(state: &str, id: &ProcessId) -> Result<ProcessState, ProcessError> {
    Ok(match state {
        "starting" => ProcessState::Starting,
        "running" => ProcessState::Running,
        "gone" => ProcessState::Gone,
        "unknown" => return Err(ProcessError::Unknown(id.clone())),
        _ => {
            let mut words = state.split(' ');
            let exited = (words.next(), words.next(), words.next(), words.next());
            let (Some("exited"), Some(code), Some(reason @ ("-" | "timeout")), None) = exited
            else {
                return Err(unreadable(state));
            };
            ProcessState::Exited(ExitStatus {
                code: code.parse().map_err(|_| unreadable(state))?,
                timed_out: reason == "timeout",
            })
        }
    })
}

fn unreadable(state: &str) -> ProcessError {
    ProcessError::InvalidResponse(format!("`{state}` is no state"))
}
