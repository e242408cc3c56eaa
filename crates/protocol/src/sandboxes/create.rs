use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::Sandbox;
use crate::environment;
use crate::error::{InvalidRequest, Problem, ResponseError};
use crate::files::{FileText, Lengths, texts};
use crate::operation::decode_json;
use crate::setters::setters;
use crate::{Endpoint, Operation, Route, Secret, Secrets, Timeouts, time};

/// Creates a sandbox for a deployed agent.
///
/// The relay responds when the sandbox is ready, which can take minutes with set-up commands. A failed set-up command does not
/// fail the call.
///
/// `Debug` prints paths and lengths of files, and never content.
///
/// ```
/// use twentyfirst_protocol::sandboxes::CreateSandbox;
///
/// let create = CreateSandbox::new("my-agent")
///     .file("data/input.json", r#"{"items":[1,2,3]}"#)
///     .env("DATABASE_URL", "postgres://…")
///     .setup(["npm install"]);
/// # let _ = create;
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct CreateSandbox {
    /// The slug of the agent.
    pub agent: String,
    /// Files to write before set-up, in this order; each path only once. Relative paths are under `/root`.
    #[serde(
        default,
        with = "texts::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub files: Option<Vec<FileText>>,
    /// Environment variables of the sandbox. The values are secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<BTreeMap<String, Secret>>,
    /// Shell commands to run before the sandbox is ready, in `/home/user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<Vec<String>>,
    /// The time to live of the machine, rounded up to whole milliseconds. By default the agent's configuration decides.
    #[serde(
        default,
        rename = "timeoutMs",
        with = "time::milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// Hosts that the sandbox may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_allow_out: Option<Vec<String>>,
    /// Hosts that the sandbox may not reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_deny_out: Option<Vec<String>>,
}

impl CreateSandbox {
    /// Creates the operation for the agent with this slug, with the agent's own configuration.
    pub fn new(agent: impl Into<String>) -> Self {
        Self {
            agent: agent.into(),
            files: None,
            envs: None,
            setup: None,
            timeout: None,
            network_allow_out: None,
            network_deny_out: None,
        }
    }
}

setters! {
    CreateSandbox, create_sandbox_setters;

    /// Adds a file, to be written after the earlier ones.
    pub fn file(mut self, path: impl Into<String>, text: impl Into<String>) -> Self {
        self.files
            .get_or_insert_default()
            .push(FileText::new(path, text));
        self
    }

    /// Adds files in their order: pairs of path and text.
    pub fn files(
        mut self,
        files: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        self.files.get_or_insert_default().extend(texts::of(files));
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

    /// Sets the commands to run before the sandbox is ready, in `/home/user`.
    pub fn setup(mut self, commands: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.setup = Some(commands.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the time to live of the machine.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the hosts that the sandbox may reach.
    pub fn network_allow_out(
        mut self,
        hosts: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.network_allow_out = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the hosts that the sandbox may not reach.
    pub fn network_deny_out(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.network_deny_out = Some(hosts.into_iter().map(Into::into).collect());
        self
    }
}

impl Endpoint for CreateSandbox {
    const ROUTE: Route = Route::post("/v1/sandboxes");

    fn timeouts(&self) -> Timeouts {
        Timeouts::within(Duration::from_secs(10 * 60))
    }

    fn validate(&self) -> Result<(), InvalidRequest> {
        if self.agent.is_empty() {
            return Err(InvalidRequest::new("agent", Problem::Empty));
        }
        texts::check(self.files.as_deref().unwrap_or_default())?;
        environment::check(self.envs.as_ref())
    }

    fn secrets(&self) -> Secrets {
        environment::secrets(self.envs.as_ref())
    }
}

impl Operation for CreateSandbox {
    type Output = Sandbox;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Sandbox, ResponseError> {
        decode_json(self, head, body)
    }
}

impl fmt::Debug for CreateSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateSandbox")
            .field("agent", &self.agent)
            .field("files", &self.files.as_deref().map(Lengths))
            .field("envs", &self.envs)
            .field("setup", &self.setup)
            .field("timeout", &self.timeout)
            .field("network_allow_out", &self.network_allow_out)
            .field("network_deny_out", &self.network_deny_out)
            .finish()
    }
}
