use std::error::Error as StdError;
use std::ffi::OsStr;
use std::path::Path;
use std::{fmt, io};

use twentyfirst_protocol::shown;

/// Why a file or a directory was not transferred, and which path was the reason: from
/// [`Error::transfer_error`](crate::Error::transfer_error).
///
/// `Display` is one clause with the path, of which control characters are escaped. An error of the disk is in
/// [`source`](StdError::source).
#[derive(Debug)]
pub struct TransferError {
    path: String,
    kind: TransferErrorKind,
    source: Option<io::Error>,
}

/// The reasons for which a transfer fails apart from the relay's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferErrorKind {
    /// The disk of this machine refused: the source says why.
    Disk,
    /// A file does not have the length any more with which its upload began.
    Changed,
    /// A file was expected here, and there is something else.
    NotAFile,
    /// A directory was expected here, and there is something else.
    NotADirectory,
    /// The directory to download into is there already, and is not empty.
    NotEmpty,
    /// What is at the path is neither a file nor a directory nor a link; the text says what.
    Special(&'static str),
    /// The name cannot be kept; the text says why.
    Name(&'static str),
    /// It would lead out of the directory that is transferred; the text says how.
    Outside(&'static str),
    /// The archive of the sandbox has the path twice.
    Twice,
    /// There are more entries than this limit.
    TooManyEntries(u64),
    /// There are more bytes than this limit.
    TooManyBytes(u64),
    /// The archive of the sandbox cannot be read; the text says why.
    Archive(&'static str),
    /// The sandbox has no `tar`.
    NoTar,
    /// `tar` failed in the sandbox.
    #[non_exhaustive]
    Command {
        /// The exit code; -1 where it was killed.
        exit_code: i32,
        /// What it wrote to standard error.
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

    /// What the disk says about a path.
    pub(crate) fn disk(path: impl AsRef<Path>, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(error) => error,
            Err(source) => Self {
                source: Some(source),
                ..Self::new(path, TransferErrorKind::Disk)
            },
        }
    }

    /// The same for a name that is none on this system.
    pub(crate) fn of_bytes(path: &[u8], kind: TransferErrorKind) -> Self {
        let path = String::from_utf8_lossy(path);
        Self::new(Path::new(OsStr::new(&*path)), kind)
    }

    /// An archive that cannot be read, for a reason that the library tells.
    pub(crate) fn archive(path: impl AsRef<Path>, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(error) => error,
            Err(source) => Self {
                source: Some(source),
                ..Self::new(path, TransferErrorKind::Archive("it is damaged"))
            },
        }
    }

    /// The path: on this machine, in the sandbox, or in the directory that is transferred. Bytes that are not UTF-8 are U+FFFD.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong with it.
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
                "{path} is there already and is not empty: choose another path or remove it first"
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
            TransferErrorKind::Twice => write!(f, "the archive has {path} twice"),
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
