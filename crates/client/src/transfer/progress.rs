use std::path::Path;

/// The progress of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The number of bytes transferred so far: of the file, or of the archive of a directory. An upload counts bytes when they are
    /// handed to the connection, up to 256 KiB before they are sent.
    pub bytes: u64,
    /// The total number of bytes, if known.
    pub total: Option<u64>,
    /// The file that is being transferred. For a file its path on this machine; for a directory the path within it, which is empty
    /// at the end.
    pub path: &'a Path,
}

/// A function that is called with the progress.
pub(super) type OnProgress = Box<dyn FnMut(&Progress<'_>) + Send>;

/// Calls the progress function, if there is one.
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
