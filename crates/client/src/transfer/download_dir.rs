use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::files::{ReadStream, WriteBytes};

use super::error::{TransferError, TransferErrorKind};
use super::progress::{OnProgress, Progress};
use super::remote::RemoteArchive;
use super::unpack::{Transferred, Unpack};
use super::{on_thread, set};
use crate::call::Call;
use crate::client::AgentClient;
use crate::error::Error;

/// The most bytes that are read after the end of the archive, where `tar` writes padding. A connection can be reused only if its
/// response was read to the end.
const LONGEST_PADDING: u64 = 64 * 1024;

/// A directory download, created by [`Files::download_dir`](crate::Files::download_dir). Its setters are methods of the
/// [call](Call).
pub struct DownloadDir {
    sandbox_id: SandboxId,
    from: String,
    unpack: Unpack,
    on_progress: Option<OnProgress>,
}

impl DownloadDir {
    pub(crate) fn new(sandbox_id: SandboxId, from: String, to: PathBuf) -> Self {
        Self {
            sandbox_id,
            from,
            unpack: Unpack::new(to),
            on_progress: None,
        }
    }

    pub(crate) async fn run(client: AgentClient, transfer: Self) -> Result<Transferred, Error> {
        let Self {
            sandbox_id,
            from,
            unpack,
            on_progress,
        } = transfer;
        let unpack = on_thread(move || unpack.prepare()).await?;
        let archive = RemoteArchive::new(client.clone(), sandbox_id.clone());
        let result = async {
            // Creates the archive as an empty file first, because the command has to find it: see `RemoteArchive::run`.
            let empty = WriteBytes::new(&sandbox_id, archive.path(), "");
            client.execute(&empty).await?;
            let options = unpack.selection.options();
            let pack = format!(r#"tar -cf "$f"{options} . && wc -c < "$f""#);
            let output = archive.run(&from, &pack).await?;
            check_ignored(&output.stderr)?;
            // Only for the progress: the sandbox is not trusted.
            let total = output.stdout.trim().parse().ok();
            let read = ReadStream::new(&sandbox_id, archive.path());
            let (_, body) = client.open(&read).await?;
            let unpacked = body.read_with(move |reader| {
                let done = unpack.unpack_with(&mut *reader, on_progress, total)?;
                io::copy(&mut reader.take(LONGEST_PADDING), &mut io::sink()).ok();
                Ok::<_, TransferError>(done)
            });
            Ok(unpacked.await??)
        };
        let result = result.await;
        archive.remove().await;
        result
    }
}

/// GNU tar skips sockets with a warning and reports success. The transfer refuses them like other special files.
fn check_ignored(stderr: &str) -> Result<(), TransferError> {
    for line in stderr.lines() {
        let line = line.strip_prefix("tar: ");
        if let Some(path) = line.and_then(|line| line.strip_suffix(": socket ignored")) {
            let kind = TransferErrorKind::Special("a socket");
            return Err(TransferError::new(path, kind));
        }
    }
    Ok(())
}

impl Call<DownloadDir, Transferred> {
    /// Excludes entries with this name at any depth, such as `node_modules`. A name that contains a `/` is a path from the top of
    /// the directory, such as `./build`. An excluded directory is left out with all its contents, and the sandbox does not send
    /// it. Wildcards are not supported: use [`filter`](Self::filter). A name without an entry, such as `.` or `..`, is an error
    /// before anything is sent.
    pub fn exclude(self, name: impl Into<String>) -> Self {
        set(self, |transfer| {
            transfer.unpack.selection.exclude(name.into());
        })
    }

    /// Keeps only entries for which this function returns `true`. It is called on the thread of the transfer with paths relative
    /// to the directory, and may be called more than once for a path. Nothing below a rejected directory is kept. Rejected entries
    /// are sent by the relay all the same, unlike those that are [excluded](Self::exclude).
    pub fn filter(self, filter: impl FnMut(&Path) -> bool + Send + 'static) -> Self {
        set(self, |transfer| transfer.unpack.selection.filter(filter))
    }

    /// Sets the most entries that are accepted; the default is 200 000.
    pub fn max_entries(self, entries: u64) -> Self {
        set(self, |transfer| transfer.unpack.limits.entries = entries)
    }

    /// Sets the most bytes that the archive may have; the default is 4 GiB.
    pub fn max_bytes(self, bytes: u64) -> Self {
        set(self, |transfer| transfer.unpack.limits.bytes = bytes)
    }

    /// Calls this function for each piece that arrives, on the thread of the transfer, which waits for it. The total is the
    /// archive's length as reported by the sandbox.
    pub fn on_progress(self, on_progress: impl FnMut(&Progress<'_>) + Send + 'static) -> Self {
        set(self, |transfer| {
            transfer.on_progress = Some(Box::new(on_progress));
        })
    }
}

impl fmt::Debug for DownloadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadDir")
            .field("sandbox_id", &self.sandbox_id)
            .field("from", &self.from)
            .field("unpack", &self.unpack)
            .finish_non_exhaustive()
    }
}
