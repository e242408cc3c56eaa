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

/// The longest that the relay lets a command run.
const LONGEST_COMMAND: Duration = Duration::from_secs(600);

/// The exit code of a shell that does not find a program.
const NOT_FOUND: i32 = 127;

/// Uploads what a function writes on a thread. What the function says is the error, where it has failed by itself.
pub(super) async fn upload(
    client: &AgentClient,
    operation: WriteStream,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Result<WrittenFile, Error> {
    let said = Arc::new(Mutex::new(None));
    let failed = Arc::clone(&said);
    let body = Body::write_with(move |out| {
        write(out).map_err(|error| match error.downcast::<TransferError>() {
            Ok(error) => {
                let text = error.to_string();
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                io::Error::other(text)
            }
            Err(error) => error,
        })
    });
    let result = client.upload(&operation, body).await;
    result.map_err(|error| {
        let said = said.lock().unwrap_or_else(PoisonError::into_inner).take();
        said.map_or(error, Error::from)
    })
}

/// An archive on its way, in the sandbox.
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

    /// Runs a command in a directory, with the archive as `$f`.
    ///
    /// The directory is the working directory and not a part of the command, so that its name needs no quoting. Commands may know
    /// `/tmp` by another name: then `TMPDIR` says so, as on a local relay without isolation. The archive exists by now.
    pub(super) async fn run(&self, directory: &str, command: &str) -> Result<ExecOutput, Error> {
        let find = format!(
            r#"f=/tmp/{name}; [ -f "$f" ] || f="${{TMPDIR:-/tmp}}/{name}""#,
            name = self.name
        );
        // `TAR_OPTIONS` changes what GNU tar does. Messages are read in English.
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

    /// Removes the archive, after all else. That it fails changes nothing of what was transferred.
    pub(super) async fn remove(&self) {
        let remove = RemoveFile::new(&self.sandbox_id, self.path());
        self.client.execute(&remove).await.ok();
    }
}

/// Relative paths are under `/root` for files, and for commands where they begin.
fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/root/{path}")
    }
}
