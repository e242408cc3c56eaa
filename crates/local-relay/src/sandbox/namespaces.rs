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

/// Goes on with [`HOLD`] in namespaces within those that it is called in.
const MOUNTS: &str = include_str!("mounts.sh");

/// Says the number of its process as the host counts, and waits until the relay closes its standard input: should the
/// relay be killed, the sandbox ends with it.
const HOLD: &str = r#"echo "$1"; read -r rest || :"#;

/// How long the namespaces of a sandbox may take to be there.
const LONGEST_START: Duration = Duration::from_secs(10);

/// How long what was killed may take to be gone: a process that nobody collects takes for ever.
pub(super) const LONGEST_END: Duration = Duration::from_secs(2);

/// How much is read of what went wrong.
const LONGEST_COMPLAINT: u64 = 1000;

/// The programs that make namespaces and enter them, where the system has them.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    unshare: PathBuf,
    nsenter: PathBuf,
}

impl Tools {
    /// Finds out by doing it, once for each process. The directory is one where a sandbox could be.
    ///
    /// # Errors
    /// Says why namespaces cannot be had.
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
            Err(complaint(&output.stderr))
        }
    }

    /// The beginning of a command line within the namespaces of `holder`: the outer ones first, to which the processes
    /// belong, then those within, where the mounts are locked.
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

/// A program without the descriptors of this process, which root runs as somebody else.
fn as_owner(program: &Path) -> Command {
    let mut command = without_descriptors(program);
    if let Some(owner) = Owner::in_place_of_root() {
        // With the user, root's further groups go, too.
        command.uid(owner.uid).gid(owner.gid);
    }
    command
}

/// The first process of a sandbox's namespaces. They end with it, and all processes in them.
pub(crate) struct Holder {
    unshare: Child,
    /// The process that is in the outer namespaces.
    outer: Pid,
    /// The first process within, as the host counts.
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
                Err(complaint(&what_was_said(stderr).await))
            }
        }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.unshare.try_wait(), Ok(None))
    }

    /// Ends every process in the namespaces, and returns when they are gone. What somebody else has to collect is waited
    /// for only so long.
    pub(crate) async fn end(mut self) {
        if self.is_alive() {
            // Its parent has not collected it yet, so the number is still its own. The kernel lets the first process of
            // a namespace go only after all others.
            kill_process(self.first, Signal::KILL).ok();
        }
        timeout(LONGEST_END, self.unshare.wait()).await.ok();
    }
}

async fn what_was_said(stderr: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut said = Vec::new();
    let mut stderr = stderr.take(LONGEST_COMPLAINT);
    timeout(LONGEST_END, stderr.read_to_end(&mut said))
        .await
        .ok();
    said
}

fn complaint(said: &[u8]) -> io::Error {
    let said = String::from_utf8_lossy(said);
    let first = said.lines().map(str::trim).find(|line| !line.is_empty());
    io::Error::other(first.unwrap_or("no reason was given").to_owned())
}

/// The program in the relay's own search path, or where systems keep it.
fn find(name: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|program| program.is_absolute() && program.is_file())
        .ok_or_else(|| io::Error::other(format!("there is no program `{name}`")))
}
