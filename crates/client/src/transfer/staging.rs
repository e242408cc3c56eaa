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
    /// The modes of directories that are set at the end.
    final_modes: Vec<(PathBuf, u32)>,
    is_finished: bool,
}

impl Staging {
    /// Chooses a temporary name in the same directory: a file can be renamed only within its file system.
    fn beside(to: &Path) -> Result<Self, TransferError> {
        let parent = match to.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|error| TransferError::disk(parent, error))?;
        Ok(Self {
            place: parent.join(format!("{}.part", random_name())),
            to: to.to_owned(),
            final_modes: Vec::new(),
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
    pub(super) fn set_mode_at_end(&mut self, place: PathBuf, mode: u32) {
        self.final_modes.push((place, mode));
    }

    /// Moves everything to its final name in one step.
    pub(super) fn finish(mut self) -> Result<(), TransferError> {
        // The last first: an archive lists a directory before those in it, which cannot be reached once it is closed.
        for (place, mode) in self.final_modes.iter().rev() {
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
        // Errors are ignored: a destructor cannot report them. Directories are opened first, because nothing can be removed from one
        // without write permission.
        for (place, _) in &self.final_modes {
            set_mode(place, 0o700).ok();
        }
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
