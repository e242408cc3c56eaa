use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use tempfile::TempDir;
use tokio::task::spawn_blocking;
use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::sandboxes::ExecOutput;

use super::directories;
use super::exec::{Command, ExecError, Shell};
use super::files::{self, FileError, Files};
use super::isolation::Confinement;

/// The sandbox of an agent, for its files and commands.
///
/// Paths are those that commands see, and relative ones are under `/root`. Only `/home/user`, `/root` and `/tmp` are writable. Cheap to
/// clone.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    id: SandboxId,
    files: Arc<Files>,
    shell: Shell,
    /// The sandbox's directory, removed on drop. `None` once the sandbox is closed.
    dir: Mutex<Option<TempDir>>,
}

impl Sandbox {
    pub(crate) async fn create(
        id: SandboxId,
        confinement: Confinement,
        envs: BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let owner = confinement.owner();
        let (dir, files) = spawn_blocking(move || {
            let dir = directories::create()?;
            let files = Files::open(dir.path(), owner)?;
            io::Result::Ok((dir, files))
        })
        .await??;
        Ok(Self {
            inner: Arc::new(Inner {
                id,
                files: Arc::new(files),
                shell: Shell::new(dir.path(), confinement, envs),
                dir: Mutex::new(Some(dir)),
            }),
        })
    }

    /// Returns the id of the sandbox.
    pub fn id(&self) -> &SandboxId {
        &self.inner.id
    }

    /// Runs a shell command and waits for its end. An exit code other than 0 is a result, not an error.
    ///
    /// Dropping the future kills the command.
    ///
    /// # Errors
    /// [`ExecError`] if the command exceeds its time limit, is refused or cannot be started.
    pub async fn exec(&self, command: impl Into<Command>) -> Result<ExecOutput, ExecError> {
        let command = command.into();
        let cwd = command.working_dir().to_owned();
        if is_ours(&cwd) {
            let is_dir = self.blocking(move |files| Ok(files.is_dir(&cwd))).await;
            if !is_dir.unwrap_or_default() {
                let cwd = command.working_dir().to_owned();
                return Err(ExecError::NoSuchDirectory(cwd));
            }
        }
        self.inner.shell.run(&command).await
    }

    /// Reads a file of up to 256 MiB.
    ///
    /// # Errors
    /// [`FileError`] if the file is missing, larger, or not a regular file.
    pub async fn read(&self, path: impl Into<String>) -> Result<Vec<u8>, FileError> {
        let path = path.into();
        self.blocking(move |files| files.read(&path)).await
    }

    /// Writes a file, and creates its missing parent directories.
    ///
    /// # Errors
    /// [`FileError`] if the path is outside of the writable directories, or is not a regular file.
    pub async fn write(
        &self,
        path: impl Into<String>,
        content: impl Into<Vec<u8>>,
    ) -> Result<(), FileError> {
        let (path, content) = (path.into(), content.into());
        self.blocking(move |files| files.write(&path, &content))
            .await
    }

    /// Calls `action` with the files on a thread where it may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        action: impl FnOnce(&Files) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let files = Arc::clone(&self.inner.files);
        spawn_blocking(move || action(&files))
            .await
            .unwrap_or_else(|_| {
                Err(FileError::Io {
                    path: String::new(),
                    source: io::ErrorKind::Interrupted.into(),
                })
            })
    }

    /// Returns a path as commands have to write it: unconfined ones need the path on the host.
    pub(crate) fn path(&self, path: &str) -> String {
        self.inner.shell.path(path)
    }

    /// Ends the processes and removes the files.
    pub(crate) async fn close(&self) {
        self.inner.shell.close().await;
        // After the processes, which could otherwise write new files.
        let dir = self
            .inner
            .dir
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        spawn_blocking(move || dir.map(directories::remove))
            .await
            .ok();
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}

/// Returns whether a path is in the sandbox's own directories.
fn is_ours(path: &str) -> bool {
    !path.starts_with('/')
        || files::ROOTS
            .iter()
            .any(|root| Path::new(&path[1..]).starts_with(root))
}
