use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, OpenOptions, OpenOptionsExt};
use rustix::fs::{FlockOperation, OFlags, flock};
use twentyfirst_protocol::files::{FileEntry, FileType as EntryType};

use super::entry::{entry, here};
use super::owner::Owner;
use super::removal::remove_tree;

/// The directories of a sandbox that can be written to; everything else of its file system belongs to the host.
pub(crate) const ROOTS: [&str; 3] = ["home/user", "root", "tmp"];

/// The longest file that is read into memory.
const LONGEST_FILE: u64 = 256 * 1024 * 1024;

/// As many as Linux follows.
const MOST_LINKS: usize = 40;

/// The files of a sandbox, by the paths that its commands see.
///
/// A capability to one directory does every access, so a path that was resolved wrongly is an error and never a file
/// of the host. Paths are resolved here because the capability refuses absolute links, which commands may well make.
pub(crate) struct Files {
    dir: Dir,
    /// Where the directory is on the host: links of commands that are not isolated point there.
    host: PathBuf,
    /// To whom everything in it belongs, where that is not the relay's own user.
    owner: Option<Owner>,
    /// Says that the directory is in use.
    _lock: File,
}

/// Why a file call fails. Paths are those of the request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is nothing at this path.
    #[error("path '{0}' does not exist")]
    Missing(String),
    /// The path is outside of `/home/user`, `/root` and `/tmp`.
    #[error("path '{0}' is outside of the sandbox")]
    Outside(String),
    /// A file was asked for, and there is a directory.
    #[error("path '{0}' is a directory")]
    IsADirectory(String),
    /// A directory was asked for, and there is something else.
    #[error("path '{0}' is not a directory")]
    NotADirectory(String),
    /// The file system refused.
    #[error("path '{path}' cannot be used")]
    #[non_exhaustive]
    Io {
        /// The path.
        path: String,
        /// Why.
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, FileError>;

impl Files {
    /// Opens a sandbox's directory, and makes what is in every sandbox.
    pub(crate) fn open(host: &Path, owner: Option<Owner>) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(host, ambient_authority())?;
        let lock = dir.open(".")?;
        flock(&lock, FlockOperation::LockShared)?;
        if let Some(owner) = owner {
            owner.take(&lock)?;
        }
        let files = Self {
            dir,
            host: host.to_owned(),
            owner,
            _lock: lock,
        };
        for root in ROOTS {
            files.make_dirs(Path::new(root))?;
        }
        Ok(files)
    }

    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>> {
        let (mut file, length) = self.open_to_read(path)?;
        if length > LONGEST_FILE {
            return Err(failed(path, io::ErrorKind::FileTooLarge.into()));
        }
        let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        file.read_to_end(&mut content)
            .map_err(|error| failed(path, error))?;
        Ok(content)
    }

    /// A file to read, and its length.
    pub(crate) fn open_to_read(&self, path: &str) -> Result<(File, u64)> {
        let place = self.resolve(path, Last::Follow)?;
        let metadata = self.metadata(path, &place)?;
        if metadata.is_dir() {
            return Err(FileError::IsADirectory(path.to_owned()));
        }
        self.open_file(path, &place, OpenOptions::new().read(true))
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        let mut file = self.open_to_write(path)?;
        file.write_all(content).map_err(|error| failed(path, error))
    }

    /// A new or emptied file to write, in a directory that is made if need be.
    pub(crate) fn open_to_write(&self, path: &str) -> Result<File> {
        let place = self.inside(path, Last::Follow)?;
        match self.dir.metadata(&place) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(FileError::IsADirectory(path.to_owned()));
            }
            _ => {}
        }
        self.make_parents(path, &place)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let (file, _) = self.open_file(path, &place, &mut options)?;
        if let Some(owner) = self.owner {
            owner.take(&file).map_err(|error| failed(path, error))?;
        }
        Ok(file)
    }

    /// An ordinary file, and its length. A pipe or a device would hold whoever reads or writes it for ever.
    fn open_file(
        &self,
        path: &str,
        place: &Path,
        options: &mut OpenOptions,
    ) -> Result<(File, u64)> {
        // What is opened is looked at, not what was there before: commands may swap files while this goes on. A pipe
        // must not hold the opening either.
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let file = self
            .dir
            .open_with(place, options.custom_flags(nonblocking))
            .map_err(|error| failed(path, error))?;
        let metadata = file.metadata().map_err(|error| failed(path, error))?;
        if !metadata.is_file() {
            return Err(failed(path, io::ErrorKind::InvalidInput.into()));
        }
        Ok((file, metadata.len()))
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.info(path).is_ok()
    }

    pub(crate) fn is_dir(&self, path: &str) -> bool {
        self.resolve(path, Last::Follow)
            .and_then(|place| self.metadata(path, &place))
            .is_ok_and(|metadata| metadata.is_dir())
    }

    pub(crate) fn info(&self, path: &str) -> Result<FileEntry> {
        let place = self.resolve(path, Last::Keep)?;
        self.entry(path, &place)
    }

    /// What is in a directory, by name, each directory followed by what is in it down to `depth`.
    pub(crate) fn list(&self, path: &str, depth: u32) -> Result<Vec<FileEntry>> {
        let place = self.resolve(path, Last::Follow)?;
        if !self.metadata(path, &place)?.is_dir() {
            return Err(FileError::NotADirectory(path.to_owned()));
        }
        let mut entries = Vec::new();
        let mut open = vec![self.names(path, &place)?];
        // A stack of its own: commands can nest directories deeper than calls.
        while let Some(names) = open.last_mut() {
            let Some(inner) = names.pop() else {
                open.pop();
                continue;
            };
            // What was removed in between is no longer there, and what lies too deep has no path that the system takes.
            let Ok(entry) = self.entry(path, &inner) else {
                continue;
            };
            let is_dir = entry.file_type == Some(EntryType::Dir);
            entries.push(entry);
            if is_dir && open.len() < depth as usize {
                open.push(self.names(path, &inner).unwrap_or_default());
            }
        }
        Ok(entries)
    }

    /// The places in a directory, the last one first.
    fn names(&self, path: &str, place: &Path) -> Result<Vec<PathBuf>> {
        let listing = self
            .dir
            .read_dir(here(place))
            .map_err(|error| failed(path, error))?;
        let mut places: Vec<PathBuf> = listing
            .filter_map(|entry| entry.ok().map(|entry| place.join(entry.file_name())))
            .collect();
        places.sort();
        places.reverse();
        Ok(places)
    }

    /// Whether the directory is new.
    pub(crate) fn make_dir(&self, path: &str) -> Result<bool> {
        let place = self.inside(path, Last::Follow)?;
        match self.dir.metadata(&place) {
            Ok(metadata) if metadata.is_dir() => Ok(false),
            Ok(_) => Err(FileError::NotADirectory(path.to_owned())),
            Err(_) => {
                self.make_dirs(&place)
                    .map_err(|error| failed(path, error))?;
                Ok(true)
            }
        }
    }

    pub(crate) fn rename(&self, old: &str, new: &str) -> Result<FileEntry> {
        let from = self.removable(old)?;
        self.entry(old, &from)?;
        let to = self.removable(new)?;
        self.make_parents(new, &to)?;
        self.dir
            .rename(&from, &self.dir, &to)
            .map_err(|error| failed(new, error))?;
        self.entry(new, &to)
    }

    /// Removes what is there with all that is in it, as `rm -rf`.
    pub(crate) fn remove(&self, path: &str) -> Result<()> {
        let place = self.removable(path)?;
        let removed = match self.dir.symlink_metadata(&place) {
            Ok(metadata) if metadata.is_dir() => remove_tree(&self.dir, &place),
            Ok(_) => self.dir.remove_file(&place),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if !is_missing(&error) => Err(failed(path, error)),
            _ => Ok(()),
        }
    }

    /// A path that may be moved or removed: in the sandbox, and none of its roots, which are mounted.
    fn removable(&self, path: &str) -> Result<PathBuf> {
        let place = self.inside(path, Last::Keep)?;
        if ROOTS.iter().any(|root| Path::new(root) == place) {
            return Err(failed(path, io::ErrorKind::ResourceBusy.into()));
        }
        Ok(place)
    }

    fn inside(&self, path: &str, last: Last) -> Result<PathBuf> {
        let place = self.resolve(path, last)?;
        if ROOTS.iter().any(|root| place.starts_with(root)) {
            Ok(place)
        } else {
            Err(FileError::Outside(path.to_owned()))
        }
    }

    /// Where a path leads, from the sandbox's root and without links.
    fn resolve(&self, path: &str, last: Last) -> Result<PathBuf> {
        if path.contains('\0') {
            return Err(failed(path, io::ErrorKind::InvalidInput.into()));
        }
        let mut rest: VecDeque<OsString> = segments(Path::new(path));
        let mut place = if path.starts_with('/') {
            PathBuf::new()
        } else {
            PathBuf::from("root")
        };
        let mut links = 0;
        while let Some(segment) = rest.pop_front() {
            if segment == ".." {
                place.pop();
                continue;
            }
            let next = place.join(&segment);
            let follow = !rest.is_empty() || last == Last::Follow;
            let is_link = follow
                && self
                    .dir
                    .symlink_metadata(&next)
                    .is_ok_and(|metadata| metadata.is_symlink());
            if !is_link {
                place = next;
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(failed(path, io::Error::other("too many links")));
            }
            let target = self
                .dir
                .read_link_contents(&next)
                .map_err(|error| failed(path, error))?;
            let target = match target.strip_prefix(&self.host) {
                Ok(within) => Path::new("/").join(within),
                Err(_) => target,
            };
            if target.is_absolute() {
                place = PathBuf::new();
            }
            for segment in segments(&target).into_iter().rev() {
                rest.push_front(segment);
            }
        }
        Ok(place)
    }

    fn metadata(&self, path: &str, place: &Path) -> Result<Metadata> {
        self.dir
            .metadata(here(place))
            .map_err(|error| failed(path, error))
    }

    fn make_parents(&self, path: &str, place: &Path) -> Result<()> {
        match place.parent() {
            Some(parent) => self.make_dirs(parent).map_err(|error| failed(path, error)),
            None => Ok(()),
        }
    }

    /// Makes a directory with those that it needs, unless it is there.
    fn make_dirs(&self, place: &Path) -> io::Result<()> {
        let Some(owner) = self.owner else {
            return self.dir.create_dir_all(here(place));
        };
        let mut made = PathBuf::new();
        for segment in place {
            made.push(segment);
            match self.dir.create_dir(&made) {
                Ok(()) => owner.take(self.dir.open(&made)?)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        // What was there already may be something else.
        self.dir.create_dir_all(here(place))
    }

    fn entry(&self, path: &str, place: &Path) -> Result<FileEntry> {
        entry(&self.dir, place).map_err(|error| failed(path, error))
    }
}

/// What to do where the last segment of a path is a link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Follow,
    Keep,
}

fn segments(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

fn failed(path: &str, source: io::Error) -> FileError {
    let path = path.to_owned();
    if is_missing(&source) {
        FileError::Missing(path)
    } else {
        FileError::Io { path, source }
    }
}

/// `a/b` is as missing where `a` is a file.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"a secret of the host";

    /// A piece of a path or of a link's target: names that exist, that do not, and ways out.
    fn segment() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "..", "..", ".", "", "home", "user", "root", "tmp", "a", "b", "c", "host", "secret",
        ])
    }

    /// A path, with `HOST` for the directory of the host.
    fn path() -> impl Strategy<Value = String> {
        let start =
            prop::sample::select(vec!["", "/", "HOST/", "../../../", "/root/", "a/", "b/c/"]);
        let rest = prop::collection::vec(segment(), 0..6);
        (start, rest).prop_map(|(start, rest)| format!("{start}{}", rest.join("/")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn whatever_the_links_nothing_leads_out(
            links in prop::collection::vec((path(), path()), 0..6),
            asked in path(),
            other in path(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (host, sandbox) = (dir.path().join("host"), dir.path().join("sandbox"));
            std::fs::create_dir_all(host.join("a")).unwrap();
            std::fs::write(host.join("secret"), SECRET).unwrap();
            std::fs::create_dir(&sandbox).unwrap();
            let files = Files::open(&sandbox, None).unwrap();
            files.make_dir("/root/a/b").unwrap();
            files.write("/home/user/c", b"c").unwrap();
            let real = |path: &str| path.replace("HOST", host.to_str().unwrap());
            for (at, target) in &links {
                // As a command could: wherever the place is in the sandbox.
                if let Ok(place) = files.inside(&real(at), Last::Keep) {
                    symlink(real(target), sandbox.join(place)).ok();
                }
            }

            let (asked, other) = (real(&asked), real(&other));
            if let Ok(content) = files.read(&asked) {
                prop_assert_ne!(content, SECRET);
            }
            for entry in files.list(&asked, 3).unwrap_or_default() {
                let is_file = entry.file_type == Some(EntryType::File);
                prop_assert!(!is_file || entry.size != Some(SECRET.len() as u64));
            }
            files.write(&asked, b"written").ok();
            files.make_dir(&other).ok();
            files.rename(&asked, &other).ok();
            files.remove(&other).ok();
            let left: Vec<_> = std::fs::read_dir(&host)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            prop_assert_eq!(left.len(), 2);
            prop_assert_eq!(std::fs::read(host.join("secret")).unwrap(), SECRET);
            prop_assert_eq!(std::fs::read_dir(host.join("a")).unwrap().count(), 0);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
            for root in ROOTS {
                prop_assert!(sandbox.join(root).is_dir());
            }
        }
    }
}
