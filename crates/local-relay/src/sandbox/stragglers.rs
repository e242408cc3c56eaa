use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::processes;

/// More rounds than a process can fork away from.
const MOST_ROUNDS: usize = 20;

/// Kills the processes that have a directory in their environment.
///
/// A process that has made a session of its own has left the group of its command, and only its environment tells where
/// it comes from. Where there is no `/proc`, such processes stay.
pub(super) fn kill(dir: &Path) {
    for _ in 0..MOST_ROUNDS {
        let found: Vec<Pid> = processes::all().filter(|pid| is_from(*pid, dir)).collect();
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
