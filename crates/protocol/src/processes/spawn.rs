use std::collections::BTreeMap;
use std::time::Duration;

use super::kill::GRACE;
use super::process_ref::tenths;
use super::script::{Script, quote};
use super::{ProcessError, ProcessId, ProcessRef, ProcessState, ScriptFlow};
use crate::environment;
use crate::error::{InvalidRequest, Problem};
use crate::options::CallOptions;
use crate::setters::setters;
use crate::{SandboxId, Secret};

/// Starts a command in a sandbox and returns while the command runs: see the [module](super).
///
/// The id makes a repeated spawn safe: of all spawns with one id in a sandbox, one starts the command, and each returns the
/// process, even after it has ended. A spawn with the same id and another command is refused. All other settings of a later spawn
/// are ignored: those of the first one apply.
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_protocol::processes::{ProcessId, Spawn};
/// use twentyfirst_protocol::{CallOptions, SandboxId};
///
/// let spawn = Spawn::new(SandboxId::new("sbx_abc123")?, ProcessId::new("build-42")?, "npm run build")
///     .cwd("/home/user/repo")
///     .env("NPM_TOKEN", "npm_…")
///     .timeout(Duration::from_secs(3600));
/// let flow = spawn.flow(&CallOptions::new(), 7)?;
/// # let _ = flow;
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spawn {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// The id of the process, chosen by you.
    pub id: ProcessId,
    /// The command, for bash if the sandbox has it, and for `sh` otherwise.
    pub command: String,
    /// The working directory; `/root` by default.
    pub cwd: Option<String>,
    /// Environment variables for this command. The values are secrets.
    pub envs: BTreeMap<String, Secret>,
    /// Whether input can be [written](ProcessRef::write_stdin). Otherwise the command reads an empty file.
    pub stdin: bool,
    /// The time limit after which it is killed, rounded up to whole seconds; none by default and for 0.
    pub timeout: Option<Duration>,
}

/// The longest command, quoted for a shell: Linux accepts 128 KiB, with the script.
const LONGEST: usize = 100 * 1024;

/// The longest time to start within the sandbox: the script waits 10 s for the claim.
const STARTING: Duration = Duration::from_secs(30);

impl Spawn {
    /// Creates the operation that spawns this command under this id.
    pub fn new(
        sandbox_id: impl Into<SandboxId>,
        id: impl Into<ProcessId>,
        command: impl Into<String>,
    ) -> Self {
        Self {
            sandbox_id: sandbox_id.into(),
            id: id.into(),
            command: command.into(),
            cwd: None,
            envs: BTreeMap::new(),
            stdin: false,
            timeout: None,
        }
    }

    /// Returns the [flow](super#flows) that spawns it. It is retried if its response is lost.
    ///
    /// # Errors
    /// Returns an error if the command is empty, contains a NUL or exceeds 100 KiB as a quoted word of a shell, or if the name of
    /// a variable is invalid.
    pub fn flow(
        &self,
        options: &CallOptions,
        seed: u64,
    ) -> Result<ScriptFlow<ProcessRef>, InvalidRequest> {
        self.validate()?;
        let process = ProcessRef::new(&self.sandbox_id, &self.id);
        ScriptFlow::new(self.script(), options, seed, move |reply| {
            let id = &process.id;
            if reply.get("other").is_some() {
                return Err(ProcessError::OtherCommand(id.clone()));
            }
            match reply.state(id)? {
                ProcessState::Starting => Err(ProcessError::NotStarted(id.clone())),
                _ => Ok(process.clone()),
            }
        })
    }

    fn validate(&self) -> Result<(), InvalidRequest> {
        let problem = if self.command.is_empty() {
            Problem::Empty
        } else if self.command.contains('\0') {
            Problem::MustContain("no NUL")
        } else if quote(&self.command).len() > LONGEST {
            Problem::TooLong { limit: LONGEST }
        } else {
            return environment::check(Some(&self.envs));
        };
        Err(InvalidRequest::new("command", problem))
    }

    fn script(&self) -> Script {
        let limit = self.timeout.unwrap_or_default();
        let limit = limit.as_secs() + u64::from(limit.subsec_nanos() > 0);
        let (limit, grace) = (limit.to_string(), tenths(GRACE));
        let input = if self.stdin { "1" } else { "0" };
        let settings = [self.id.as_str(), &limit, &grace, input, &self.command];
        let names = self.envs.keys().map(String::as_str);
        let arguments = ["spawn"].into_iter().chain(settings).chain(names);
        let mut exec = Script::new(&self.sandbox_id, arguments).0.timeout(STARTING);
        exec.cwd.clone_from(&self.cwd);
        for (number, value) in self.envs.values().enumerate() {
            exec = exec.env(format!("TWENTYFIRST_ENV_{number}"), value.clone());
        }
        Script(exec)
    }
}

setters! {
    Spawn, spawn_setters;

    /// Sets the working directory; `/root` by default.
    pub fn cwd(mut self, cwd: impl Into<String>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Adds an environment variable. The value is a secret: no file of the process and no error contains it.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// Adds environment variables: pairs of name and value.
    pub fn envs(
        mut self,
        envs: impl IntoIterator<Item = (impl Into<String>, impl Into<Secret>)>,
    ) -> Self {
        let envs = envs.into_iter();
        self.envs
            .extend(envs.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Sets whether input can be written. By default the command reads an empty file.
    pub fn stdin(mut self, stdin: bool) -> Self {
        self.stdin = stdin;
        self
    }

    /// Sets the time limit after which it is killed, rounded up to whole seconds; none by default and for 0.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}
