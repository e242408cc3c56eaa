use std::error::Error as StdError;
use std::ffi::OsStr;
use std::path::Path;
use std::{fmt, io};

use twentyfirst_protocol::shown;

/// The reason why a file or directory was not transferred, and its path, from
/// [`Error::transfer_error`](crate::Error::transfer_error).
///
/// `Display` is one clause with the path, in which control characters are escaped. An error of the disk is in
/// [`source`](StdError::source).
#[derive(Debug)]
pub struct TransferError {
    path: String,
    kind: TransferErrorKind,
    source: Option<io::Error>,
}

/// The reasons why a transfer fails, other than errors of the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferErrorKind {
    /// The disk of this machine reported an error, which is the source.
    Disk,
    /// The file changed its length during its upload.
    Changed,
    /// The path is not a file.
    NotAFile,
    /// The path is not a directory.
    NotADirectory,
    /// The directory to download into exists and is not empty.
    NotEmpty,
    /// The entry is of a kind that cannot be transferred. The text says what it is.
    Special(&'static str),
    /// The name cannot be kept. The text has the reason.
    Name(&'static str),
    /// The path leads out of the transferred directory, or might. The text says how.
    Outside(&'static str),
    /// The path is an exclusion that names no entry of the directory, such as `.` or `..`.
    NoEntry,
    /// The sandbox's archive contains the path twice.
    Twice,
    /// There are more entries than this limit.
    TooManyEntries(u64),
    /// There are more bytes than this limit.
    TooManyBytes(u64),
    /// The sandbox's archive cannot be read. The text has the reason.
    Archive(&'static str),
    /// The sandbox has no `tar`.
    NoTar,
    /// `tar` failed in the sandbox.
    #[non_exhaustive]
    Command {
        /// The exit code, or -1 if `tar` was killed.
        exit_code: i32,
        /// Its output on standard error.
        stderr: String,
    },
}

impl TransferError {
    pub(crate) fn new(path: impl AsRef<Path>, kind: TransferErrorKind) -> Self {
        Self {
            path: path.as_ref().to_string_lossy().into_owned(),
            kind,
            source: None,
        }
    }

    /// Creates the error for a disk error at a path. A transfer error that was passed through an [`io::Error`] is returned as it
    /// was.
    pub(crate) fn disk(path: impl AsRef<Path>, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(error) => error,
            Err(source) => Self {
                source: Some(source),
                ..Self::new(path, TransferErrorKind::Disk)
            },
        }
    }

    /// Creates an error for a name whose bytes may not be a path on this system.
    pub(crate) fn of_bytes(path: &[u8], kind: TransferErrorKind) -> Self {
        let path = String::from_utf8_lossy(path);
        Self::new(Path::new(OsStr::new(&*path)), kind)
    }

    /// Creates the error for an archive that the library cannot read. A transfer error that was passed through an [`io::Error`] is
    /// returned as it was.
    pub(crate) fn archive(path: impl AsRef<Path>, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(error) => error,
            Err(source) => Self {
                source: Some(source),
                ..Self::new(path, TransferErrorKind::Archive("it is damaged"))
            },
        }
    }

    /// Returns the path: on this machine, in the sandbox, or in the transferred directory. Bytes that are not UTF-8 are U+FFFD.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the reason.
    pub fn kind(&self) -> &TransferErrorKind {
        &self.kind
    }
}

impl From<TransferError> for io::Error {
    fn from(error: TransferError) -> Self {
        Self::other(error)
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shown(&self.path);
        match &self.kind {
            TransferErrorKind::Disk => write!(f, "{path} cannot be used on this machine"),
            TransferErrorKind::Changed => {
                write!(f, "{path} changed its length while it was uploaded")
            }
            TransferErrorKind::NotAFile => write!(f, "{path} is not a file"),
            TransferErrorKind::NotADirectory => write!(f, "{path} is not a directory"),
            TransferErrorKind::NotEmpty => write!(
                f,
                "{path} exists and is not empty: choose another path or remove it first"
            ),
            TransferErrorKind::Special(what) => {
                write!(
                    f,
                    "{path} is {what}, which cannot be transferred: exclude it"
                )
            }
            TransferErrorKind::Name(why) => write!(f, "the name {path} cannot be kept: it {why}"),
            TransferErrorKind::Outside(how) => {
                write!(f, "{path} would lead out of the directory: it {how}")
            }
            TransferErrorKind::NoEntry => write!(
                f,
                "`{path}` names no entry of the directory, so it cannot be excluded: name an entry or use `filter`"
            ),
            TransferErrorKind::Twice => write!(f, "the archive contains {path} twice"),
            TransferErrorKind::TooManyEntries(limit) => write!(
                f,
                "{path} has more than {limit} entries: exclude some or raise `max_entries`"
            ),
            TransferErrorKind::TooManyBytes(limit) => write!(
                f,
                "{path} has more than {limit} bytes: exclude some or raise `max_bytes`"
            ),
            TransferErrorKind::Archive(why) => {
                write!(
                    f,
                    "the archive of the sandbox cannot be read at {path}: {why}"
                )
            }
            TransferErrorKind::NoTar => write!(
                f,
                "the sandbox has no `tar`, which directories need: install it ({path} was not transferred)"
            ),
            TransferErrorKind::Command { exit_code, stderr } => write!(
                f,
                "`tar` failed in the sandbox for {path} with exit code {exit_code}: {}",
                shown(stderr.trim_end())
            ),
        }
    }
}

impl StdError for TransferError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
