use std::fmt;
use std::path::{Path, PathBuf};

use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::files::{MakeDir, WriteStream};

use super::pack::Pack;
use super::progress::{OnProgress, Progress};
use super::remote::{RemoteArchive, upload};
use super::selection::Selection;
use super::{on_thread, set};
use crate::call::Call;
use crate::client::AgentClient;
use crate::error::Error;

/// A directory upload, created by [`Files::upload_dir`](crate::Files::upload_dir). Its setters are methods of the [call](Call).
pub struct UploadDir {
    sandbox_id: SandboxId,
    from: PathBuf,
    to: String,
    selection: Selection,
    on_progress: Option<OnProgress>,
}

impl UploadDir {
    pub(crate) fn new(sandbox_id: SandboxId, from: PathBuf, to: String) -> Self {
        Self {
            sandbox_id,
            from,
            to,
            selection: Selection::default(),
            on_progress: None,
        }
    }

    pub(crate) async fn run(client: AgentClient, transfer: Self) -> Result<(), Error> {
        let Self {
            sandbox_id,
            from,
            to,
            mut selection,
            on_progress,
        } = transfer;
        let pack = on_thread(move || Pack::new(from, &mut selection)).await?;
        client.execute(&MakeDir::new(&sandbox_id, &to)).await?;
        let archive = RemoteArchive::new(client.clone(), sandbox_id.clone());
        let write = WriteStream::new(&sandbox_id, archive.path()).length(pack.length());
        let result = async {
            upload(&client, write, move |out| pack.write(out, on_progress)).await?;
            // `-p` keeps the modes whatever the umask, and `-o` ignores the owners in the archive. Removing the archive in the same
            // command saves a request.
            let unpack = r#"tar -xopf "$f"; s=$?; rm -f -- "$f"; exit $s"#;
            archive.run(&to, unpack).await
        };
        if let Err(error) = result.await {
            archive.remove().await;
            return Err(error);
        }
        Ok(())
    }
}

impl Call<UploadDir, ()> {
    /// Excludes entries with this name at any depth, such as `node_modules`. A name that contains a `/` is a path from the top of
    /// the directory, such as `./build`. An excluded directory is left out with all its contents. Wildcards are not supported: use
    /// [`filter`](Self::filter). A name without an entry, such as `.` or `..`, is an error before anything is sent.
    pub fn exclude(self, name: impl Into<String>) -> Self {
        set(self, |transfer| transfer.selection.exclude(name.into()))
    }

    /// Transfers only entries for which this function returns `true`. It is called on the thread of the transfer with paths
    /// relative to the directory. Nothing below a rejected directory is transferred.
    pub fn filter(self, filter: impl FnMut(&Path) -> bool + Send + 'static) -> Self {
        set(self, |transfer| transfer.selection.filter(filter))
    }

    /// Calls this function for each piece that is sent, on the thread of the transfer, which waits for it.
    pub fn on_progress(self, on_progress: impl FnMut(&Progress<'_>) + Send + 'static) -> Self {
        set(self, |transfer| {
            transfer.on_progress = Some(Box::new(on_progress));
        })
    }
}

impl fmt::Debug for UploadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadDir")
            .field("sandbox_id", &self.sandbox_id)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("selection", &self.selection)
            .finish_non_exhaustive()
    }
}
