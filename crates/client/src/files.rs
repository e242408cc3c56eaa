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

/// The calls on files in sandboxes. [`Sandboxes::files`](crate::Sandboxes::files) returns it. Relative paths are under `/root`.
#[derive(Debug, Clone)]
pub struct Files {
    client: AgentClient,
}

impl Files {
    pub(crate) fn new(client: AgentClient) -> Self {
        Self { client }
    }
}

/// The calls on files in one sandbox. [`SandboxHandle::files`](crate::SandboxHandle::files) returns it. Relative paths are under
/// `/root`.
#[derive(Debug, Clone)]
pub struct SandboxFiles(pub(crate) InSandbox);

in_sandbox! {
    Files, SandboxFiles;

    /// Writes text files in the given order, and creates the directories that they need. `files` are pairs of path and text; each
    /// path may occur only once.
    ///
    /// The relay accepts 10 MiB per request, counted in UTF-16 code units. Larger lists are sent in several requests, one after
    /// the other, and a file that is too long for one request is streamed.
    ///
    /// # Errors
    /// Without any file, or with the same path twice, the request is invalid and nothing is sent. If one of several requests
    /// fails, [`Error::written`](crate::Error::written) returns what the earlier ones wrote.
    pub fn write_many(
        &self,
        files: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Call<WriteFiles, Vec<WrittenFile>> {
        self.0.call(|id| WriteFiles::new(id, files)).run_with(write_parts)
    }

    /// Reads a text file. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// 500 with the code `internal_error` for a missing file.
    pub fn read_to_string(&self, path: impl Into<String>) -> Call<ReadFile, String> {
        self.0
            .call(|id| ReadFile::new(id, path))
            .run_with(|client, read| async move { Ok(client.execute(&read).await?.content) })
    }

    /// Writes a file from at most 10 MiB of text or bytes, and creates the directories that it needs. For more, see
    /// [`write_stream`](Self::write_stream); for a file on disk, see [`upload`](Self::upload).
    pub fn write(
        &self,
        path: impl Into<String>,
        content: impl Into<Bytes>,
    ) -> Call<WriteBytes, WrittenFile> {
        self.0.call(|id| WriteBytes::new(id, path, content))
    }

    /// Reads a file as bytes. The file is held in memory, up to 32 MiB unless the builder sets another limit. For longer files,
    /// see [`read_stream`](Self::read_stream).
    ///
    /// An empty file takes a second request: see [`ReadContent`](crate::protocol::files::ReadContent).
    ///
    /// # Errors
    /// 500 with the code `internal_error` for a missing file.
    pub fn read(&self, path: impl Into<String>) -> Call<ReadBytes, Bytes> {
        let read = self.0.with_id(|id| ReadBytes::new(id, path));
        Call::new(self.0.client.clone(), read, |client, read| async move {
            let flow = read.flow(client.options(), seed())?;
            let (content, _) = client.drive(&ReadBytes::ROUTE, flow).await?;
            Ok(content)
        })
    }

    /// Writes a file of any length. The body is sent as it is produced. The request states the length if the body knows it or the
    /// setter [`length`](Call::length) sets it.
    ///
    /// # Errors
    /// If `body` fails; its error is a source of the returned one.
    pub fn write_stream(
        &self,
        path: impl Into<String>,
        body: impl Into<Body>,
    ) -> Call<WriteStream, WrittenFile> {
        let write = self.0.with_id(|id| WriteStream::new(id, path));
        let body = body.into();
        Call::new(self.0.client.clone(), write, |client, write| async move {
            client.upload(&write, body).await
        })
    }

    /// Reads a file of any length. The returned body delivers the file as it arrives, and closes the connection when it is
    /// dropped.
    ///
    /// An empty file takes a second request: see [`ReadContent`](crate::protocol::files::ReadContent).
    ///
    /// # Errors
    /// 500 with the code `internal_error` for a missing file. Later failures are errors of the body.
    pub fn read_stream(&self, path: impl Into<String>) -> Call<ReadStream, Body> {
        let read = self.0.with_id(|id| ReadStream::new(id, path));
        Call::new(self.0.client.clone(), read, |client, read| async move {
            let flow = read.flow(client.options(), seed())?;
            let ((), stream) = client.drive(&ReadStream::ROUTE, flow).await?;
            Ok(stream.into_body())
        })
    }

    /// Uploads a file of any length from this machine. It is sent as it is read. Missing directories in the sandbox are created.
    ///
    /// See [`transfer`](crate::transfer) for the effects of a dropped or failed upload.
    ///
    /// # Errors
    /// [`Error::transfer_error`](crate::Error::transfer_error) if the file cannot be read, or changes its length during the
    /// upload.
    pub fn upload(
        &self,
        path_on_disk: impl Into<PathBuf>,
        path_in_sandbox: impl Into<String>,
    ) -> Call<UploadFile, WrittenFile> {
        let (from, to) = (path_on_disk.into(), path_in_sandbox.into());
        let upload = self.0.with_id(|id| UploadFile::new(id, from, to));
        Call::new(self.0.client.clone(), upload, UploadFile::run)
    }

    /// Downloads a file to this machine, and returns its length in bytes: at most 4 GiB, unless [`max_bytes`](Call::max_bytes)
    /// sets another limit. The file gets its name only when it is complete, and then replaces a file of that name. Missing
    /// directories on this machine are created.
    ///
    /// See [`transfer`](crate::transfer) for the effects of a dropped or failed download.
    ///
    /// # Errors
    /// [`Error::transfer_error`](crate::Error::transfer_error) if the file cannot be written, or is longer than the limit; 500
    /// with the code `internal_error` for a missing file.
    pub fn download(
        &self,
        path_in_sandbox: impl Into<String>,
        path_on_disk: impl Into<PathBuf>,
    ) -> Call<DownloadFile, u64> {
        let (from, to) = (path_in_sandbox.into(), path_on_disk.into());
        let download = self.0.with_id(|id| DownloadFile::new(id, from, to));
        Call::new(self.0.client.clone(), download, DownloadFile::run)
    }

    /// Uploads the contents of a directory into a directory of the sandbox, which is created if needed. Files that are there
    /// already stay, unless the upload has a file of the same name: then they are overwritten.
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
    /// See [`transfer`](crate::transfer) for what is kept and what is refused, and for the effects of a dropped or failed upload.
    /// The sandbox needs `tar`.
    ///
    /// # Errors
    /// [`Error::transfer_error`](crate::Error::transfer_error) if an entry cannot be read or kept, before anything is sent; if a
    /// file changes its length during the upload; and if `tar` fails.
    pub fn upload_dir(
        &self,
        path_on_disk: impl Into<PathBuf>,
        path_in_sandbox: impl Into<String>,
    ) -> Call<UploadDir, ()> {
        let (from, to) = (path_on_disk.into(), path_in_sandbox.into());
        let upload = self.0.with_id(|id| UploadDir::new(id, from, to));
        Call::new(self.0.client.clone(), upload, UploadDir::run)
    }

    /// Downloads the contents of a directory into a directory of this machine, which must be empty or not exist. It appears only
    /// when it is complete.
    ///
    /// See [`transfer`](crate::transfer) for what is kept and what is refused, and for the effects of a dropped or failed
    /// download. The sandbox needs `tar`.
    ///
    /// # Errors
    /// [`Error::transfer_error`](crate::Error::transfer_error) if an entry cannot be kept or written, if a limit is exceeded, and
    /// if `tar` fails.
    pub fn download_dir(
        &self,
        path_in_sandbox: impl Into<String>,
        path_on_disk: impl Into<PathBuf>,
    ) -> Call<DownloadDir, Transferred> {
        let (from, to) = (path_in_sandbox.into(), path_on_disk.into());
        let download = self.0.with_id(|id| DownloadDir::new(id, from, to));
        Call::new(self.0.client.clone(), download, DownloadDir::run)
    }

    /// Lists a directory, one level deep unless the setter `depth` sets another depth.
    ///
    /// # Errors
    /// 404 with the code `file_not_found` if the path does not exist.
    pub fn list(&self, path: impl Into<String>) -> Call<ListFiles, Vec<FileEntry>> {
        self.0.call(|id| ListFiles::new(id, path))
    }

    /// Returns the description of a file or directory.
    ///
    /// # Errors
    /// 404 with the code `file_not_found` if the path does not exist.
    pub fn info(&self, path: impl Into<String>) -> Call<GetFileInfo, FileEntry> {
        self.0.call(|id| GetFileInfo::new(id, path))
    }

    /// Returns whether a path exists.
    pub fn exists(&self, path: impl Into<String>) -> Call<FileExists, bool> {
        self.0.call(|id| FileExists::new(id, path))
    }

    /// Creates a directory and those above it. Returns `true` if it is new.
    pub fn make_dir(&self, path: impl Into<String>) -> Call<MakeDir, bool> {
        self.0.call(|id| MakeDir::new(id, path))
    }

    /// Moves a file or directory.
    ///
    /// # Errors
    /// 404 with the code `file_not_found` if the path does not exist.
    pub fn rename(
        &self,
        old_path: impl Into<String>,
        new_path: impl Into<String>,
    ) -> Call<RenameFile, FileEntry> {
        self.0.call(|id| RenameFile::new(id, old_path, new_path))
    }

    /// Removes a file, or a directory with all its contents. Removing a missing path is not an error.
    pub fn remove(&self, path: impl Into<String>) -> Call<RemoveFile, ()> {
        self.0.call(|id| RemoveFile::new(id, path))
    }
}
