use std::collections::BTreeMap;
use std::time::Duration;

use http::response::Parts;
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::error::{InvalidRequest, Problem, ResponseError};
use crate::operation::decode_json;
use crate::setters::setters;
use crate::{Endpoint, Operation, Route, SandboxId, Secret, Secrets, Timeouts, time, tolerant};

/// Runs a shell command in a sandbox, as root, and waits for its end.
///
/// A failed command is a result, not an error: see [`ExecOutput::exit_code`]. A command that exceeds its
/// [`timeout`](Self::timeout) is killed, its output is lost, and the call fails with the code `command_timeout`.
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_protocol::{SandboxId, sandboxes::Exec};
///
/// let exec = Exec::new(SandboxId::new("sbx_abc123")?, "npm test")
///     .cwd("/home/user/repo")
///     .env("CI", "true")
///     .timeout(Duration::from_secs(300));
/// # let _ = exec;
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct Exec {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The command, for a shell.
    pub command: String,
    /// The working directory; `/root` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Environment variables for this command. The values are secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<BTreeMap<String, Secret>>,
    /// The time limit, rounded up to whole milliseconds: 60 s by default and for 0, at most 10 minutes.
    #[serde(
        default,
        rename = "timeoutMs",
        with = "time::milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
}

/// The relay's limit for a command.
const LONGEST: Duration = Duration::from_secs(10 * 60);

impl Exec {
    /// Creates the operation for this command.
    pub fn new(sandbox_id: impl Into<SandboxId>, command: impl Into<String>) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            command: command.into(),
            cwd: None,
            envs: None,
            timeout: None,
        }
    }
}

setters! {
    Exec, exec_setters;

    /// Sets the working directory; `/root` by default.
    pub fn cwd(mut self, cwd: impl Into<String>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.envs
            .get_or_insert_default()
            .insert(name.into(), value.into());
        self
    }

    /// Adds environment variables: pairs of name and value.
    pub fn envs(
        mut self,
        envs: impl IntoIterator<Item = (impl Into<String>, impl Into<Secret>)>,
    ) -> Self {
        self.envs.get_or_insert_default().extend(
            envs.into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        self
    }

    /// Sets the time limit: 60 s by default and for 0, at most 10 minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Endpoint for Exec {
    const ROUTE: Route = Route::post("/v1/sandboxes/{sandboxId}/exec");

    fn timeouts(&self) -> Timeouts {
        let limit = self
            .timeout
            .filter(|limit| !limit.is_zero())
            .unwrap_or(Duration::from_secs(60));
        // The relay responds when the command has ended or was killed.
        Timeouts::within(limit.saturating_add(Duration::from_secs(15)))
    }

    fn validate(&self) -> Result<(), InvalidRequest> {
        if self.command.is_empty() {
            return Err(InvalidRequest::new("command", Problem::Empty));
        }
        if self.timeout.is_some_and(|timeout| timeout > LONGEST) {
            let rule = Problem::MustBe(
                "at most 10 minutes: start longer commands with `Spawn`, the client's `spawn`",
            );
            return Err(InvalidRequest::new("timeout", rule));
        }
        environment::check(self.envs.as_ref())
    }

    fn secrets(&self) -> Secrets {
        environment::secrets(self.envs.as_ref())
    }
}

impl Operation for Exec {
    type Output = ExecOutput;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<ExecOutput, ResponseError> {
        decode_json(self, head, body)
    }
}

/// The output of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExecOutput {
    /// The exit code; -1 if the command was killed.
    #[serde(deserialize_with = "tolerant::whole")]
    pub exit_code: i32,
    /// The standard output; bytes that are not UTF-8 are U+FFFD.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub stdout: String,
    /// The standard error.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub stderr: String,
}

impl ExecOutput {
    /// Creates an output.
    pub fn new(exit_code: i32, stdout: impl Into<String>, stderr: impl Into<String>) -> Self {
        Self {
            exit_code,
            stdout: stdout.into(),
            stderr: stderr.into(),
        }
    }

    /// Returns whether the exit code is 0.
    pub fn success(&self) -> bool {
        self.exit_code == 0
    }
}
