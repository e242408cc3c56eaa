//! Unfinished files and directories, kept beside their destination under a temporary name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::TransferError;
use super::random_name;

/// A file or directory under its temporary name. Dropping it before [`finish`](Self::finish) removes it.
pub(super) struct Staging {
    place: PathBuf,
    to: PathBuf,
    /// The directories that become read-only at the end, with their modes.
    closed: Vec<(PathBuf, u32)>,
    is_finished: bool,
}

impl Staging {
    fn beside(to: &Path) -> Result<Self, TransferError> {
        let parent = match to.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|error| TransferError::disk(parent, error))?;
        Ok(Self {
            place: parent.join(format!("{}.part", random_name())),
            to: to.to_owned(),
            closed: Vec::new(),
            is_finished: false,
        })
    }

    pub(super) fn directory(to: &Path) -> Result<Self, TransferError> {
        let staging = Self::beside(to)?;
        fs::create_dir(&staging.place)
            .map_err(|error| TransferError::disk(&staging.place, error))?;
        Ok(staging)
    }

    pub(super) fn file(to: &Path) -> Result<(Self, File), TransferError> {
        let staging = Self::beside(to)?;
        let file = File::create_new(&staging.place)
            .map_err(|error| TransferError::disk(&staging.place, error))?;
        Ok((staging, file))
    }

    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Schedules a directory's mode to be set at the end, after its contents were written.
    pub(super) fn close(&mut self, place: PathBuf, mode: u32) {
        self.closed.push((place, mode));
    }

    /// Moves everything to its final name in one step.
    pub(super) fn finish(mut self) -> Result<(), TransferError> {
        for (place, mode) in self.closed.iter().rev() {
            set_mode(place, *mode).map_err(|error| TransferError::disk(place, error))?;
        }
        fs::rename(&self.place, &self.to).map_err(|error| TransferError::disk(&self.to, error))?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        for (place, _) in &self.closed {
            set_mode(place, 0o700).ok();
        }
        // Errors are ignored: a destructor cannot report them.
        if self.place.is_dir() {
            fs::remove_dir_all(&self.place).ok();
        } else {
            fs::remove_file(&self.place).ok();
        }
    }
}

#[cfg(unix)]
pub(super) fn set_mode(place: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(place, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(super) fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}
