//! Finds and kills the processes of commands.
//!
//! ```text
//!   a command ends or is dropped ─► Group: the processes of its process group
//!   the sandbox closes ─► with namespaces: their Holder ends, and the kernel kills the rest
//!                      └► without: kill_all_of, the processes that left their group, by their TMPDIR
//! ```

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;

/// The maximum number of rounds of killing, in case processes fork in between.
const MAX_ROUNDS: usize = 20;

/// The process group of a command, killed when this is dropped.
pub(super) struct Group {
    leader: Option<Pid>,
    leader_enters: bool,
}

impl Group {
    /// Returns the group of a command that is its own leader.
    pub(super) fn of(leader: &Child) -> Self {
        Self::new(leader, false)
    }

    /// Returns the group of a command whose parent is the leader, a process that has entered the command's namespaces.
    ///
    /// The drop does not kill the leader, which ends after it has collected the command. Otherwise the host's first process would have
    /// to collect the command. It may do so late or never, and until then the namespaces cannot end.
    pub(super) fn entered_by(leader: &Child) -> Self {
        Self::new(leader, true)
    }

    /// Lets the processes of the group live.
    pub(super) fn disarm(mut self) {
        self.leader = None;
    }

    fn new(leader: &Child, leader_enters: bool) -> Self {
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        Self {
            leader: id.and_then(Pid::from_raw),
            leader_enters,
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(leader) = self.leader else { return };
        if self.leader_enters && kill_followers(leader) {
            // The leader stops itself when the command is stopped. Continue it, so that it can collect the command.
            kill_process(leader, Signal::CONT).ok();
        } else {
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

/// Kills a group except its leader. Returns whether it has killed a process and none is left.
fn kill_followers(leader: Pid) -> bool {
    let mut killed = Vec::new();
    for _ in 0..MAX_ROUNDS {
        // Killed processes stay in the group until they are collected, so they are not killed again.
        let is_meant =
            |pid: &Pid| *pid != leader && !killed.contains(pid) && group_of(*pid) == Some(leader);
        let found: Vec<Pid> = all().filter(is_meant).collect();
        if found.is_empty() {
            return !killed.is_empty();
        }
        for pid in found {
            kill_process(pid, Signal::KILL).ok();
            killed.push(pid);
        }
    }
    false
}

fn group_of(pid: Pid) -> Option<Pid> {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    // The name of the program may be invalid UTF-8.
    let status = std::fs::read(path).ok()?;
    let status = String::from_utf8_lossy(&status);
    // The name is in parentheses, and may contain some itself. The state, the parent and the group follow.
    let (_, after_name) = status.rsplit_once(") ")?;
    let group = after_name.split(' ').nth(2)?;
    group.parse().ok().and_then(Pid::from_raw)
}

/// Kills the processes whose `TMPDIR` is in a directory.
///
/// A process with its own session has left the group of its command, and only its environment shows its origin. Without `/proc`, such
/// processes stay.
pub(super) fn kill_all_of(dir: &Path) {
    for _ in 0..MAX_ROUNDS {
        let found: Vec<Pid> = all().filter(|pid| is_from(*pid, dir)).collect();
        if found.is_empty() {
            return;
        }
        for pid in found {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

fn is_from(pid: Pid, dir: &Path) -> bool {
    let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
    let Ok(environment) = std::fs::read(path) else {
        return false;
    };
    environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| variable.strip_prefix(b"TMPDIR="))
        .any(|value| Path::new(OsStr::from_bytes(value)).starts_with(dir))
}

/// Returns all visible processes. There are none without `/proc`.
fn all() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse().ok().and_then(Pid::from_raw)
    })
}
