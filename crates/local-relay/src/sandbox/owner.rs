use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Gid, Uid, fchown};
use rustix::process::getuid;

/// `nobody`, who is unprivileged wherever there is such a user.
const NOBODY: u32 = 65534;

/// The user who runs the commands of a relay that itself runs as root.
///
/// The kernel gives much to the user 0 of the host, whatever namespaces it is in: settings, devices, files, and services
/// that ask who is there. So root of a sandbox is somebody else, to whom the sandbox's files belong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Owner {
    /// `None` where the relay does not run as root.
    pub(crate) fn in_place_of_root() -> Option<Self> {
        let nobody = Self {
            uid: NOBODY,
            gid: NOBODY,
        };
        getuid().is_root().then_some(nobody)
    }

    /// Makes an open file or directory its own.
    pub(super) fn take(self, file: impl AsFd) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        Ok(fchown(file, Some(uid), Some(gid))?)
    }
}
