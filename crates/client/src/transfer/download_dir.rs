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

/// How much `tar` puts behind the end of an archive, at most: it is read so that the connection can be used again.
const LONGEST_PADDING: u64 = 64 * 1024;

/// A directory to be downloaded: what [`Files::download_dir`](crate::Files::download_dir) calls. Its setters are methods of the [call](Call).
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
            // So that the command finds it.
            let empty = WriteBytes::new(&sandbox_id, archive.path(), "");
            client.execute(&empty).await?;
            let options = unpack.selection.options();
            let pack = format!(r#"tar -cf "$f"{options} . && wc -c < "$f""#);
            let output = archive.run(&from, &pack).await?;
            check_ignored(&output.stderr)?;
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

/// GNU tar leaves sockets out, says so, and calls that a success.
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
    /// Leaves out what has this name, wherever it is, such as `node_modules`; with a `/` in it, what has this path from the top, such
    /// as `./build`. A directory is left out with all that is in it, and is not sent either. There are no wildcards: see
    /// [`filter`](Self::filter).
    pub fn exclude(self, name: impl Into<String>) -> Self {
        set(self, |transfer| {
            transfer.unpack.selection.exclude(name.into());
        })
    }

    /// Takes only what this function says `true` to. It is asked with paths in the directory, of one path more than once, on the
    /// thread of the transfer; nothing in a directory that it leaves out is taken. The relay sends it all the same, unlike what
    /// [`exclude`](Self::exclude) leaves out.
    pub fn filter(self, filter: impl FnMut(&Path) -> bool + Send + 'static) -> Self {
        set(self, |transfer| transfer.unpack.selection.filter(filter))
    }

    /// The most entries that are taken; 200 000 by default.
    pub fn max_entries(self, entries: u64) -> Self {
        set(self, |transfer| transfer.unpack.limits.entries = entries)
    }

    /// The most bytes that the archive may have; 4 GiB by default.
    pub fn max_bytes(self, bytes: u64) -> Self {
        set(self, |transfer| transfer.unpack.limits.bytes = bytes)
    }

    /// Calls this function for each piece that came, on the thread of the transfer, which waits for it. The total is what the sandbox
    /// says.
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
