use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tar::{Builder, EntryType, Header};

use super::error::{TransferError, TransferErrorKind};
use super::name;
use super::progress::{OnProgress, Reporter};
use super::selection::Selection;

/// The length from which a name does not fit into a header and is written before it.
const LONG_NAME: usize = 100;

/// A directory to be written as an archive.
///
/// It is scanned as a whole before anything is written. So entries that cannot be kept are refused before anything is sent. The
/// length of the archive is then known, too, as the request needs it.
pub(super) struct Pack {
    dir: PathBuf,
    entries: Vec<Entry>,
    length: u64,
}

struct Entry {
    path: PathBuf,
    /// The entry's path in the archive.
    name: Vec<u8>,
    kind: Kind,
    mode: u32,
    modified: u64,
}

enum Kind {
    Directory,
    File(u64),
    /// The link's target.
    Symlink(Vec<u8>),
    /// The name of the first entry for the same file.
    HardLink(Vec<u8>),
}

impl Pack {
    pub(super) fn new(dir: PathBuf, selection: &mut Selection) -> Result<Self, TransferError> {
        selection.check()?;
        let metadata = fs::metadata(&dir).map_err(|error| TransferError::disk(&dir, error))?;
        if !metadata.is_dir() {
            return Err(TransferError::new(&dir, TransferErrorKind::NotADirectory));
        }
        let mut entries = Vec::new();
        let mut links = HardLinks::default();
        // A directory comes before its contents, which need it when they are unpacked.
        let mut open = vec![PathBuf::new()];
        while let Some(parent) = open.pop() {
            for path in names(&dir, &parent)? {
                if !selection.takes(&path) {
                    continue;
                }
                let entry = Entry::new(&dir, path, &mut links)?;
                if let Kind::Directory = entry.kind {
                    open.push(entry.path.clone());
                }
                entries.push(entry);
            }
        }
        let length = length(&entries).map_err(|error| TransferError::disk(&dir, error))?;
        Ok(Self {
            dir,
            entries,
            length,
        })
    }

    /// Returns the length of the archive in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Writes the archive. If a file of this machine cannot be read, the [`io::Error`] contains a [`TransferError`].
    pub(super) fn write(
        self,
        out: &mut dyn Write,
        on_progress: Option<OnProgress>,
    ) -> io::Result<()> {
        let written = Cell::new(0);
        let out = Counted {
            out,
            count: &written,
        };
        let mut reporter = Reporter::new(on_progress, Some(self.length));
        let mut archive = Builder::new(out);
        for entry in &self.entries {
            reporter.report(&entry.path, written.get());
            match entry.kind {
                Kind::File(size) => {
                    let mut report = || reporter.report(&entry.path, written.get());
                    let place = self.dir.join(&entry.path);
                    let file = ExactFile::open(&place, size, &mut report)?;
                    entry.append(&mut archive, file)?;
                }
                _ => entry.append(&mut archive, io::empty())?,
            }
        }
        archive.into_inner()?.flush()?;
        reporter.report(Path::new(""), written.get());
        Ok(())
    }
}

/// Returns the names in a directory in a fixed order.
fn names(dir: &Path, parent: &Path) -> Result<Vec<PathBuf>, TransferError> {
    let place = dir.join(parent);
    let listing = fs::read_dir(&place).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let listing = listing.map_err(|error| TransferError::disk(&place, error))?;
    let mut names: Vec<_> = listing
        .into_iter()
        .map(|entry| parent.join(entry.file_name()))
        .collect();
    names.sort_unstable();
    Ok(names)
}

impl Entry {
    fn new(dir: &Path, path: PathBuf, links: &mut HardLinks) -> Result<Self, TransferError> {
        let refuse = |kind| TransferError::new(&path, kind);
        let place = dir.join(&path);
        let name = name::bytes(&path).map_err(refuse)?;
        // Only checked: a download has to accept the name.
        name::path(&name).map_err(refuse)?;
        let metadata =
            fs::symlink_metadata(&place).map_err(|error| TransferError::disk(&place, error))?;
        let kind = if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_file() {
            match links.first(&metadata, &name) {
                Some(first) => Kind::HardLink(first),
                None => Kind::File(metadata.len()),
            }
        } else if metadata.is_symlink() {
            let target =
                fs::read_link(&place).map_err(|error| TransferError::disk(&place, error))?;
            let target = name::bytes(&target).map_err(refuse)?;
            name::target(&path, &target).map_err(refuse)?;
            Kind::Symlink(target)
        } else {
            return Err(refuse(TransferErrorKind::Special(special(&metadata))));
        };
        // A time before 1970, or none, becomes 0: the header has no other value for it.
        let modified = metadata.modified().ok();
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            mode: mode(&metadata),
            modified: modified.map_or(0, |since| since.as_secs()),
            path,
            name,
            kind,
        })
    }

    fn append<W: Write>(&self, archive: &mut Builder<W>, content: impl Read) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(self.mode);
        header.set_mtime(self.modified);
        header.set_uid(0);
        header.set_gid(0);
        let (kind, size, link): (_, _, &[u8]) = match &self.kind {
            Kind::Directory => (EntryType::Directory, 0, b""),
            Kind::File(size) => (EntryType::Regular, *size, b""),
            Kind::Symlink(target) => (EntryType::Symlink, 0, target),
            Kind::HardLink(first) => (EntryType::Link, 0, first),
        };
        header.set_entry_type(kind);
        header.set_size(size);
        append_long(archive, EntryType::GNULongLink, link)?;
        append_long(archive, EntryType::GNULongName, &self.name)?;
        if let Some(fields) = header.as_gnu_mut() {
            // A name that is too long has been written before the header, so it may be cut here.
            fill(&mut fields.name, &self.name);
            fill(&mut fields.linkname, link);
        }
        header.set_cksum();
        archive.append(&header, content)
    }
}

/// Copies as much of the name as fits.
fn fill(field: &mut [u8], name: &[u8]) {
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
}

/// Writes a name that does not fit into a header, in the format of GNU tar. BusyBox reads it, too.
fn append_long<W: Write>(archive: &mut Builder<W>, kind: EntryType, name: &[u8]) -> io::Result<()> {
    if name.len() < LONG_NAME {
        return Ok(());
    }
    let mut header = Header::new_gnu();
    if let Some(fields) = header.as_gnu_mut() {
        fill(&mut fields.name, b"././@LongLink");
    }
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(kind);
    header.set_size(name.len() as u64 + 1);
    header.set_cksum();
    archive.append(&header, name.chain(&b"\0"[..]))
}

/// Computes the length of the archive: writes the headers to a sink to count their bytes, and adds the lengths of the files.
fn length(entries: &[Entry]) -> io::Result<u64> {
    let count = Cell::new(0);
    let mut nowhere = io::sink();
    let mut archive = Builder::new(Counted {
        out: &mut nowhere,
        count: &count,
    });
    let mut contents: u64 = 0;
    for entry in entries {
        entry.append(&mut archive, io::empty())?;
        if let Kind::File(size) = entry.kind {
            let whole = size.checked_next_multiple_of(512);
            let sum = whole.and_then(|size| contents.checked_add(size));
            contents = sum.ok_or(io::ErrorKind::FileTooLarge)?;
        }
    }
    archive.into_inner()?;
    Ok(contents + count.get())
}

struct Counted<'a> {
    out: &'a mut dyn Write,
    count: &'a Cell<u64>,
}

impl Write for Counted<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let length = self.out.write(data)?;
        self.count.set(self.count.get() + length as u64);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A file that must have the length that it had when it was scanned. The header in front of it states that length.
pub(super) struct ExactFile<'a> {
    path: &'a Path,
    file: File,
    left: u64,
    report: &'a mut dyn FnMut(),
}

impl<'a> ExactFile<'a> {
    pub(super) fn open(
        path: &'a Path,
        length: u64,
        report: &'a mut dyn FnMut(),
    ) -> Result<Self, TransferError> {
        let disk = |error| TransferError::disk(path, error);
        let file = File::open(path).map_err(disk)?;
        // Something else may have taken its place since it was scanned.
        if !file.metadata().map_err(disk)?.is_file() {
            return Err(TransferError::new(path, TransferErrorKind::NotAFile));
        }
        Ok(Self {
            path,
            file,
            left: length,
            report,
        })
    }

    fn changed(&self) -> io::Error {
        TransferError::new(self.path, TransferErrorKind::Changed).into()
    }

    /// Reads from the file. An error names the path, except for an interruption, after which readers try again.
    fn read_file(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => TransferError::disk(self.path, error).into(),
        })
    }
}

impl Read for ExactFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.report)();
        if self.left == 0 {
            // The file has grown if it has any further byte.
            return match self.read_file(&mut [0])? {
                0 => Ok(0),
                _ => Err(self.changed()),
            };
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let room = room.min(buffer.len());
        let length = self.read_file(&mut buffer[..room])?;
        if length == 0 && room > 0 {
            return Err(self.changed());
        }
        self.left -= length as u64;
        Ok(length)
    }
}

#[cfg(unix)]
mod system {
    use std::collections::HashMap;
    use std::fs::Metadata;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

    /// The first name of each file that has several.
    #[derive(Default)]
    pub(super) struct HardLinks(HashMap<(u64, u64), Vec<u8>>);

    impl HardLinks {
        /// Returns the first name of this file, or `None` if `name` is the first or the only one.
        pub(super) fn first(&mut self, metadata: &Metadata, name: &[u8]) -> Option<Vec<u8>> {
            if metadata.nlink() < 2 {
                return None;
            }
            let file = (metadata.dev(), metadata.ino());
            let first = self.0.get(&file).cloned();
            if first.is_none() {
                self.0.insert(file, name.to_vec());
            }
            first
        }
    }

    pub(super) fn mode(metadata: &Metadata) -> u32 {
        metadata.mode() & 0o777
    }

    pub(super) fn special(metadata: &Metadata) -> &'static str {
        let kind = metadata.file_type();
        if kind.is_fifo() {
            "a FIFO"
        } else if kind.is_socket() {
            "a socket"
        } else {
            "a device"
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::Metadata;

    #[derive(Default)]
    pub(super) struct HardLinks;

    impl HardLinks {
        pub(super) fn first(&mut self, _: &Metadata, _: &[u8]) -> Option<Vec<u8>> {
            None
        }
    }

    pub(super) fn mode(metadata: &Metadata) -> u32 {
        if metadata.is_dir() { 0o755 } else { 0o644 }
    }

    pub(super) fn special(_: &Metadata) -> &'static str {
        "an entry of an unknown kind"
    }
}

use system::{HardLinks, mode, special};
