use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Gid, Uid, fchown};
use rustix::process::getuid;

/// The user `nobody`, which is unprivileged on every system that has it.
const NOBODY: u32 = 65534;

/// The user that runs the commands of a relay that itself runs as root.
///
/// In any namespace, the kernel gives the host's user 0 access to settings, devices and files, and so do services that check their peer.
/// So the root of a sandbox is another user on the host, which owns the sandbox's files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Owner {
    /// Returns the owner for a relay that runs as root, or `None` if it does not.
    pub(crate) fn in_place_of_root() -> Option<Self> {
        let nobody = Self {
            uid: NOBODY,
            gid: NOBODY,
        };
        getuid().is_root().then_some(nobody)
    }

    /// Makes this user the owner of an open file or directory.
    pub(super) fn take(self, file: impl AsFd) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        Ok(fchown(file, Some(uid), Some(gid))?)
    }
}
