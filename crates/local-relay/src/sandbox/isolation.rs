use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// How the commands of a sandbox are kept apart from the machine that runs the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// Each sandbox has namespaces of its own for users, mounts and processes: its directories are mounted at
    /// `/home/user`, `/root` and `/tmp`, the rest of the system can be read and not written, and `/proc` shows its own
    /// processes. A process in the background lives as long as the sandbox.
    ///
    /// The network is the host's. Commands have the rights of the user who runs the relay: they read what this user may
    /// read, and where it is root they can set what is in `/proc/sys`.
    Namespaces,
    /// Commands are ordinary processes of the host. Their working directory, `HOME` and `TMPDIR` are in the sandbox's
    /// directory, and nothing keeps them there. A process in the background ends with its command.
    ///
    /// This protects nothing of the host: commands read and write whatever the user who runs the relay may, also the
    /// environment of the relay's process, with its secrets, in `/proc`. A process that leaves the group of its command
    /// runs on until the sandbox is deleted, and longer if it also changes its `TMPDIR`.
    Processes,
}

/// Makes the mounts in new namespaces, and goes on in others that are within these: there the mounts are locked, so that
/// not even root can undo them. Only `/proc` stays as it is: making the others takes a file in it.
///
/// Sources are relative to the sandbox's directory, since the mounts may hide the way there; hence no canonical paths.
const MOUNTS: &str = r#"
set -e
mount -t tmpfs -o mode=755,size=1m tmpfs /home
mkdir /home/user
while read -r id parent device root place rest; do
    [ "$place" = /proc ] || mount -o remount,bind,ro "$(printf '%b' "$place")" 2>/dev/null || :
done </proc/self/mountinfo
for place in home/user root tmp; do
    mount --no-canonicalize --bind "$place" "/$place"
    mount -o remount,bind,rw "/$place"
done
exec "$0" --user --map-root-user --mount --pid --fork --kill-child -- /bin/sh -c "$1"
"#;

/// Says the number of its process as the host counts, and waits until the relay closes its standard input: should the
/// relay be killed, the sandbox ends with it.
///
/// `/proc` is still the host's when it is asked for that number.
const HOLD: &str = r#"
set -e
read -r pid rest </proc/self/stat
mount -t proc proc /proc
cd /
echo "$pid"
read -r rest || :
"#;

/// How long the namespaces of a sandbox may take to be there.
const LONGEST_START: Duration = Duration::from_secs(10);

/// How long what was killed may take to be gone: a process that nobody collects takes for ever.
pub(super) const LONGEST_END: Duration = Duration::from_secs(2);

/// The programs that make namespaces and enter them, where the system has them.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    unshare: PathBuf,
    nsenter: PathBuf,
}

impl Tools {
    /// Finds out by doing it, once for each process. The directory is one where a sandbox could be.
    pub(crate) async fn detect(dir: &Path) -> Option<Self> {
        static FOUND: OnceLock<Option<Tools>> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return found.clone();
        }
        let found = Self::probe(dir).await;
        FOUND.get_or_init(|| found).clone()
    }

    async fn probe(dir: &Path) -> Option<Self> {
        let tools = Self {
            unshare: find("unshare")?,
            nsenter: find("nsenter")?,
        };
        let holder = Holder::start(&tools, dir).await.ok()?;
        let status = tools
            .enter(&holder)
            .args(["/bin/sh", "-c", "test -d /home/user && test -e /proc/1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
        holder.end().await;
        status.is_ok_and(|status| status.success()).then_some(tools)
    }

    /// The beginning of a command line within the namespaces of `holder`.
    pub(crate) fn enter(&self, holder: &Holder) -> Command {
        let mut command = Command::new(&self.nsenter);
        command
            .args(["--target", &holder.pid.as_raw_nonzero().to_string()])
            .args(["--user", "--preserve-credentials", "--mount", "--pid", "--"]);
        command
    }
}

/// The first process of a sandbox's namespaces. They end with it, and all processes in them.
pub(crate) struct Holder {
    unshare: Child,
    /// As the host counts.
    pid: Pid,
    _stdin: Option<ChildStdin>,
}

impl Holder {
    pub(crate) async fn start(tools: &Tools, dir: &Path) -> io::Result<Self> {
        let mut unshare = Command::new(&tools.unshare)
            .args(["--user", "--map-root-user", "--mount", "--"])
            .args(["/bin/sh", "-c", MOUNTS])
            .arg(&tools.unshare)
            .arg(HOLD)
            .current_dir(dir)
            .env_clear()
            .env("PATH", super::exec::path_variable())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = unshare.stdin.take();
        let stdout = unshare.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        timeout(LONGEST_START, BufReader::new(stdout).read_line(&mut line)).await??;
        let pid = line
            .trim()
            .parse()
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("the namespaces were not made"))?;
        Ok(Self {
            unshare,
            pid,
            _stdin: stdin,
        })
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
            kill_process(self.pid, Signal::KILL).ok();
        }
        timeout(LONGEST_END, self.unshare.wait()).await.ok();
    }
}

/// The program in the relay's own search path, or where systems keep it.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|program| program.is_absolute() && program.is_file())
}
