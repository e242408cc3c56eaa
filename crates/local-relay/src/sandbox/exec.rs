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

use super::isolation::Confinement;
use super::namespaces::{Holder, LONGEST_END, Tools};
use super::processes::{self, Group};

/// The time limit of a command without one, or with a limit of zero.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);

/// The bytes of each output that are kept. The rest is read and dropped, so that the command does not block on a full pipe.
const LONGEST_OUTPUT: usize = 16 * 1024 * 1024;

/// The time for reading the rest of the output after the end of a command. A background process may hold the pipes open for ever.
const GRACE: Duration = Duration::from_millis(100);

/// A script that closes all descriptors except the standard three, and then executes its arguments.
const CLOSE_DESCRIPTORS: &str = include_str!("close_descriptors.sh");

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
    /// Creates a command for bash. By default it runs in `/root`, for at most 60 s.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            text: command.into(),
            cwd: "/root".to_owned(),
            envs: BTreeMap::new(),
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Sets the working directory: `/root` by default. Relative paths are under `/root`.
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

    /// Sets the time limit: 60 s by default and for zero, and at most 10 minutes.
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

/// Leaves out the values of environment variables, which may be secrets.
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

/// The reason a command has no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The command exceeded its time limit, which the value is, and was killed.
    #[error("the command exceeded its time limit of {0:?}")]
    TimedOut(Duration),
    /// The working directory does not exist.
    #[error("cwd '{0}' does not exist")]
    NoSuchDirectory(String),
    /// The text or an environment variable exceeds the system's limit, which is 128 KiB on Linux.
    #[error(
        "the command or one of its environment variables is too long: the limit is 128 KiB on Linux"
    )]
    TooLong,
    /// The relay refuses all commands: see [`Isolation::NoCommands`](crate::Isolation::NoCommands).
    #[error("commands are refused: {0}")]
    Refused(String),
    /// The command could not be started.
    #[error("the command could not be started")]
    NotStarted(#[from] io::Error),
}

/// The runner of one sandbox's commands.
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
            // A group of its own, so that a timeout can kill its children as well.
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
            // Read and wait at the same time: a command with much output would block on a full pipe.
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
                // In namespaces, background processes live as long as the sandbox. On the host, they end with their command.
                if is_entered {
                    group.disarm();
                }
                // A signal that ends the shell leaves no code.
                let code = status?.code().unwrap_or(-1);
                Ok(ExecOutput::new(
                    code,
                    String::from_utf8_lossy(&stdout),
                    String::from_utf8_lossy(&stderr),
                ))
            }
            Err(_) => {
                // Kills the group. Its leader may have to collect the command first: see `Group::entered_by`.
                drop(group);
                if timeout(LONGEST_END, child.wait()).await.is_err() {
                    child.kill().await.ok();
                }
                Err(ExecError::TimedOut(command.timeout))
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
                    // The environment of the relay's process may hold secrets.
                    .env_clear()
                    .envs(self.variables(command));
                Ok(process)
            }
            Confinement::NoCommands(reason) => Err(ExecError::Refused(reason.clone())),
        }
    }

    /// Sets up a process that enters the namespaces to run a command there.
    ///
    /// The process begins on the host, where a variable such as `LD_PRELOAD` would take effect. So it carries each variable as the value
    /// of a harmless one, and only the shell inside makes an environment of them. They cannot be arguments, which every user of the
    /// host can read.
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
        // The working directory has to be on a mount of the sandbox, so the shell inside changes to it.
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

    /// Returns the whole environment of a command.
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
        // Later ones replace earlier ones: those of the command win.
        for (name, value) in valid(&self.envs).chain(valid(&command.envs)) {
            variables.insert(name.clone(), value.into());
        }
        variables
    }

    async fn enter(&self, tools: &Tools) -> Result<Process, ExecError> {
        let mut state = self.holder.lock().await;
        if let State::Closed = *state {
            return Err(io::Error::other("the sandbox was deleted").into());
        }
        // If the first process has ended, so have its namespaces, and this command gets new ones.
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

    /// Returns a path of the sandbox as its commands have to write it.
    pub(crate) fn path(&self, path: &str) -> String {
        match self.confinement {
            Confinement::Unconfined => self.on_host(path).to_string_lossy().into_owned(),
            Confinement::Namespaces(_) | Confinement::NoCommands(_) => path.to_owned(),
        }
    }

    /// Returns the path on the host of a path in the sandbox. Paths outside of the sandbox's roots stay as they are.
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

    /// Ends all processes. Later commands fail.
    pub(crate) async fn close(&self) {
        let mut state = self.holder.lock().await;
        if let State::Held(holder) = std::mem::replace(&mut *state, State::Closed) {
            holder.end().await;
        }
        if let Confinement::Unconfined = self.confinement {
            let dir = self.dir.clone();
            spawn_blocking(move || processes::kill_all_of(&dir))
                .await
                .ok();
        }
    }
}

/// Makes a path absolute: relative paths are under `/root`.
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

/// Returns the variables that the system accepts.
fn valid(envs: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    envs.iter().filter(|(name, value)| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    })
}

/// Returns the search path of the relay's own process. Commands need it to find programs, and it contains no secret.
pub(super) fn path_variable() -> OsString {
    std::env::var_os("PATH")
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into())
}

/// Returns a command for a program that inherits only the standard three descriptors of this process.
///
/// The other descriptors are closed on the host: in the sandbox, other processes could grab them before.
pub(super) fn without_descriptors(program: &Path) -> Process {
    let mut process = Process::new(shell());
    process
        // Under this name, bash ignores `BASH_ENV`, which is meant for the shell of the command.
        .arg0("sh")
        .args(["-c", CLOSE_DESCRIPTORS, "sh"])
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

/// Quotes text as one word of a shell command.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
