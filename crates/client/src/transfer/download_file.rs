use std::fmt;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use http_body::Body as _;
use twentyfirst_protocol::files::{GetFileInfo, ReadStream};
use twentyfirst_protocol::{Endpoint as _, SandboxId};

use super::error::{TransferError, TransferErrorKind};
use super::progress::{OnProgress, Progress, Reporter};
use super::staging::Staging;
use super::unpack::Limits;
use super::{on_thread, set};
use crate::call::Call;
use crate::client::{AgentClient, seed};
use crate::error::Error;

/// A file download, created by [`Files::download`](crate::Files::download). Its setters are methods of the [call](Call).
pub struct DownloadFile {
    sandbox_id: SandboxId,
    from: String,
    to: PathBuf,
    max_bytes: u64,
    on_progress: Option<OnProgress>,
}

impl DownloadFile {
    pub(crate) fn new(sandbox_id: SandboxId, from: String, to: PathBuf) -> Self {
        Self {
            sandbox_id,
            from,
            to,
            max_bytes: Limits::default().bytes,
            on_progress: None,
        }
    }

    pub(crate) async fn run(client: AgentClient, transfer: Self) -> Result<u64, Error> {
        let Self {
            sandbox_id,
            from,
            to,
            max_bytes,
            on_progress,
        } = transfer;
        let to = on_thread(move || prepare(to)).await?;
        let mut total = None;
        if on_progress.is_some() {
            // Not needed for the download: if it fails, progress is reported without a total.
            let info = client.execute(&GetFileInfo::new(&sandbox_id, &from)).await;
            total = info
                .ok()
                .filter(|info| !info.is_symlink())
                .and_then(|info| info.size);
        }
        let read = ReadStream::new(&sandbox_id, &from);
        let flow = read.flow(client.options(), seed())?;
        let ((), response) = client.drive(&ReadStream::ROUTE, flow).await?;
        let body = response.into_body();
        let total = body.size_hint().exact().or(total);
        let reporter = Reporter::new(on_progress, total);
        let saved = body.read_with(move |reader| save(reader, &to, max_bytes, reporter));
        Ok(saved.await??)
    }
}

/// Checks that a file can be saved at the path. If the path is a symbolic link, the link stays and its target is replaced.
fn prepare(to: PathBuf) -> Result<PathBuf, TransferError> {
    let to = match fs::symlink_metadata(&to) {
        Ok(metadata) if metadata.is_symlink() => {
            fs::canonicalize(&to).map_err(|error| TransferError::disk(&to, error))?
        }
        _ => to,
    };
    if fs::metadata(&to).is_ok_and(|metadata| !metadata.is_file()) || to.file_name().is_none() {
        return Err(TransferError::new(to, TransferErrorKind::NotAFile));
    }
    Ok(to)
}

fn save(
    reader: &mut dyn Read,
    to: &Path,
    limit: u64,
    mut reporter: Reporter,
) -> Result<u64, TransferError> {
    let (staging, mut file) = Staging::file(to)?;
    let disk = |error| TransferError::disk(to, error);
    let mut length = 0;
    let mut buffer = vec![0; 64 * 1024];
    reporter.report(to, 0);
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(disk(error)),
        };
        length += read as u64;
        // Before the piece is written: the sandbox must not fill the disk.
        if length > limit {
            let kind = TransferErrorKind::TooManyBytes(limit);
            return Err(TransferError::new(to, kind));
        }
        file.write_all(&buffer[..read]).map_err(disk)?;
        reporter.report(to, length);
    }
    // Close the file before it is renamed: some systems cannot rename an open file.
    drop(file);
    staging.finish()?;
    Ok(length)
}

impl Call<DownloadFile, u64> {
    /// Sets the most bytes that are accepted; the default is 4 GiB.
    pub fn max_bytes(self, bytes: u64) -> Self {
        set(self, |transfer| transfer.max_bytes = bytes)
    }

    /// Calls this function for each piece that arrives, on the thread of the transfer, which waits for it. To know the total, the
    /// call first asks the relay for the length of the file.
    pub fn on_progress(self, on_progress: impl FnMut(&Progress<'_>) + Send + 'static) -> Self {
        set(self, |transfer| {
            transfer.on_progress = Some(Box::new(on_progress));
        })
    }
}

impl fmt::Debug for DownloadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadFile")
            .field("sandbox_id", &self.sandbox_id)
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}
