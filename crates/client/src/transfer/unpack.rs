use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::error::{TransferError, TransferErrorKind};
use super::name;
use super::progress::{OnProgress, Reporter};
use super::selection::Selection;
use super::staging::{Staging, set_mode};

/// The longest name or extended header that is read into memory.
const LONGEST_HEADER: u64 = 64 * 1024;

/// The most bytes of paths that are kept for directories whose modes are set at the end. Without a limit, a hostile archive could
/// fill the memory.
const MOST_REMEMBERED: usize = 16 * 1024 * 1024;

/// Unpacks an untrusted archive into a new directory.
///
/// [`Files::download_dir`](crate::Files::download_dir) does this with the archive of a sandbox. See [the module](super) for the
/// properties that are kept, the entries that are refused, and the limits.
#[derive(Debug)]
#[must_use = "nothing is unpacked without an archive"]
pub struct Unpack {
    pub(super) to: PathBuf,
    pub(super) selection: Selection,
    pub(super) limits: Limits,
}

/// The limits of an archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 200_000,
            bytes: 4 * 1024 * 1024 * 1024,
        }
    }
}

/// The contents of a transferred directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// The number of files.
    pub files: u64,
    /// The number of directories, without the transferred one itself.
    pub directories: u64,
    /// The number of symbolic and hard links.
    pub links: u64,
    /// The total size of the files in bytes.
    pub bytes: u64,
}

impl Unpack {
    /// Creates an unpacker for this directory, which must be empty or not exist. Missing directories above it are created.
    pub fn new(to: impl Into<PathBuf>) -> Self {
        Self {
            to: to.into(),
            selection: Selection::default(),
            limits: Limits::default(),
        }
    }

    /// Excludes entries with this name at any depth. A name that contains a `/` is a path from the top of the directory. An excluded
    /// directory is left out with all its contents. A name without an entry, such as `.` or `..`, is an error.
    pub fn exclude(mut self, name: impl Into<String>) -> Self {
        self.selection.exclude(name.into());
        self
    }

    /// Sets the most entries that are accepted; the default is 200 000.
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.limits.entries = entries;
        self
    }

    /// Sets the most bytes that the archive may have; the default is 4 GiB. Nothing in an archive grows when it is unpacked.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// Unpacks an uncompressed archive, completely or not at all.
    ///
    /// # Errors
    /// A [`TransferError`] with the path that cannot be kept, or with an error of the disk.
    pub fn unpack(self, archive: impl Read) -> Result<Transferred, TransferError> {
        self.unpack_with(archive, None, None)
    }

    /// Checks the exclusions, and that the directory is empty or does not exist. If the path is a link, replaces it by the link's
    /// target.
    pub(super) fn prepare(mut self) -> Result<Self, TransferError> {
        self.selection.check()?;
        let disk = |path: &Path, error| TransferError::disk(path, error);
        if fs::symlink_metadata(&self.to).is_ok() {
            // The unpacked directory is renamed to this path at the end, which would replace a link and not its target.
            let to = fs::canonicalize(&self.to).map_err(|error| disk(&self.to, error))?;
            if !to.is_dir() {
                return Err(TransferError::new(to, TransferErrorKind::NotADirectory));
            }
            let mut listing = fs::read_dir(&to).map_err(|error| disk(&to, error))?;
            if listing.next().is_some() {
                return Err(TransferError::new(to, TransferErrorKind::NotEmpty));
            }
            self.to = to;
        }
        Ok(self)
    }

    pub(super) fn unpack_with(
        self,
        archive: impl Read,
        on_progress: Option<OnProgress>,
        total: Option<u64>,
    ) -> Result<Transferred, TransferError> {
        let Self {
            to,
            selection,
            limits,
        } = self.prepare()?;
        let staging = Staging::directory(&to)?;
        let (read, is_over) = (Cell::new(0), Cell::new(false));
        let mut archive = Archive::new(Limited {
            archive,
            read: &read,
            is_over: &is_over,
            limit: limits.bytes,
            to: &to,
        });
        let mut unpacking = Unpacking {
            to: &to,
            staging,
            selection,
            reporter: Reporter::new(on_progress, total),
            read: &read,
            parent: PathBuf::new(),
            count: 0,
            most: limits.entries,
            remembered: 0,
            name: None,
            link: None,
            done: Transferred::default(),
        };
        let damaged = |error| TransferError::archive(&to, error);
        // Raw, because otherwise the library reads long names into memory, whatever their length.
        for entry in archive.entries().map_err(damaged)?.raw(true) {
            unpacking.take(entry.map_err(damaged)?)?;
        }
        if is_over.get() || unpacking.name.is_some() || unpacking.link.is_some() {
            let kind = TransferErrorKind::Archive("it ends before its end mark");
            return Err(TransferError::new(&to, kind));
        }
        unpacking.reporter.report(Path::new(""), read.get());
        let done = unpacking.done;
        unpacking.staging.finish()?;
        Ok(done)
    }
}

struct Unpacking<'a> {
    to: &'a Path,
    staging: Staging,
    selection: Selection,
    reporter: Reporter,
    read: &'a Cell<u64>,
    /// The directory of the last entry. It is known to exist, which saves looking at each step for the next entry.
    parent: PathBuf,
    /// The number of entries so far, and the most that are accepted.
    count: u64,
    most: u64,
    /// The total length of the paths that the staging keeps.
    remembered: usize,
    /// The name of the next entry, if an entry of its own has stated it.
    name: Option<Vec<u8>>,
    /// The link target of the next entry, if an entry of its own has stated it.
    link: Option<Vec<u8>>,
    done: Transferred,
}

impl Unpacking<'_> {
    /// Unpacks one entry of the archive.
    fn take<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), TransferError> {
        let kind = entry.header().entry_type();
        // These entries only describe the next one.
        match kind {
            EntryType::GNULongName => {
                self.name = Some(self.long(&mut entry)?);
                return Ok(());
            }
            EntryType::GNULongLink => {
                self.link = Some(self.long(&mut entry)?);
                return Ok(());
            }
            EntryType::XHeader | EntryType::XGlobalHeader => {
                return self.extensions(&mut entry, kind == EntryType::XHeader);
            }
            _ => {}
        }
        // Only here, because entries with long names would otherwise count twice.
        self.count += 1;
        if self.count > self.most {
            let kind = TransferErrorKind::TooManyEntries(self.most);
            return Err(TransferError::new(self.to, kind));
        }
        let header = entry.header();
        // Taken, because they count for this entry only, even if it is not selected.
        let name = self.name.take();
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = self.link.take();
        let link = link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        let link = link.unwrap_or_default();
        let path = name::path(&name).map_err(|kind| TransferError::of_bytes(&name, kind))?;
        if !self.selection.takes_with_parents(&path) {
            return Ok(());
        }
        let refuse = |kind| TransferError::new(&path, kind);
        // Without setuid, setgid and sticky bits, which an agent must not be able to set here.
        let mode = header
            .mode()
            .map_err(|error| TransferError::archive(&path, error))?
            & 0o777;
        self.reporter.report(&path, self.read.get());
        if path.as_os_str().is_empty() {
            // The directory itself, which exists already.
            return match kind {
                EntryType::Directory => Ok(()),
                _ => Err(refuse(TransferErrorKind::Name("is empty"))),
            };
        }
        let special = match kind {
            EntryType::Regular | EntryType::Continuous => return self.file(&path, mode, entry),
            EntryType::Directory => return self.directory(&path, mode),
            EntryType::Symlink => return self.symlink(&path, &link),
            EntryType::Link => return self.hard_link(&path, &link),
            EntryType::Fifo => "a FIFO",
            EntryType::Char | EntryType::Block => "a device",
            EntryType::GNUSparse => "a sparse file",
            _ => "an entry of an unknown kind",
        };
        Err(refuse(TransferErrorKind::Special(special)))
    }

    fn file(
        &mut self,
        path: &Path,
        mode: u32,
        mut content: Entry<'_, impl Read>,
    ) -> Result<(), TransferError> {
        let place = self.new_place(path)?;
        let disk = |error| TransferError::disk(path, error);
        // `create_new` follows no link and overwrites nothing, whatever the archive has put there before.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&place)
            .map_err(|error| taken(path, error))?;
        let size = content.header().entry_size();
        let size = size.map_err(|error| TransferError::archive(path, error))?;
        let mut reported = Reported {
            content: &mut content,
            path,
            reporter: &mut self.reporter,
            read: self.read,
        };
        let length = io::copy(&mut reported, &mut file).map_err(disk)?;
        // The library returns fewer bytes without an error if the archive ends.
        if length != size {
            let kind = TransferErrorKind::Archive("it ends in the middle of this file");
            return Err(TransferError::new(path, kind));
        }
        let modified = content.header().mtime().unwrap_or_default();
        if let Some(modified) = UNIX_EPOCH.checked_add(Duration::from_secs(modified)) {
            // A modification time that the disk cannot store is not worth failing for.
            file.set_modified(modified).ok();
        }
        set_mode(&place, mode).map_err(disk)?;
        self.done.files += 1;
        self.done.bytes += length;
        Ok(())
    }

    fn directory(&mut self, path: &Path, mode: u32) -> Result<(), TransferError> {
        self.make_directory(path)?;
        let place = self.staging.place().join(path);
        // A mode that closes the directory to its owner is set at the end: entries that follow are still to be written into it.
        if mode & 0o700 == 0o700 {
            return set_mode(&place, mode).map_err(|error| TransferError::disk(path, error));
        }
        self.remembered += place.as_os_str().len();
        if self.remembered > MOST_REMEMBERED {
            let kind = TransferErrorKind::Archive(
                "the paths of its directories without write permission exceed 16 MiB",
            );
            return Err(TransferError::new(path, kind));
        }
        self.staging.set_mode_at_end(place, mode);
        Ok(())
    }

    #[cfg(unix)]
    fn symlink(&mut self, path: &Path, target: &[u8]) -> Result<(), TransferError> {
        let target = name::target(path, target).map_err(|kind| TransferError::new(path, kind))?;
        let place = self.new_place(path)?;
        std::os::unix::fs::symlink(target, place).map_err(|error| taken(path, error))?;
        self.done.links += 1;
        Ok(())
    }

    #[cfg(not(unix))]
    fn symlink(&mut self, path: &Path, _: &[u8]) -> Result<(), TransferError> {
        let kind = TransferErrorKind::Special("a symbolic link");
        Err(TransferError::new(path, kind))
    }

    fn hard_link(&mut self, path: &Path, first: &[u8]) -> Result<(), TransferError> {
        let refuse = |kind| TransferError::new(path, kind);
        let outside = || {
            refuse(TransferErrorKind::Outside(
                "is a hard link to something that is not a file in the directory",
            ))
        };
        let first = name::path(first).map_err(|kind| match kind {
            TransferErrorKind::Outside(_) => outside(),
            kind => refuse(kind),
        })?;
        // Every step to the file must be a directory, and the file itself no link: a link could lead to any file of this machine.
        let above = first.ancestors().skip(1);
        let is_inside = above
            .map(|dir| self.staging.place().join(dir))
            .all(|dir| fs::symlink_metadata(dir).is_ok_and(|metadata| metadata.is_dir()));
        let source = self.staging.place().join(&first);
        let is_file = || fs::symlink_metadata(&source).is_ok_and(|metadata| metadata.is_file());
        if !is_inside || !is_file() {
            return Err(outside());
        }
        let place = self.new_place(path)?;
        fs::hard_link(source, place).map_err(|error| taken(path, error))?;
        self.done.links += 1;
        Ok(())
    }

    /// Returns the place of a new entry on this machine, and creates its directory if needed.
    fn new_place(&mut self, path: &Path) -> Result<PathBuf, TransferError> {
        self.make_directory(path.parent().unwrap_or(path))?;
        Ok(self.staging.place().join(path))
    }

    /// Creates a directory and those above it. Every step must be a directory, so that no path leads through a link.
    fn make_directory(&mut self, path: &Path) -> Result<(), TransferError> {
        if self.parent.starts_with(path) {
            return Ok(());
        }
        let mut step = PathBuf::new();
        for name in path {
            step.push(name);
            let place = self.staging.place().join(&step);
            match fs::symlink_metadata(&place) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(metadata) if metadata.is_symlink() => {
                    let kind = TransferErrorKind::Outside("leads through a link");
                    return Err(TransferError::new(path, kind));
                }
                Ok(_) => {
                    return Err(TransferError::new(&step, TransferErrorKind::NotADirectory));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir(&place).map_err(|error| TransferError::disk(&step, error))?;
                    self.done.directories += 1;
                }
                Err(error) => return Err(TransferError::disk(&step, error)),
            }
        }
        self.parent = step;
        Ok(())
    }

    /// Reads a long name that comes before its entry.
    fn long(&self, entry: &mut impl Read) -> Result<Vec<u8>, TransferError> {
        let mut name = self.header_content(entry)?;
        // The name ends with a NUL. A NUL inside it is refused when the name is parsed.
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    /// Reads the content of a header entry, which is held in memory and so has a limit.
    fn header_content(&self, entry: &mut impl Read) -> Result<Vec<u8>, TransferError> {
        let mut content = Vec::new();
        entry
            .take(LONGEST_HEADER + 1)
            .read_to_end(&mut content)
            .map_err(|error| TransferError::archive(self.to, error))?;
        if content.len() as u64 > LONGEST_HEADER {
            let kind = TransferErrorKind::Archive("a header is longer than 64 KiB");
            return Err(TransferError::new(self.to, kind));
        }
        Ok(content)
    }

    /// Reads an extended header, for one entry or for all that follow.
    fn extensions(&mut self, entry: &mut impl Read, of_one: bool) -> Result<(), TransferError> {
        let content = self.header_content(entry)?;
        for extension in PaxExtensions::new(&content) {
            let extension = extension.map_err(|error| TransferError::archive(self.to, error))?;
            let key = extension.key_bytes();
            let value = extension.value_bytes();
            match key {
                b"path" if of_one => self.name = Some(value.to_vec()),
                b"linkpath" if of_one => self.link = Some(value.to_vec()),
                // The name of all that follow, a length other than the header's, or a sparse file: ignoring one of these would
                // unpack something else than was packed.
                _ if matches!(key, b"path" | b"linkpath" | b"size")
                    || key.starts_with(b"GNU.sparse.") =>
                {
                    let kind = TransferErrorKind::Archive("an extended header is not supported");
                    return Err(TransferError::new(self.to, kind));
                }
                // Times, owners and comments are ignored.
                _ => {}
            }
        }
        Ok(())
    }
}

/// Converts the error of creating an entry. The target directory is new, so an entry that exists came from the same archive.
fn taken(path: &Path, error: io::Error) -> TransferError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => TransferError::new(path, TransferErrorKind::Twice),
        _ => TransferError::disk(path, error),
    }
}

struct Reported<'a, R> {
    content: R,
    path: &'a Path,
    reporter: &'a mut Reporter,
    read: &'a Cell<u64>,
}

impl<R: Read> Read for Reported<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self
            .content
            .read(buffer)
            .map_err(|error| TransferError::archive(self.path, error))?;
        self.reporter.report(self.path, self.read.get());
        Ok(length)
    }
}

/// Reads an archive up to a byte limit, and records whether its end was reached.
struct Limited<'a, R> {
    archive: R,
    read: &'a Cell<u64>,
    is_over: &'a Cell<bool>,
    limit: u64,
    to: &'a Path,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.archive.read(buffer)?;
        self.is_over.set(length == 0 && !buffer.is_empty());
        let read = self.read.get() + length as u64;
        self.read.set(read);
        if read > self.limit {
            let kind = TransferErrorKind::TooManyBytes(self.limit);
            return Err(TransferError::new(self.to, kind).into());
        }
        Ok(length)
    }
}
