//! Creates and removes the directories of sandboxes.
//!
//! ```text
//!   create ─► 21st-sandbox-<process id>-<random> ─┬─► remove: the sandbox closes
//!                                                 ├─► dropped with the relay
//!                                                 └─► remove_abandoned: the relay was killed; a later one removes it
//! ```

use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirEntry, MetadataExt};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, getuid, test_kill_process};

use tempfile::TempDir;

use super::owner::Owner;
use super::remove_tree::remove_tree;

/// The prefix of all sandbox directories. The process id of their relay follows, and `-`.
const PREFIX: &str = "21st-sandbox-";

/// Creates a directory for a sandbox. Its drop removes it only if commands have not removed permissions in it: see [`remove`].
pub(super) fn create() -> io::Result<TempDir> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir()
}

/// Removes a directory, whatever commands have done to it. Errors are ignored: nobody could handle them.
pub(super) fn remove(dir: TempDir) {
    let dir = dir.keep();
    if let (Some(parent), Some(name)) = (dir.parent(), dir.file_name())
        && let Ok(parent) = Dir::open_ambient_dir(parent, ambient_authority())
    {
        remove_tree(&parent, Path::new(name)).ok();
    }
}

/// Removes the directories of killed relays.
pub(crate) fn remove_abandoned() {
    let place = std::env::temp_dir();
    let Ok(place) = Dir::open_ambient_dir(place, ambient_authority()) else {
        return;
    };
    for entry in place.entries().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(owner_of);
        if owner.is_some_and(|owner| !is_alive(owner)) && is_ours_and_free(&entry) {
            // Errors are ignored: the next relay tries again.
            remove_tree(&place, Path::new(&name)).ok();
        }
    }
}

fn owner_of(name: &str) -> Option<Pid> {
    let (owner, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    owner.parse().ok().and_then(Pid::from_raw)
}

fn is_alive(owner: Pid) -> bool {
    test_kill_process(owner) != Err(rustix::io::Errno::SRCH)
}

/// Returns whether the entry is a directory of this user without a lock.
///
/// The lock matters for a relay in another container with the same temporary directory: its process is not visible here.
fn is_ours_and_free(entry: &DirEntry) -> bool {
    let is_ours = |uid| {
        let owner = Owner::in_place_of_root();
        uid == getuid().as_raw() || owner.is_some_and(|owner| uid == owner.uid)
    };
    let is_our_dir = entry
        .metadata()
        .is_ok_and(|metadata| metadata.is_dir() && is_ours(metadata.uid()));
    is_our_dir
        && entry
            .open_dir()
            .and_then(|dir| dir.open("."))
            .is_ok_and(|dir| flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok())
}
