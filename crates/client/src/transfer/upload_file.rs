use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::files::{WriteStream, WrittenFile};

use super::error::{TransferError, TransferErrorKind};
use super::pack::ExactFile;
use super::progress::{OnProgress, Progress, Reporter};
use super::remote::upload;
use super::{on_thread, set};
use crate::call::Call;
use crate::client::AgentClient;
use crate::error::Error;

/// A file upload, created by [`Files::upload`](crate::Files::upload). Its setters are methods of the [call](Call).
pub struct UploadFile {
    sandbox_id: SandboxId,
    from: PathBuf,
    to: String,
    on_progress: Option<OnProgress>,
}

impl UploadFile {
    pub(crate) fn new(sandbox_id: SandboxId, from: PathBuf, to: String) -> Self {
        Self {
            sandbox_id,
            from,
            to,
            on_progress: None,
        }
    }

    pub(crate) async fn run(client: AgentClient, transfer: Self) -> Result<WrittenFile, Error> {
        let Self {
            sandbox_id,
            from,
            to,
            on_progress,
        } = transfer;
        let (from, length) = on_thread(move || {
            let metadata =
                fs::metadata(&from).map_err(|error| TransferError::disk(&from, error))?;
            if !metadata.is_file() {
                return Err(TransferError::new(&from, TransferErrorKind::NotAFile));
            }
            Ok((from, metadata.len()))
        })
        .await?;
        let write = WriteStream::new(&sandbox_id, to).length(length);
        let mut reporter = Reporter::new(on_progress, Some(length));
        upload(&client, write, move |out| {
            let mut sent = 0;
            let mut report = || ();
            let mut file = ExactFile::open(&from, length, &mut report)?;
            reporter.report(&from, 0);
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = match io::Read::read(&mut file, &mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                out.write_all(&buffer[..read])?;
                sent += read as u64;
                reporter.report(&from, sent);
            }
        })
        .await
    }
}

impl Call<UploadFile, WrittenFile> {
    /// Calls this function for each piece that is sent, on the thread of the transfer, which waits for it.
    pub fn on_progress(self, on_progress: impl FnMut(&Progress<'_>) + Send + 'static) -> Self {
        set(self, |transfer| {
            transfer.on_progress = Some(Box::new(on_progress));
        })
    }
}

impl fmt::Debug for UploadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadFile")
            .field("sandbox_id", &self.sandbox_id)
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}
