//! The sandbox's side of a transfer.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use twentyfirst_protocol::SandboxId;
use twentyfirst_protocol::files::{RemoveFile, WriteStream, WrittenFile};
use twentyfirst_protocol::sandboxes::{Exec, ExecOutput};
use twentyfirst_transport::Body;

use super::error::{TransferError, TransferErrorKind};
use super::random_name;
use crate::client::AgentClient;
use crate::error::Error;

/// The relay's limit for the run time of a command.
const LONGEST_COMMAND: Duration = Duration::from_secs(600);

/// A shell's exit code for a command that it cannot find.
const NOT_FOUND: i32 = 127;

/// Uploads the data that a function writes on a thread. If the function itself failed, its error is returned instead of the
/// upload's.
pub(super) async fn upload(
    client: &AgentClient,
    operation: WriteStream,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Result<WrittenFile, Error> {
    let error = Arc::new(Mutex::new(None));
    // The transport wraps an error of the body, so the path and the kind would be hard to find. They are passed beside it.
    let slot = Arc::clone(&error);
    let body = Body::write_with(move |out| {
        write(out).map_err(|error| match error.downcast::<TransferError>() {
            Ok(error) => {
                let text = error.to_string();
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                io::Error::other(text)
            }
            Err(error) => error,
        })
    });
    let result = client.upload(&operation, body).await;
    result.map_err(|upload_error| {
        let error = error.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map_or(upload_error, Error::from)
    })
}

/// The temporary archive in the sandbox.
pub(super) struct RemoteArchive {
    client: AgentClient,
    sandbox_id: SandboxId,
    name: String,
}

impl RemoteArchive {
    pub(super) fn new(client: AgentClient, sandbox_id: SandboxId) -> Self {
        let name = format!("{}.tar", random_name());
        Self {
            client,
            sandbox_id,
            name,
        }
    }

    pub(super) fn path(&self) -> String {
        format!("/tmp/{}", self.name)
    }

    /// Runs a command in a directory, with the path of the archive as `$f`.
    ///
    /// The directory is the working directory and not part of the command, so that its name needs no quoting.
    ///
    /// The archive must exist already, because the command looks for it: commands may see the file API's `/tmp` at another path,
    /// which is then in `TMPDIR`. So it is on a local relay without isolation.
    pub(super) async fn run(&self, directory: &str, command: &str) -> Result<ExecOutput, Error> {
        let find = format!(
            r#"f=/tmp/{name}; [ -f "$f" ] || f="${{TMPDIR:-/tmp}}/{name}""#,
            name = self.name
        );
        // Messages of `tar` are parsed, so they have to be in English. `TAR_OPTIONS` of the sandbox would add options to GNU tar.
        let exec = Exec::new(&self.sandbox_id, format!("{find}\n{command}"))
            .cwd(absolute(directory))
            .env("LC_ALL", "C")
            .env("TAR_OPTIONS", "")
            .timeout(LONGEST_COMMAND);
        let output = self.client.execute(&exec).await?;
        let kind = match output.exit_code {
            0 => return Ok(output),
            NOT_FOUND => TransferErrorKind::NoTar,
            exit_code => TransferErrorKind::Command {
                exit_code,
                stderr: output.stderr,
            },
        };
        Err(TransferError::new(directory, kind).into())
    }

    /// Removes the archive. A failure is ignored: it does not affect the transfer.
    pub(super) async fn remove(&self) {
        let remove = RemoveFile::new(&self.sandbox_id, self.path());
        self.client.execute(&remove).await.ok();
    }
}

/// Makes a path absolute. The file API resolves relative paths against `/root`, commands against their working directory.
fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/root/{path}")
    }
}
