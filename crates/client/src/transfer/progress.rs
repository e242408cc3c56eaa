use std::path::Path;

/// How far a transfer has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// How many bytes were transferred: of the file, or of the archive in which a directory travels. An upload counts what was
    /// handed to the connection, which is up to 256 KiB ahead of what was sent.
    pub bytes: u64,
    /// How many bytes there are, where that is known.
    pub total: Option<u64>,
    /// The file that is transferred: its path on this machine, or in the directory that is transferred.
    pub path: &'a Path,
}

/// A function that is told of progress.
pub(super) type OnProgress = Box<dyn FnMut(&Progress<'_>) + Send>;

/// The function, if there is one, and what it is told each time.
pub(super) struct Reporter {
    on_progress: Option<OnProgress>,
    total: Option<u64>,
}

impl Reporter {
    pub(super) fn new(on_progress: Option<OnProgress>, total: Option<u64>) -> Self {
        Self { on_progress, total }
    }

    pub(super) fn report(&mut self, path: &Path, bytes: u64) {
        if let Some(on_progress) = &mut self.on_progress {
            let total = self.total;
            on_progress(&Progress { bytes, total, path });
        }
    }
}
