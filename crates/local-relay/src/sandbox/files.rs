use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, OpenOptions, OpenOptionsExt};
use rustix::fs::{FlockOperation, OFlags, flock};
use twentyfirst_protocol::files::{FileEntry, FileType as EntryType};

use super::entry::{entry, or_dot};
use super::owner::Owner;
use super::remove_tree::remove_tree;

/// The writable directories of a sandbox. Everything else in its file system belongs to the host.
pub(crate) const ROOTS: [&str; 3] = ["home/user", "root", "tmp"];

/// The largest file that is read into memory.
const LONGEST_FILE: u64 = 256 * 1024 * 1024;

/// The maximum number of symbolic links in a path, as in Linux.
const MAX_LINKS: usize = 40;

/// The files of a sandbox, under the paths that its commands see.
///
/// Every access goes through a capability to one directory, so a wrongly resolved path is an error and never a file of the host.
/// Paths are still resolved here: the capability refuses absolute links, which commands may well create.
pub(crate) struct Files {
    dir: Dir,
    /// The path of the directory on the host. Links by unconfined commands contain it.
    host: PathBuf,
    /// The owner of all files, if it is not the relay's own user.
    owner: Option<Owner>,
    /// Marks the directory as in use, so that other relays do not remove it.
    _lock: File,
}

/// The reason a file call failed. Paths are those of the request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path does not exist.
    #[error("path '{0}' does not exist")]
    Missing(String),
    /// The path is outside of `/home/user`, `/root` and `/tmp`.
    #[error("path '{0}' is outside of the sandbox's '/home/user', '/root' and '/tmp'")]
    Outside(String),
    /// The path is a directory, and a file was expected.
    #[error("path '{0}' is a directory")]
    IsADirectory(String),
    /// The path is not a directory, and one was expected.
    #[error("path '{0}' is not a directory")]
    NotADirectory(String),
    /// The file system refused an operation.
    #[error("path '{path}' cannot be used")]
    #[non_exhaustive]
    Io {
        /// The path of the request.
        path: String,
        /// The error of the file system.
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, FileError>;

impl Files {
    /// Opens a sandbox's directory, and creates its roots.
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
        let (file, length) = self.open_to_read(path)?;
        if length > LONGEST_FILE {
            return Err(failed(path, io::ErrorKind::FileTooLarge.into()));
        }
        read_up_to(file, LONGEST_FILE).map_err(|error| failed(path, error))
    }

    /// Opens a file to read, and returns it with its length.
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

    /// Creates or truncates a file to write, and creates its missing parent directories.
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

    /// Opens a regular file, and returns it with its length. Refuses pipes and devices, which could block a read or a write for ever.
    fn open_file(
        &self,
        path: &str,
        place: &Path,
        options: &mut OpenOptions,
    ) -> Result<(File, u64)> {
        // Check the opened file, not the path: a command may swap the file between the two. Open without blocking, since opening a
        // pipe would wait for its other end.
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

    /// Lists a directory by name. Each directory is followed by its content, down to `depth`.
    pub(crate) fn list(&self, path: &str, depth: u32) -> Result<Vec<FileEntry>> {
        let place = self.resolve(path, Last::Follow)?;
        if !self.metadata(path, &place)?.is_dir() {
            return Err(FileError::NotADirectory(path.to_owned()));
        }
        let mut entries = Vec::new();
        let mut open = vec![self.names(path, &place)?];
        // Not recursive: commands can nest directories deeper than the stack is.
        while let Some(names) = open.last_mut() {
            let Some(inner) = names.pop() else {
                open.pop();
                continue;
            };
            // Skip entries that were removed in the meantime, and those that are nested too deeply for a path.
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

    /// Returns the places in a directory in reverse order, to be popped.
    fn names(&self, path: &str, place: &Path) -> Result<Vec<PathBuf>> {
        let listing = self
            .dir
            .read_dir(or_dot(place))
            .map_err(|error| failed(path, error))?;
        let mut places: Vec<PathBuf> = listing
            .filter_map(|entry| entry.ok().map(|entry| place.join(entry.file_name())))
            .collect();
        places.sort();
        places.reverse();
        Ok(places)
    }

    /// Creates a directory with its parents, and returns whether it is new.
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

    /// Removes a file or a directory with its content, as `rm -rf`. Removing a missing path is not an error.
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

    /// Resolves a path that is to be moved or removed. Refuses the roots, which are mount points.
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

    /// Resolves a path to its place: relative to the sandbox's root, without links and `..`.
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
                // Safe, because `place` contains no link: they are resolved as they come. At the root, nothing is popped.
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
            // Links may form a circle.
            if links > MAX_LINKS {
                return Err(failed(
                    path,
                    io::Error::other("more than 40 symbolic links"),
                ));
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
            .metadata(or_dot(place))
            .map_err(|error| failed(path, error))
    }

    fn make_parents(&self, path: &str, place: &Path) -> Result<()> {
        match place.parent() {
            Some(parent) => self.make_dirs(parent).map_err(|error| failed(path, error)),
            None => Ok(()),
        }
    }

    /// Creates a directory with its parents, unless it exists.
    fn make_dirs(&self, place: &Path) -> io::Result<()> {
        let Some(owner) = self.owner else {
            return self.dir.create_dir_all(or_dot(place));
        };
        // One by one, because each new directory has to be given to the owner.
        let mut made = PathBuf::new();
        for segment in place {
            made.push(segment);
            match self.dir.create_dir(&made) {
                Ok(()) => owner.take(self.dir.open(&made)?)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        // Fails if an existing place is not a directory.
        self.dir.create_dir_all(or_dot(place))
    }

    fn entry(&self, path: &str, place: &Path) -> Result<FileEntry> {
        entry(&self.dir, place).map_err(|error| failed(path, error))
    }
}

/// The treatment of a link as the last segment of a path.
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

/// Reads a file to its end, and fails beyond the limit. The length of the file does not suffice: a command may write to it meanwhile.
fn read_up_to(file: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}

fn failed(path: &str, source: io::Error) -> FileError {
    let path = path.to_owned();
    if is_missing(&source) {
        FileError::Missing(path)
    } else {
        FileError::Io { path, source }
    }
}

/// Returns whether the path is missing. `a/b` is missing, too, if `a` is a file.
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

    /// Yields a segment of a path or of a link's target: existing names, missing names, and `..`.
    fn segment() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "..", "..", ".", "", "home", "user", "root", "tmp", "a", "b", "c", "host", "secret",
        ])
    }

    /// Yields a path, with `HOST` for the directory of the host.
    fn path() -> impl Strategy<Value = String> {
        let start =
            prop::sample::select(vec!["", "/", "HOST/", "../../../", "/root/", "a/", "b/c/"]);
        let rest = prop::collection::vec(segment(), 0..6);
        (start, rest).prop_map(|(start, rest)| format!("{start}{}", rest.join("/")))
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_does_not_exceed_the_limit() {
        let endless = read_up_to(io::repeat(7), 10).unwrap_err();
        assert_eq!(endless.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_up_to(&b"four"[..], 4).unwrap(), b"four");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_path_and_no_link_leads_out(
            links in prop::collection::vec((path(), path()), 0..6),
            one in path(),
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
                // A command can create a link at any place in the sandbox.
                if let Ok(place) = files.inside(&real(at), Last::Keep) {
                    symlink(real(target), sandbox.join(place)).ok();
                }
            }

            let (one, other) = (real(&one), real(&other));
            if let Ok(content) = files.read(&one) {
                prop_assert_ne!(content, SECRET);
            }
            for entry in files.list(&one, 3).unwrap_or_default() {
                let is_file = entry.file_type == Some(EntryType::File);
                prop_assert!(!is_file || entry.size != Some(SECRET.len() as u64));
            }
            files.write(&one, b"written").ok();
            files.make_dir(&other).ok();
            files.rename(&one, &other).ok();
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
