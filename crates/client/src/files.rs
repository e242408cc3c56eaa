use std::path::PathBuf;

use bytes::Bytes;
use twentyfirst_protocol::files::{
    FileEntry, FileExists, GetFileInfo, ListFiles, MakeDir, ReadBytes, ReadFile, ReadStream,
    RemoveFile, RenameFile, WriteBytes, WriteFiles, WriteStream, WrittenFile,
};
use twentyfirst_protocol::{Endpoint, IntoId, SandboxId};
use twentyfirst_transport::Body;

use crate::call::Call;
use crate::client::{AgentClient, seed};
use crate::in_sandbox::{InSandbox, in_sandbox};
use crate::transfer::{DownloadDir, DownloadFile, Transferred, UploadDir, UploadFile, write_parts};

/// Files in sandboxes: from [`Sandboxes::files`](crate::Sandboxes::files). Relative paths are under `/root`.
#[derive(Debug, Clone)]
pub struct Files {
    client: AgentClient,
}

impl Files {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }
}

/// Files in one sandbox: from [`SandboxHandle::files`](crate::SandboxHandle::files). Relative paths are under `/root`.
#[derive(Debug, Clone)]
pub struct SandboxFiles(pub(crate) InSandbox);

in_sandbox! {
    Files, SandboxFiles;

    /// Writes text files in their order, with the directories that they need: pairs of path and text, each path only once.
    ///
    /// The relay takes 10 MiB a request: what is more is sent in several, one after the other, and a file that is too long for
    /// one is streamed. Sizes are UTF-16 code units.
    ///
    /// # Errors
    /// Without any file, and with the same path twice, the request is invalid and nothing is sent. Where one of several requests
    /// fails, [`Error::written`](crate::Error::written) tells what the ones before it wrote.
    pub fn write_many(
        &self,
        files: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Call<WriteFiles, Vec<WrittenFile>> {
        self.0.call(|id| WriteFiles::new(id, files)).made(write_parts)
    }

    /// Reads a text file. Bytes that are not UTF-8 arrive as U+FFFD.
    ///
    /// # Errors
    /// 500 with the code `internal_error` for a missing file.
    pub fn read_to_string(&self, path: impl Into<String>) -> Call<ReadFile, String> {
        self.0
            .call(|id| ReadFile::new(id, path))
            .made(|client, read| async move { Ok(client.execute(&read).await?.content) })
    }

    /// Writes a file from at most 10 MiB of text or bytes, with the directories that it needs. See
    /// [`write_stream`](Self::write_stream) for more, and [`upload`](Self::upload) for a file on disk.
    pub fn write(
        &self,
        path: impl Into<String>,
        content: impl Into<Bytes>,
    ) -> Call<WriteBytes, WrittenFile> {
        self.0.call(|id| WriteBytes::new(id, path, content))
    }

    /// Reads a file as bytes, an empty one too (see [`ReadContent`](crate::protocol::files::ReadContent)). It is held in memory,
    /// of which the client takes 32 MiB unless the builder says otherwise; see [`read_stream`](Self::read_stream) for more.
    ///
    /// # Errors
    /// 500 with the code `internal_error` for a missing file.
    pub fn read(&self, path: impl Into<String>) -> Call<ReadBytes, Bytes> {
        let read = self.0.id(|id| ReadBytes::new(id, path));
        Call::new(self.0.client.clone(), read, |client, read| async move {
            let flow = read.flow(client.options(), seed())?;
            let (content, _) = client.drive(&ReadBytes::ROUTE, flow).await?;
            Ok(content)
        })
    }

    /// Writes a file of any length, which is sent as it is produced. Its length is told to the relay where the body knows it, or the
    /// setter [`length`](Call::length) says it.
    ///
    /// # Errors
    /// An error of `body` is a source of the error.
    pub fn write_stream(
        &self,
        path: impl Into<String>,
        body: impl Into<Body>,
    ) -> Call<WriteStream, WrittenFile> {
        let write = self.0.id(|id| WriteStream::new(id, path));
        let body = body.into();
        Call::new(self.0.client.clone(), write, |client, write| async move {
            client.upload(&write, body).await
        })
    }

    /// Reads a file of any length, an empty one too (see [`ReadContent`](crate::protocol::files::ReadContent)): the body delivers
    /// it as it is read, and closes the connection when it is dropped.
    ///
    /// # Errors
    /// 500 with the code `internal_error` for a missing file. What breaks later is an error of the body.
    pub fn read_stream(&self, path: impl Into<String>) -> Call<ReadStream, Body> {
        let read = self.0.id(|id| ReadStream::new(id, path));
        Call::new(self.0.client.clone(), read, |client, read| async move {
            let flow = read.flow(client.options(), seed())?;
            let ((), stream) = client.drive(&ReadStream::ROUTE, flow).await?;
            Ok(stream.into_body())
        })
    }

    /// Uploads a file from this machine, of any length, which is sent as it is read. Directories above it are made.
    ///
    /// See [`transfer`](crate::transfer) for what happens if it is dropped or fails.
    ///
    /// # Errors
    /// [`Error::transfer_error`](crate::Error::transfer_error) where the file cannot be read, or changes its length meanwhile.
    pub fn upload(
        &self,
        path_on_disk: impl Into<PathBuf>,
        path_in_sandbox: impl Into<String>,
    ) -> Call<UploadFile, WrittenFile> {
        let (from, to) = (path_on_disk.into(), path_in_sandbox.into());
        let upload = self.0.id(|id| UploadFile::new(id, from, to));
        Call::new(self.0.client.clone(), upload, UploadFile::run)
    }

    /// Downloads a file to this machine, of any length up to a limit, and gives its length in bytes. It gets its name when it is
    /// complete, in place of what had it before; directories above it are made.
    ///
    /// See [`transfer`](crate::transfer) for what happens if it is dropped or fails.
    ///
    /// # Errors
    /// [`Error::transfer_error`](crate::Error::transfer_error) where the file cannot be written, or is longer than its limit; 500
    /// with the code `internal_error` for a missing file.
    pub fn download(
        &self,
        path_in_sandbox: impl Into<String>,
        path_on_disk: impl Into<PathBuf>,
    ) -> Call<DownloadFile, u64> {
        let (from, to) = (path_in_sandbox.into(), path_on_disk.into());
        let download = self.0.id(|id| DownloadFile::new(id, from, to));
        Call::new(self.0.client.clone(), download, DownloadFile::run)
    }

    /// Uploads what is in a directory into one of the sandbox, which is made if need be. Other files that are there stay, and those
    /// of the same name are overwritten.
    ///
    /// ```no_run
    /// # async fn example(client: twentyfirst_client::AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// client
    ///     .sandbox("sbx_abc123")
    ///     .files()
    ///     .upload_dir("./project", "/home/user/project")
    ///     .exclude(".git")
    ///     .exclude("node_modules")
    ///     .on_progress(|progress| println!("{} of {:?} bytes", progress.bytes, progress.total))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// See [`transfer`](crate::transfer) for what is kept and what is refused, and for what happens if it is dropped or fails. The
    /// sandbox needs `tar`.
    ///
    /// # Errors
    /// [`Error::transfer_error`](crate::Error::transfer_error) where something cannot be read or kept, before anything is sent;
    /// where a file changes its length meanwhile; and where `tar` fails.
    pub fn upload_dir(
        &self,
        path_on_disk: impl Into<PathBuf>,
        path_in_sandbox: impl Into<String>,
    ) -> Call<UploadDir, ()> {
        let (from, to) = (path_on_disk.into(), path_in_sandbox.into());
        let upload = self.0.id(|id| UploadDir::new(id, from, to));
        Call::new(self.0.client.clone(), upload, UploadDir::run)
    }

    /// Downloads what is in a directory into one of this machine, which must not exist or be empty. It is there when it is
    /// complete.
    ///
    /// See [`transfer`](crate::transfer) for what is kept and what is refused, and for what happens if it is dropped or fails. The
    /// sandbox needs `tar`.
    ///
    /// # Errors
    /// [`Error::transfer_error`](crate::Error::transfer_error) where something cannot be kept or written, or is more than the limits
    /// allow, and where `tar` fails.
    pub fn download_dir(
        &self,
        path_in_sandbox: impl Into<String>,
        path_on_disk: impl Into<PathBuf>,
    ) -> Call<DownloadDir, Transferred> {
        let (from, to) = (path_in_sandbox.into(), path_on_disk.into());
        let download = self.0.id(|id| DownloadDir::new(id, from, to));
        Call::new(self.0.client.clone(), download, DownloadDir::run)
    }

    /// Lists a directory, one level deep unless its setter says otherwise.
    ///
    /// # Errors
    /// 404 with the code `file_not_found` where there is nothing.
    pub fn list(&self, path: impl Into<String>) -> Call<ListFiles, Vec<FileEntry>> {
        self.0.call(|id| ListFiles::new(id, path))
    }

    /// Describes what is at a path.
    ///
    /// # Errors
    /// 404 with the code `file_not_found` where there is nothing.
    pub fn info(&self, path: impl Into<String>) -> Call<GetFileInfo, FileEntry> {
        self.0.call(|id| GetFileInfo::new(id, path))
    }

    /// Asks whether there is something at a path.
    pub fn exists(&self, path: impl Into<String>) -> Call<FileExists, bool> {
        self.0.call(|id| FileExists::new(id, path))
    }

    /// Makes a directory, and those above it. `true` if it is new.
    pub fn make_dir(&self, path: impl Into<String>) -> Call<MakeDir, bool> {
        self.0.call(|id| MakeDir::new(id, path))
    }

    /// Moves a file or directory.
    ///
    /// # Errors
    /// 404 with the code `file_not_found` where there is nothing.
    pub fn rename(
        &self,
        old_path: impl Into<String>,
        new_path: impl Into<String>,
    ) -> Call<RenameFile, FileEntry> {
        self.0.call(|id| RenameFile::new(id, old_path, new_path))
    }

    /// Removes a file, or a directory with all that is in it. To remove what is not there is no error.
    pub fn remove(&self, path: impl Into<String>) -> Call<RemoveFile, ()> {
        self.0.call(|id| RemoveFile::new(id, path))
    }
}
