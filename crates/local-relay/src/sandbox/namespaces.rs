//! Namespaces for the commands of a sandbox, made with `unshare` and entered with `nsenter`.
//!
//! ```text
//!   relay ─► unshare ─► sh, mounts.sh: outer namespaces, where the mounts are made
//!               │          └─► unshare ─► sh, HOLD: inner namespaces, where all mounts are locked
//!               │                             waits until its standard input is closed
//!   relay ─► nsenter outer ─► nsenter inner ─► the shell of a command
//! ```
//!
//! Killing the first process inside ends all others. The relay keeps the standard input of `HOLD` open, so a killed relay ends its
//! sandboxes as well.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::exec::{path_variable, without_descriptors};
use super::owner::Owner;

/// The script that makes the mounts, and then executes [`HOLD`] in inner namespaces.
const MOUNTS: &str = include_str!("mounts.sh");

/// The script that prints its process id on the host, and waits until its standard input is closed. A killed relay closes it, too.
const HOLD: &str = r#"echo "$1"; read -r rest || :"#;

/// The time limit for making the namespaces of a sandbox.
const LONGEST_START: Duration = Duration::from_secs(10);

/// The time limit for killed processes to disappear. A process that nobody collects never does.
pub(super) const LONGEST_END: Duration = Duration::from_secs(2);

/// The bytes of standard error that are read for an error message.
const LONGEST_STDERR: u64 = 1000;

/// The programs that make and enter namespaces.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    unshare: PathBuf,
    nsenter: PathBuf,
}

impl Tools {
    /// Tries to make and enter namespaces in a directory, once per process.
    ///
    /// # Errors
    /// Returns the reason the system does not allow namespaces.
    pub(crate) async fn detect(dir: &Path) -> Result<Self, String> {
        static FOUND: OnceLock<Result<Tools, String>> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return found.clone();
        }
        let found = Self::probe(dir).await.map_err(|error| error.to_string());
        FOUND.get_or_init(|| found).clone()
    }

    async fn probe(dir: &Path) -> io::Result<Self> {
        let tools = Self {
            unshare: find("unshare")?,
            nsenter: find("nsenter")?,
        };
        let holder = Holder::start(&tools, dir).await?;
        let output = tools
            .enter(&holder)
            .args(["/bin/sh", "-c", "test -d /home/user && test -e /proc/1"])
            .stdin(Stdio::null())
            .output()
            .await;
        holder.end().await;
        let output = output?;
        if output.status.success() {
            Ok(tools)
        } else {
            Err(first_line(&output.stderr))
        }
    }

    /// Returns the beginning of a command line in the namespaces of `holder`.
    ///
    /// It enters the outer namespaces first, which own the process namespace, and then the inner ones, where the mounts are locked.
    pub(crate) fn enter(&self, holder: &Holder) -> Command {
        let outer = holder.outer.as_raw_nonzero();
        let mut command = as_owner(&self.nsenter);
        command
            .args(["--target", &outer.to_string()])
            .args(["--user", "--preserve-credentials", "--mount", "--ipc"])
            .arg(format!("--pid=/proc/{outer}/ns/pid_for_children"))
            .arg("--")
            .arg(&self.nsenter)
            .args(["--target", "1"])
            .args(["--user", "--preserve-credentials", "--mount", "--"]);
        command
    }
}

/// Returns a command for a program without the descriptors of this process. It runs as another user if the relay is root.
fn as_owner(program: &Path) -> Command {
    let mut command = without_descriptors(program);
    if let Some(owner) = Owner::in_place_of_root() {
        // Setting the user also drops the supplementary groups of root.
        command.uid(owner.uid).gid(owner.gid);
    }
    command
}

/// The first process of a sandbox's namespaces. All other processes in them end with it.
pub(crate) struct Holder {
    unshare: Child,
    /// The process in the outer namespaces.
    outer: Pid,
    /// The process id of the first process inside, on the host.
    first: Pid,
    _stdin: Option<ChildStdin>,
}

impl Holder {
    pub(crate) async fn start(tools: &Tools, dir: &Path) -> io::Result<Self> {
        let mut unshare = as_owner(&tools.unshare)
            .args(["--user", "--map-root-user", "--mount", "--ipc"])
            .args(["--pid", "--fork", "--kill-child", "--"])
            .args(["/bin/sh", "-c", MOUNTS])
            .arg(&tools.unshare)
            .arg(HOLD)
            .current_dir(dir)
            .env_clear()
            .env("PATH", path_variable())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        // Kept open: its end ends the sandbox.
        let stdin = unshare.stdin.take();
        let stdout = unshare.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stderr = unshare.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        let read = timeout(LONGEST_START, BufReader::new(stdout).read_line(&mut line)).await;
        let outer = unshare.id().and_then(|id| i32::try_from(id).ok());
        let outer = outer.and_then(Pid::from_raw);
        let first = line.trim().parse().ok().and_then(Pid::from_raw);
        match outer.zip(first) {
            Some((outer, first)) => Ok(Self {
                unshare,
                outer,
                first,
                _stdin: stdin,
            }),
            None => {
                unshare.start_kill().ok();
                read??;
                Err(first_line(&read_stderr(stderr).await))
            }
        }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.unshare.try_wait(), Ok(None))
    }

    /// Ends every process in the namespaces, and waits up to [`LONGEST_END`] until they are gone.
    pub(crate) async fn end(mut self) {
        if self.is_alive() {
            // The parent lives and has not collected the process, so its id cannot belong to another one. The kernel ends the first
            // process of a namespace only after all others.
            kill_process(self.first, Signal::KILL).ok();
        }
        timeout(LONGEST_END, self.unshare.wait()).await.ok();
    }
}

async fn read_stderr(stderr: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut text = Vec::new();
    let mut stderr = stderr.take(LONGEST_STDERR);
    timeout(LONGEST_END, stderr.read_to_end(&mut text))
        .await
        .ok();
    text
}

/// Returns an error with the first line of standard error.
fn first_line(stderr: &[u8]) -> io::Error {
    let text = String::from_utf8_lossy(stderr);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    io::Error::other(
        first
            .unwrap_or("it failed without an error message")
            .to_owned(),
    )
}

/// Finds a program in the relay's own search path, or in the usual directories.
fn find(name: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|program| program.is_absolute() && program.is_file())
        .ok_or_else(|| {
            io::Error::other(format!(
                "the program `{name}` is missing, install util-linux"
            ))
        })
}
