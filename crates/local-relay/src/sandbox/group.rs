use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;

use super::processes;

/// More rounds than a process can fork away from.
const MOST_ROUNDS: usize = 20;

/// The process group of a command, killed when this is dropped.
pub(super) struct Group {
    leader: Option<Pid>,
    leader_enters: bool,
}

impl Group {
    /// The group of a command which its leader is.
    pub(super) fn of(leader: &Child) -> Self {
        Self::new(leader, false)
    }

    /// The group of a command whose parent is the leader: that one has entered the namespaces where the command is, and
    /// ends when it has collected it.
    ///
    /// It is left to do so. Without it the first process of the host would have to collect the command, which that one
    /// may do late or never, and until then the namespaces cannot end.
    pub(super) fn entered_by(leader: &Child) -> Self {
        Self::new(leader, true)
    }

    pub(super) fn spare(mut self) {
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
            // It stops when the command does.
            kill_process(leader, Signal::CONT).ok();
        } else {
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

/// Kills a group but for its leader; whether there was anybody, and nobody is left.
fn kill_followers(leader: Pid) -> bool {
    let mut killed = Vec::new();
    for _ in 0..MOST_ROUNDS {
        // The dead are in the group until they are collected.
        let is_meant =
            |pid: &Pid| *pid != leader && !killed.contains(pid) && group_of(*pid) == Some(leader);
        let found: Vec<Pid> = processes::all().filter(is_meant).collect();
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
    // The name of its program may be no text.
    let status = std::fs::read(path).ok()?;
    let status = String::from_utf8_lossy(&status);
    // That name stands in parentheses and may have some itself; the state, the parent and the group follow.
    let (_, after_name) = status.rsplit_once(") ")?;
    let group = after_name.split(' ').nth(2)?;
    group.parse().ok().and_then(Pid::from_raw)
}
