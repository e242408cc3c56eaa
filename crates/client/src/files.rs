use bytes::Bytes;
use twentyfirst_protocol::files::{
    FileEntry, FileExists, GetFileInfo, ListFiles, MakeDir, ReadBytes, ReadFile, ReadStream,
    RemoveFile, RenameFile, WriteBytes, WriteFiles, WriteStream, WrittenFile,
};
use twentyfirst_protocol::{Endpoint, SandboxId};
use twentyfirst_transport::Body;

use crate::client::{AgentClient, seed};
use crate::error::Error;

/// Files in a sandbox: from [`Sandboxes::files`](crate::Sandboxes::files). Relative paths are under `/root`.
#[derive(Debug, Clone)]
pub struct Files {
    client: AgentClient,
}

impl Files {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }

    /// Writes text files in their order, with the directories that they need: pairs of path and text, each path only once.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// All of [`Error`]; without any file, and with the same path twice, the request is invalid.
    pub async fn write<P: Into<String>, T: Into<String>>(
        &self,
        sandbox_id: &SandboxId,
        files: impl IntoIterator<Item = (P, T)>,
    ) -> Result<Vec<WrittenFile>, Error> {
        let operation = WriteFiles::new(sandbox_id, files);
        self.client.execute(&operation).await
    }

    /// Reads a text file.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 500 with the code `internal_error` for a missing file, and all of [`Error`].
    pub async fn read(
        &self,
        sandbox_id: &SandboxId,
        path: impl Into<String>,
    ) -> Result<String, Error> {
        Ok(self
            .client
            .execute(&ReadFile::new(sandbox_id, path))
            .await?
            .content)
    }

    /// Writes a file from at most 10 MiB of bytes.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn write_bytes(
        &self,
        sandbox_id: &SandboxId,
        path: impl Into<String>,
        content: impl Into<Bytes>,
    ) -> Result<WrittenFile, Error> {
        let operation = WriteBytes::new(sandbox_id, path, content);
        self.client.execute(&operation).await
    }

    /// Reads a file as bytes, an empty one too (see [`ReadContent`](crate::protocol::files::ReadContent)). It is held in memory, of which the client takes 32 MiB unless the
    /// builder says otherwise; see [`read_stream`](Self::read_stream) for more.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 500 with the code `internal_error` for a missing file, and all of [`Error`].
    pub async fn read_bytes(
        &self,
        sandbox_id: &SandboxId,
        path: impl Into<String>,
    ) -> Result<Bytes, Error> {
        let operation = ReadBytes::new(sandbox_id, path);
        let flow = operation.flow(self.client.options(), seed())?;
        let (content, _) = self.client.drive(&ReadBytes::ROUTE, flow).await?;
        Ok(content)
    }

    /// Writes a file of any length, which is sent as it is produced. `length` in bytes is told to the relay, where it
    /// is known.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// All of [`Error`]; an error of `body` is a source of it.
    pub async fn write_stream(
        &self,
        sandbox_id: &SandboxId,
        path: impl Into<String>,
        body: impl Into<Body>,
        length: Option<u64>,
    ) -> Result<WrittenFile, Error> {
        let mut operation = WriteStream::new(sandbox_id, path);
        operation.length = length;
        self.client.upload(&operation, body).await
    }

    /// Reads a file of any length, an empty one too (see [`ReadContent`](crate::protocol::files::ReadContent)): the body delivers it as it is read, and closes the connection
    /// when it is dropped.
    ///
    /// # Errors
    /// 500 with the code `internal_error` for a missing file, and all of [`Error`]. What breaks later is an error of the body.
    pub async fn read_stream(
        &self,
        sandbox_id: &SandboxId,
        path: impl Into<String>,
    ) -> Result<Body, Error> {
        let operation = ReadStream::new(sandbox_id, path);
        let flow = operation.flow(self.client.options(), seed())?;
        let ((), stream) = self.client.drive(&ReadStream::ROUTE, flow).await?;
        Ok(stream.into_body())
    }

    /// Lists a directory, one level deep. See [`ListFiles`] for more.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 with the code `file_not_found` where there is nothing, and all of [`Error`].
    pub async fn list(
        &self,
        sandbox_id: &SandboxId,
        path: impl Into<String>,
    ) -> Result<Vec<FileEntry>, Error> {
        self.client.execute(&ListFiles::new(sandbox_id, path)).await
    }

    /// Describes what is at a path.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 with the code `file_not_found` where there is nothing, and all of [`Error`].
    pub async fn info(
        &self,
        sandbox_id: &SandboxId,
        path: impl Into<String>,
    ) -> Result<FileEntry, Error> {
        self.client
            .execute(&GetFileInfo::new(sandbox_id, path))
            .await
    }

    /// Asks whether there is something at a path.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn exists(
        &self,
        sandbox_id: &SandboxId,
        path: impl Into<String>,
    ) -> Result<bool, Error> {
        self.client
            .execute(&FileExists::new(sandbox_id, path))
            .await
    }

    /// Makes a directory, and those above it. `true` if it is new.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn make_dir(
        &self,
        sandbox_id: &SandboxId,
        path: impl Into<String>,
    ) -> Result<bool, Error> {
        self.client.execute(&MakeDir::new(sandbox_id, path)).await
    }

    /// Moves a file or directory.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// 404 with the code `file_not_found` where there is nothing, and all of [`Error`].
    pub async fn rename(
        &self,
        sandbox_id: &SandboxId,
        old_path: impl Into<String>,
        new_path: impl Into<String>,
    ) -> Result<FileEntry, Error> {
        self.client
            .execute(&RenameFile::new(sandbox_id, old_path, new_path))
            .await
    }

    /// Removes a file, or a directory with all that is in it.
    ///
    /// Dropping the future closes the exchange at once and sends nothing.
    ///
    /// # Errors
    /// All of [`Error`]. To remove what is not there is none.
    pub async fn remove(
        &self,
        sandbox_id: &SandboxId,
        path: impl Into<String>,
    ) -> Result<(), Error> {
        self.client
            .execute(&RemoveFile::new(sandbox_id, path))
            .await
    }
}
