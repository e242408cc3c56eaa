use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command as Process;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use twentyfirst_protocol::sandboxes::ExecOutput;

use super::group::Group;
use super::isolation::Confinement;
use super::namespaces::{Holder, LONGEST_END, Tools};
use super::stragglers;

/// Without a time limit, and for a limit of 0.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);

/// How much of each output is kept; the rest is read away.
const LONGEST_OUTPUT: usize = 16 * 1024 * 1024;

/// How long to wait for what is left in the pipes when the command has ended: a process in the background may hold
/// them open for ever.
const GRACE: Duration = Duration::from_millis(100);

/// Goes on with its arguments when no descriptor is left but the usual three.
const CLOSE: &str = include_str!("close.sh");

/// A shell command for a sandbox.
///
/// ```
/// use std::time::Duration;
/// use twentyfirst_local_relay::Command;
///
/// let command = Command::new("npm test")
///     .cwd("/home/user/repo")
///     .env("CI", "true")
///     .timeout(Duration::from_secs(300));
/// # let _ = command;
/// ```
#[derive(Clone)]
pub struct Command {
    text: String,
    cwd: String,
    envs: BTreeMap<String, String>,
    timeout: Duration,
}

impl Command {
    /// A command for bash. It runs in `/root`, for at most 60 s.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            text: command.into(),
            cwd: "/root".to_owned(),
            envs: BTreeMap::new(),
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// The working directory. Relative paths are under `/root`.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<String>) -> Self {
        self.cwd = cwd.into();
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// The time limit: 60 s for zero, and never more than 10 minutes.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = if limit.is_zero() {
            DEFAULT_TIMEOUT
        } else {
            limit.min(LONGEST_TIMEOUT)
        };
        self
    }

    pub(crate) fn working_dir(&self) -> &str {
        &self.cwd
    }
}

impl<T: Into<String>> From<T> for Command {
    fn from(command: T) -> Self {
        Self::new(command)
    }
}

/// Without the values of environment variables.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("text", &self.text)
            .field("cwd", &self.cwd)
            .field("envs", &self.envs.keys())
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Why a command has no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// It took longer than its time limit, and was killed.
    #[error("the command timed out")]
    TimedOut,
    /// Its working directory is not there.
    #[error("cwd '{0}' does not exist")]
    NoSuchDirectory(String),
    /// Its text or an environment variable is longer than the system takes: 128 KiB on Linux.
    #[error("the command or one of its environment variables is too long")]
    TooLong,
    /// This relay runs no commands: see [`Isolation::NoCommands`](crate::Isolation::NoCommands).
    #[error("commands are refused: {0}")]
    Refused(String),
    /// It could not be started.
    #[error("the command could not be started")]
    NotStarted(#[from] io::Error),
}

/// Runs the commands of one sandbox.
pub(crate) struct Shell {
    dir: PathBuf,
    confinement: Confinement,
    envs: BTreeMap<String, String>,
    holder: Mutex<State>,
}

enum State {
    Idle,
    Held(Box<Holder>),
    Closed,
}

impl Shell {
    pub(crate) fn new(
        dir: &Path,
        confinement: Confinement,
        envs: BTreeMap<String, String>,
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            confinement,
            envs,
            holder: Mutex::new(State::Idle),
        }
    }

    /// Runs a command to its end. Dropping the future kills it.
    pub(crate) async fn run(&self, command: &Command) -> Result<ExecOutput, ExecError> {
        let mut process = self.process(command).await?;
        process
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = process.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::ArgumentListTooLong => ExecError::TooLong,
            _ => ExecError::NotStarted(error),
        })?;
        let is_entered = matches!(self.confinement, Confinement::Namespaces(_));
        let group = if is_entered {
            Group::entered_by(&child)
        } else {
            Group::of(&child)
        };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let ended = {
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let read = async {
                tokio::join!(keep(out, &mut stdout), keep(err, &mut stderr));
            };
            tokio::pin!(read);
            timeout(command.timeout, async {
                tokio::select! {
                    status = child.wait() => {
                        timeout(GRACE, &mut read).await.ok();
                        status
                    }
                    () = &mut read => child.wait().await,
                }
            })
            .await
        };
        match ended {
            Ok(status) => {
                if is_entered {
                    group.spare();
                }
                let code = status?.code().unwrap_or(-1);
                Ok(ExecOutput::new(
                    code,
                    String::from_utf8_lossy(&stdout),
                    String::from_utf8_lossy(&stderr),
                ))
            }
            Err(_) => {
                drop(group);
                if timeout(LONGEST_END, child.wait()).await.is_err() {
                    child.kill().await.ok();
                }
                Err(ExecError::TimedOut)
            }
        }
    }

    async fn process(&self, command: &Command) -> Result<Process, ExecError> {
        match &self.confinement {
            Confinement::Namespaces(tools) => {
                let mut process = self.enter(tools).await?;
                self.set_up_within(&mut process, command);
                Ok(process)
            }
            Confinement::Unconfined => {
                let mut process = without_descriptors(Path::new(shell()));
                process
                    .args(["-c", "--", &command.text])
                    .current_dir(self.on_host(&command.cwd))
                    .env_clear()
                    .envs(self.variables(command));
                Ok(process)
            }
            Confinement::NoCommands(reason) => Err(ExecError::Refused(reason.clone())),
        }
    }

    /// Has a command run by a process that enters the namespaces.
    ///
    /// That process begins on the host, where a variable such as `LD_PRELOAD` would act. So it carries each variable
    /// as the value of another that nobody heeds, and only the shell within makes an environment of them. They are no
    /// arguments, since those can be read by every user of the host.
    fn set_up_within(&self, process: &mut Process, command: &Command) {
        process.env_clear().env("PATH", path_variable());
        let mut carriers = Vec::new();
        for (name, value) in self.variables(command) {
            let mut variable = OsString::from(name);
            variable.push("=");
            variable.push(value);
            let carrier = format!("CARRIED_{}", carriers.len());
            process.env(&carrier, variable);
            carriers.push(carrier);
        }
        // The working directory is to be one of the mounts, so it is chosen from within.
        let script = format!(
            r#"cd -- "$1" && export -n {} && exec env -i -- "${}" "$0" -c -- "$2""#,
            carriers.join(" "),
            carriers.join("\" \"$"),
        );
        process
            .args([shell(), "-c", &script, shell()])
            .arg(absolute(&command.cwd))
            .arg(&command.text);
    }

    /// The whole environment of a command.
    fn variables(&self, command: &Command) -> BTreeMap<String, OsString> {
        let home = self.path("/root");
        let mut variables: BTreeMap<String, OsString> = [
            ("PATH", path_variable()),
            ("HOME", home.into()),
            ("USER", "root".into()),
            ("LOGNAME", "root".into()),
            ("SHELL", shell().into()),
            ("LANG", "C.UTF-8".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Confinement::Unconfined = self.confinement {
            variables.insert("TMPDIR".to_owned(), self.dir.join("tmp").into());
        }
        for (name, value) in valid(&self.envs).chain(valid(&command.envs)) {
            variables.insert(name.clone(), value.into());
        }
        variables
    }

    async fn enter(&self, tools: &Tools) -> Result<Process, ExecError> {
        let mut state = self.holder.lock().await;
        if let State::Closed = *state {
            return Err(io::Error::other("the sandbox is gone").into());
        }
        if let State::Held(holder) = &mut *state
            && holder.is_alive()
        {
            return Ok(tools.enter(holder));
        }
        let holder = Holder::start(tools, &self.dir).await?;
        let process = tools.enter(&holder);
        *state = State::Held(Box::new(holder));
        Ok(process)
    }

    /// A path of the sandbox, as its commands have to call it.
    pub(crate) fn path(&self, path: &str) -> String {
        match self.confinement {
            Confinement::Unconfined => self.on_host(path).to_string_lossy().into_owned(),
            Confinement::Namespaces(_) | Confinement::NoCommands(_) => path.to_owned(),
        }
    }

    /// Where a path of the sandbox is for processes of the host. Paths elsewhere are the host's already.
    fn on_host(&self, path: &str) -> PathBuf {
        let path = absolute(path);
        let relative = path.strip_prefix("/").unwrap_or(&path);
        if super::files::ROOTS
            .iter()
            .any(|root| relative.starts_with(root))
        {
            self.dir.join(relative)
        } else {
            path
        }
    }

    /// Ends all processes. No command can be started afterwards.
    pub(crate) async fn close(&self) {
        let mut state = self.holder.lock().await;
        if let State::Held(holder) = std::mem::replace(&mut *state, State::Closed) {
            holder.end().await;
        }
        if let Confinement::Unconfined = self.confinement {
            let dir = self.dir.clone();
            spawn_blocking(move || stragglers::kill(&dir)).await.ok();
        }
    }
}

/// Relative paths are under `/root`.
fn absolute(path: &str) -> PathBuf {
    Path::new("/root").join(path)
}

async fn keep(pipe: Option<impl AsyncRead + Unpin>, output: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        let room = LONGEST_OUTPUT.saturating_sub(output.len());
        output.extend_from_slice(&buffer[..length.min(room)]);
    }
}

/// Names and values that the system takes.
fn valid(envs: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    envs.iter().filter(|(name, value)| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    })
}

/// The search path of the relay's own process: it says where the programs are, and holds no secret.
pub(super) fn path_variable() -> OsString {
    std::env::var_os("PATH")
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into())
}

/// A program that inherits no descriptors of this process but the usual three.
///
/// They are closed on the host: within, others could take them before.
pub(super) fn without_descriptors(program: &Path) -> Process {
    let mut process = Process::new(shell());
    process
        // By this name it reads no file that a variable names: that is for the shell of the command.
        .arg0("sh")
        .args(["-c", CLOSE, "sh"])
        .arg(program);
    process
}

fn shell() -> &'static str {
    if Path::new("/bin/bash").exists() {
        "/bin/bash"
    } else {
        "/bin/sh"
    }
}

/// Text as one word of a shell command.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
