use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::processes;

/// The maximum number of rounds of killing, in case processes fork in between.
const MAX_ROUNDS: usize = 20;

/// Kills the processes whose `TMPDIR` is in a directory.
///
/// A process with its own session has left the group of its command, and only its environment shows its origin. Without `/proc`, such
/// processes stay.
pub(super) fn kill(dir: &Path) {
    for _ in 0..MAX_ROUNDS {
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
